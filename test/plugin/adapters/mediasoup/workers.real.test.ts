/** A stage on two real workers: where viewers go, what a stream costs, and what a worker's death does. */
import { createWorker, type types } from 'mediasoup';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createStage, type Stage, type StageOptions } from '../../../../plugin/adapters/mediasoup.ts';
import { systemClock } from '../../../../plugin/clock.ts';
import { launchBrowser } from '../../../support/browser.ts';
import { silentLog } from '../../../support/doubles.ts';
import { freePorts } from '../../../support/stack.ts';
import { readStats, statsWhen } from './browser.ts';
import { census } from './census.ts';
import { startSource } from './rtp-source.ts';
import { startWatching, type Watching } from './watching.ts';

const PATH = '/live/test';

let browser: Browser;
beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(() => browser.close());

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

const startWorker = (): Promise<types.Worker> => createWorker({ logLevel: 'none' });

async function setUp(options: Partial<StageOptions> = {}): Promise<{
  stage: Stage;
  workers: types.Worker[];
  counts: ReturnType<typeof census>[];
  watching: Watching;
}> {
  const workers = await Promise.all([startWorker(), startWorker()]);
  const counts = workers.map(census);
  const stage = await createStage({
    workers,
    listen: { ip: '127.0.0.1', port: 0 },
    clock: systemClock,
    log: silentLog,
    ...options,
  });
  const watching = await startWatching(stage, browser);
  const source = await startSource(stage, PATH, {
    video: { profile: 'baseline', profileLevelId: '42e01f' },
    audio: true,
  });
  cleanup.push(
    () => workers.forEach((worker) => worker.close()),
    () => stage.close(),
    () => source.stop(),
    () => watching.close(),
  );
  return { stage, workers, counts, watching };
}

const plays = (page: Page): Promise<unknown> => statsWhen(page, ({ framesDecoded }) => framesDecoded > 10);

/** Frames that a page has decoded since this was called, once they are enough. */
async function goesOn(page: Page): Promise<void> {
  const { framesDecoded } = await readStats(page);
  await statsWhen(page, (stats) => stats.framesDecoded > framesDecoded + 30);
}

describe('two workers', () => {
  it('share the viewers, and have a stream only while somebody watches it there', async () => {
    const { stage, counts, watching } = await setUp();
    const [one, two] = counts;
    await plays(await watching.watch(PATH));
    // A viewer's transport, and the one that the stream comes in by.
    expect(one).toMatchObject({ routers: 1, transports: 2 });
    expect(two).toMatchObject({ routers: 0, transports: 0 });
    await plays(await watching.watch(PATH));
    expect(two).toMatchObject({ routers: 1, transports: 2 });
    expect(stage.stats()).toEqual({ streams: 1, viewings: 2, consumers: 4, profiles: 2, workers: 2 });
    await watching.gate.last().end('viewer_left');
    expect(two).toMatchObject({ routers: 1, transports: 0 });
    await plays(await watching.watch(PATH));
    expect(two).toMatchObject({ routers: 1, transports: 2 });
  });

  it('when one dies, only its own viewers go; it is replaced, on its port', async () => {
    const made: { worker: types.Worker; counts: ReturnType<typeof census> }[] = [];
    const replaced = Promise.withResolvers<undefined>();
    const ports = await freePorts(2);
    const createOne = async (): Promise<types.Worker> => {
      const worker = await startWorker();
      made.push({ worker, counts: census(worker) });
      return worker;
    };
    const { stage, workers, watching } = await setUp({
      createWorker: createOne,
      listen: { ip: '127.0.0.1', port: ports },
      log: { ...silentLog, info: () => replaced.resolve(undefined) },
    });
    const first = await watching.watch(PATH);
    const second = await watching.watch(PATH);
    await Promise.all([plays(first), plays(second)]);
    const [survivor, victim] = watching.gate.sessions;
    process.kill(workers[1]?.pid ?? 0, 'SIGKILL');
    expect(await victim?.ended).toBe('server_crashed');
    await goesOn(first);
    expect(survivor?.isEnded()).toBe(false);
    await replaced.promise;
    expect(stage.stats()).toMatchObject({ viewings: 1, workers: 2 });
    await plays(await watching.watch(PATH));
    expect(watching.gate.last().viewing.answer).toContain(` ${ports[1]} typ host`);
    expect(made[0]?.counts).toMatchObject({ routers: 1, transports: 2 });
    stage.close();
    expect(made.map(({ worker }) => worker.closed)).toEqual([true]);
  });

  it('without another the one that is left takes everybody; without any the stage ends', async () => {
    const gone = Promise.withResolvers<Error>();
    const { stage, workers, watching } = await setUp({ onWorkersGone: gone.resolve });
    await plays(await watching.watch(PATH));
    process.kill(workers[0]?.pid ?? 0, 'SIGKILL');
    expect(await watching.gate.last().ended).toBe('server_crashed');
    expect(stage.stats()).toMatchObject({ streams: 1, viewings: 0, workers: 1 });
    await plays(await watching.watch(PATH));
    await plays(await watching.watch(PATH));
    expect(stage.stats()).toMatchObject({ viewings: 2 });
    process.kill(workers[1]?.pid ?? 0, 'SIGKILL');
    await gone.promise;
    expect(stage.stats()).toEqual({ streams: 0, viewings: 0, consumers: 0, profiles: 0, workers: 0 });
    expect(() => stage.openStream('/live/other', () => 0)).toThrow('closed');
  });
});

it('ports that are in the way are said at once', async () => {
  const worker = await startWorker();
  cleanup.push(() => worker.close());
  const common = { workers: [worker], clock: systemClock, log: silentLog };
  await expect(createStage({ ...common, listen: { ip: '127.0.0.1', port: [] } })).rejects.toThrow(
    'no port for worker 1',
  );
});
