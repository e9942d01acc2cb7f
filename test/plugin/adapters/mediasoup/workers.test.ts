import { EventEmitter } from 'node:events';
import type { types } from 'mediasoup';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { portOf } from '../../../../plugin/adapters/mediasoup/listen.ts';
import {
  createWorkerPool,
  retryDelayMs,
  type WorkerPoolOptions,
} from '../../../../plugin/adapters/mediasoup/workers.ts';
import { silentLog } from '../../../support/doubles.ts';

class FakeWorker extends EventEmitter {
  ports: (number | undefined)[] = [];
  closed = false;
  createWebRtcServer({ listenInfos }: types.WebRtcServerOptions): Promise<{ close(): void }> {
    this.ports = listenInfos.map(({ port }) => port);
    return Promise.resolve({ close: () => undefined });
  }
  close(): void {
    this.closed = true;
  }
  die(): void {
    this.emit('died', new Error('killed'));
  }
}

const asWorkers = (workers: FakeWorker[]): types.Worker[] => workers as unknown as types.Worker[];

async function poolOf(workers: FakeWorker[], options: Partial<WorkerPoolOptions> = {}) {
  const told = { died: 0, noneLeft: 0 };
  const pool = await createWorkerPool({
    workers: asWorkers(workers),
    createWorker: undefined,
    listen: { ip: '127.0.0.1', port: 4002 },
    maxRouters: 2,
    log: silentLog,
    onDied: () => void (told.died += 1),
    onNoneLeft: () => void (told.noneLeft += 1),
    ...options,
  });
  return { pool, told };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the port of a worker', () => {
  it.each([
    ['the first of a row', 4002, 0, 4002],
    ['the third of a row', 4002, 2, 4004],
    ['one of a list', [5000, 6000], 1, 6000],
    ['any', 0, 3, 0],
  ])('%s', (_name, port, worker, expected) => {
    expect(portOf({ port }, worker)).toBe(expected);
  });

  it('that a list does not have is an error', () => {
    expect(() => portOf({ port: [5000] }, 1)).toThrow('no port for worker 2');
  });

  it('is the same for UDP and TCP, on every address', async () => {
    const workers = [new FakeWorker(), new FakeWorker()];
    await poolOf(workers, { listen: ['127.0.0.1', '::1'].map((ip) => ({ ip, port: 4002 })) });
    expect(workers.map(({ ports }) => ports)).toEqual([
      [4002, 4002, 4002, 4002],
      [4003, 4003, 4003, 4003],
    ]);
  });
});

describe('places', () => {
  it('go round, and those that become free are taken first', async () => {
    const { pool } = await poolOf([new FakeWorker(), new FakeWorker(), new FakeWorker()]);
    const places = Array.from({ length: 6 }, () => pool.place());
    const stations = places.slice(0, 3).map(({ station }) => station);
    expect(new Set(stations).size).toBe(3);
    expect(places.slice(3).map(({ station }) => station)).toEqual(stations);
    places[1]?.release();
    places[1]?.release();
    expect(pool.place().station).toBe(stations[1]);
    expect(pool.place().station).toBe(stations[0]);
  });

  it('are refused when no worker is left to try', async () => {
    const { pool } = await poolOf([new FakeWorker()]);
    const { station } = pool.place();
    expect(() => pool.place([station])).toThrow(expect.objectContaining({ code: 'overloaded' }));
  });
});

describe('a worker that dies', () => {
  it('is replaced at once, and again with growing pauses while the new ones die too', async () => {
    const [first, steady] = [new FakeWorker(), new FakeWorker()];
    const made: FakeWorker[] = [];
    const createWorker = (): Promise<types.Worker> => {
      const worker = new FakeWorker();
      made.push(worker);
      return Promise.resolve(worker as unknown as types.Worker);
    };
    const { pool, told } = await poolOf([steady, first], { createWorker });
    first.die();
    expect([pool.alive(), told]).toEqual([1, { died: 1, noneLeft: 0 }]);
    await vi.advanceTimersByTimeAsync(0);
    expect([pool.alive(), made.length]).toEqual([2, 1]);
    expect(made[0]?.ports).toEqual([4003, 4003]);
    made[0]?.die();
    await vi.advanceTimersByTimeAsync(retryDelayMs(2) - 1);
    expect(made).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect([pool.alive(), made.length]).toEqual([2, 2]);
    pool.close();
    expect([made[1]?.closed, steady.closed]).toEqual([true, false]);
  });

  it('is replaced in the end, when the first tries fail', async () => {
    const first = new FakeWorker();
    const createWorker = vi
      .fn<() => Promise<types.Worker>>()
      .mockRejectedValueOnce(new Error('no memory'))
      .mockRejectedValueOnce(new Error('no memory'))
      .mockResolvedValue(new FakeWorker() as unknown as types.Worker);
    const { pool, told } = await poolOf([first], { createWorker });
    first.die();
    expect(() => pool.place()).toThrow(expect.objectContaining({ code: 'overloaded' }));
    await vi.advanceTimersByTimeAsync(retryDelayMs(2) + retryDelayMs(3));
    expect([pool.alive(), createWorker.mock.calls.length, told.noneLeft]).toEqual([1, 3, 0]);
  });

  it('is not replaced once the stage has been closed', async () => {
    const first = new FakeWorker();
    const createWorker = vi.fn<() => Promise<types.Worker>>();
    const { pool } = await poolOf([first], { createWorker });
    first.die();
    pool.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(createWorker).not.toHaveBeenCalled();
  });

  it('as the last, without others to come, is told of', async () => {
    const workers = [new FakeWorker(), new FakeWorker()];
    const { told } = await poolOf(workers);
    workers[0]?.die();
    expect(told).toEqual({ died: 1, noneLeft: 0 });
    workers[1]?.die();
    expect(told).toEqual({ died: 2, noneLeft: 1 });
  });

  it('leaves a place that nobody needs to give back', async () => {
    const [first, second] = [new FakeWorker(), new FakeWorker()];
    const { pool } = await poolOf([first, second]);
    const { release } = pool.place();
    first.die();
    release();
    const { station } = pool.place();
    expect([pool.isAlive(station), pool.alive()]).toEqual([true, 1]);
  });

  it('waits at most half a minute for its successor', () => {
    expect([1, 2, 3, 4, 20].map(retryDelayMs)).toEqual([0, 250, 500, 1000, 30_000]);
  });
});
