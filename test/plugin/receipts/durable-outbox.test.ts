import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Receipt } from '../../../plugin/contract.ts';
import { openDurableOutbox, type DurableOutbox } from '../../../plugin/receipts/durable-outbox.ts';
import { openSpoolDisk } from '../../../plugin/receipts/spool-disk.ts';
import { takeSlot } from '../../../plugin/receipts/spool-slots.ts';
import { openSpool } from '../../../plugin/receipts/spool.ts';
import { Denial } from '../../../plugin/errors.ts';
import { recordingLog, silentLog } from '../../support/doubles.ts';
import { createMemoryDisk } from '../../support/memory-disk.ts';
import { createReceiptBook, createWriter, type ReceiptBook } from '../../support/receipt-book.ts';

let directory: string;
let book: ReceiptBook;
let opened: DurableOutbox[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'usher-outbox-'));
  book = createReceiptBook();
  opened = [];
});
afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(opened.map((outbox) => outbox.close(100)));
  await rm(directory, { recursive: true, force: true });
});

const clock = { monotonicMs: () => performance.now() };

async function open(changes: Partial<Parameters<typeof openDurableOutbox>[0]> = {}): Promise<DurableOutbox> {
  const outbox = await openDurableOutbox({
    directory,
    delivery: { deliver: (batch) => Promise.resolve(book.store(batch)) },
    log: silentLog,
    clock,
    maxBytes: 1 << 20,
    whenFull: 'end',
    endSessions: () => undefined,
    ...changes,
  });
  opened.push(outbox);
  return outbox;
}

const away = { deliver: () => Promise.reject(new Denial('order_server_unreachable')) };

function append(outbox: Pick<DurableOutbox, 'open' | 'append'>, count: number): Receipt[] {
  const writer = createWriter();
  outbox.open(writer.opening);
  const receipts = Array.from({ length: count }, (_, index) =>
    writer.next(index === count - 1 ? 'server_stopped' : null),
  );
  for (const receipt of receipts) outbox.append(receipt);
  return receipts;
}

/** What a process of this directory left behind, in this slot, when it ended. */
async function leaveBehind(slots: number): Promise<Receipt[][]> {
  const taken = Array.from({ length: slots }, () => takeSlot(directory));
  const left = [];
  for (const slot of taken) {
    const spool = await openSpool({
      disk: await openSpoolDisk(slot.directory),
      log: silentLog,
      maxBytes: 1 << 20,
    });
    left.push(append(spool, 3));
    await spool.close();
  }
  for (const slot of taken) slot.release();
  return left;
}

describe('the durable outbox', () => {
  it('keeps what could not be delivered for the next start', async () => {
    const outbox = await open({ delivery: away });
    const receipts = append(outbox, 3);
    expect(await outbox.close(500)).toBe(3);
    await open();
    await vi.waitFor(() => expect([...book.chains.values()]).toEqual([receipts]));
    expect(book.repeated()).toBe(0);
  });

  it('never shares a spool: who comes second has another one', async () => {
    const [first, second] = [await open(), await open()];
    append(first, 2);
    append(second, 2);
    await vi.waitFor(() => expect([...book.chains.values()].map(({ length }) => length)).toEqual([2, 2]));
    const third = takeSlot(directory);
    expect(third.number).toBe(2);
    third.release();
  });

  it('lets go of its slot only when the spool is closed, however long the disk hangs', async () => {
    const hanging = Promise.withResolvers<void>();
    const outbox = await open({
      openDisk: () => Promise.resolve({ ...createMemoryDisk(), close: () => hanging.promise }),
    });
    expect(await outbox.close(100)).toBe(0);
    const taken = takeSlot(directory);
    expect(taken.number).toBe(1);
    hanging.resolve();
    await vi.waitFor(() => {
      const free = takeSlot(directory);
      free.release();
      expect(free.number).toBe(0);
    });
    taken.release();
  });

  it('delivers what processes have left behind that are not started again', async () => {
    const left = await leaveBehind(3);
    await open();
    await vi.waitFor(() => expect(book.chains.size).toBe(3));
    expect(new Set(book.chains.values())).toEqual(new Set(left));
  });

  it('does its own work when it cannot read what another has left behind', async () => {
    await leaveBehind(3);
    await rm(join(directory, '1', 'lock'));
    await mkdir(join(directory, '1', 'lock'));
    const log = recordingLog();
    const outbox = await open({ log });
    append(outbox, 2);
    // Its own, what it found in its own place, and what the third had.
    await vi.waitFor(() => expect(book.chains.size).toBe(3));
    expect(log.lines.join()).toContain('cannot be read');
  });

  it.each([
    ['end', 1, false],
    ['continue', 0, true],
  ] as const)(
    'with `%s`, a disk that stays full ends sessions %i times at least',
    async (whenFull, least, takes) => {
      vi.useFakeTimers();
      const disk = createMemoryDisk();
      disk.failWith = 'ENOSPC';
      let ends = 0;
      const outbox = await open({
        clock: { monotonicMs: () => Date.now() },
        whenFull,
        endSessions: () => (ends += 1),
        openDisk: () => Promise.resolve(disk),
        delivery: away,
      });
      expect(outbox.takesSessions()).toBe(true);
      const receipts = append(outbox, 2);
      await vi.advanceTimersByTimeAsync(1000);
      expect(outbox.takesSessions()).toBe(takes);
      expect(outbox.stats().trouble).toBe('disk');
      await vi.advanceTimersByTimeAsync(3000);
      expect(ends).toBe(0);
      await vi.advanceTimersByTimeAsync(4000);
      expect(Math.min(ends, 1)).toBe(least);
      disk.failWith = null;
      await vi.advanceTimersByTimeAsync(2000);
      expect(outbox.stats().trouble).toBeNull();
      expect(outbox.takesSessions()).toBe(true);
      expect(outbox.waiting()).toBe(receipts.length);
    },
  );

  it.each([
    ['a file in its place', async (path: string) => writeFile(path, '')],
    [
      'a directory in the place of its lock',
      async (path: string) => mkdir(join(path, '0', 'lock'), { recursive: true }),
    ],
  ])('says clearly that it has no directory: %s', async (_what, make) => {
    const place = join(directory, 'receipts');
    await make(place);
    await expect(open({ directory: place })).rejects.toThrow(/^receipts cannot be kept in .*receipts: /);
  });
});
