import { describe, expect, it } from 'vitest';
import type { Receipt } from '../../../plugin/contract.ts';
import type { SpoolDisk } from '../../../plugin/receipts/spool-disk.ts';
import { openSpool, type Spool, type SpoolOptions } from '../../../plugin/receipts/spool.ts';
import { recordingLog, silentLog } from '../../support/doubles.ts';
import { createMemoryDisk } from '../../support/memory-disk.ts';
import { createReceiptBook, createWriter } from '../../support/receipt-book.ts';

const open = (disk: SpoolDisk, options: Partial<SpoolOptions> = {}): Promise<Spool> =>
  openSpool({ disk, log: silentLog, maxBytes: 1024 * 1024, commitMs: 1_000_000, ...options });

/** Everything that may be sent, acknowledged. */
async function drain(spool: Spool): Promise<Receipt[]> {
  const all: Receipt[] = [];
  for (let batch = await spool.next(7); batch.length > 0; batch = await spool.next(7)) {
    all.push(...batch);
    await spool.acknowledge(batch.length);
  }
  return all;
}

/** A session of so many receipts, the last one final if that is wanted. */
function append(spool: Spool, count: number, final = false): Receipt[] {
  const writer = createWriter();
  spool.open(writer.opening);
  const receipts = Array.from({ length: count }, (_, index) =>
    writer.next(final && index === count - 1 ? 'viewer_left' : null),
  );
  for (const receipt of receipts) spool.append(receipt);
  return receipts;
}

describe('the spool', () => {
  it('lets nothing be sent that is not on the disk', async () => {
    const disk = createMemoryDisk();
    const spool = await open(disk);
    const receipts = append(spool, 3);
    expect(await spool.next(10)).toEqual([]);
    expect(receipts.map((receipt) => spool.isKept(receipt))).toEqual([false, false, false]);
    expect(spool.waiting()).toBe(3);
    await spool.flush();
    expect(await spool.next(10)).toEqual(receipts);
    expect(receipts.every((receipt) => spool.isKept(receipt))).toBe(true);
  });

  it('commits by itself, all sessions with one sync', async () => {
    const disk = createMemoryDisk();
    const spool = await open(disk, { commitMs: 5 });
    const ready = new Promise<void>((resolve) => spool.onReady(resolve));
    for (let session = 0; session < 1000; session++) append(spool, 1);
    await ready;
    expect(disk.writes()).toBe(1);
    expect(await drain(spool)).toHaveLength(1000);
  });

  it('hands out the same receipts until they are acknowledged, also to the next process', async () => {
    const disk = createMemoryDisk();
    const first = await open(disk);
    const receipts = append(first, 5, true);
    await first.flush();
    expect(await first.next(2)).toEqual(receipts.slice(0, 2));
    expect(await first.next(2)).toEqual(receipts.slice(0, 2));
    await first.close();
    expect(await drain(await open(disk))).toEqual(receipts);
  });

  it('leaves nothing behind when everything was acknowledged', async () => {
    const disk = createMemoryDisk();
    const spool = await open(disk);
    append(spool, 5, true);
    await spool.flush();
    await drain(spool);
    await spool.close();
    expect([...disk.files.keys()]).toEqual([]);
  });

  it('deletes acknowledged segments, and keeps what sessions that go on are closed by', async () => {
    const disk = createMemoryDisk();
    const spool = await open(disk, { segmentBytes: 2000 });
    const [paused] = append(spool, 1);
    const started = createWriter();
    spool.open(started.opening);
    for (let round = 0; round < 20; round++) {
      append(spool, 3, true);
      await spool.flush();
      await drain(spool);
      await spool.flush();
    }
    expect(spool.stats().bytes).toBeLessThan(6000);
    const [closing, unwatched] = await drain(await open(disk.found(() => 0))).then((receipts) => [
      receipts.find(({ session }) => session === paused?.session),
      receipts.find(({ session }) => session === started.opening.session),
    ]);
    expect(closing).toMatchObject({ seq: 1, mediaMs: 5000, at: paused?.at, reason: 'server_crashed' });
    expect(unwatched).toMatchObject({ seq: 0, prev: null, mediaMs: 0, reason: 'server_crashed' });
  });

  it('closes the sessions of a crash once, with the counters that were written last', async () => {
    const disk = createMemoryDisk();
    const before = await open(disk);
    const [first, second] = [append(before, 4), append(before, 2)];
    append(before, 3, true);
    await before.flush();
    const again = await open(disk.found(() => 0));
    expect(again.closedSessions).toBe(2);
    const book = createReceiptBook();
    book.store(await drain(again));
    for (const chain of [first, second]) {
      const last = chain.at(-1);
      expect(book.chains.get(last?.session ?? '')?.at(-1)).toMatchObject({
        seq: chain.length,
        mediaMs: last?.mediaMs,
        bytes: last?.bytes,
        state: 'final',
        reason: 'server_crashed',
      });
    }
    expect([...book.chains.values()].every((chain) => chain.at(-1)?.state === 'final')).toBe(true);
    await again.close();
  });

  it('closes them with the same words when it crashes again before it could say so', async () => {
    const disk = createMemoryDisk();
    const before = await open(disk);
    append(before, 2);
    await before.flush();
    const book = createReceiptBook();
    for (let crash = 0; crash < 3; crash++) {
      book.store(await drain(await open(disk.found(() => 0))));
    }
    expect([...book.chains.values()].map((chain) => chain.length)).toEqual([3]);
    expect(book.repeated()).toBe(6);
  });

  it('cuts off an end that was being written, wherever it was torn, and says so', async () => {
    const disk = createMemoryDisk();
    const spool = await open(disk);
    const kept = append(spool, 2, true);
    await spool.flush();
    const [[name, whole] = ['', Buffer.alloc(0)]] = disk.files;
    append(spool, 2, true);
    await spool.flush();
    const { byteLength } = disk.files.get(name) ?? Buffer.alloc(0);
    for (let length = whole.byteLength + 1; length < byteLength; length += 13) {
      const log = recordingLog();
      const torn = createMemoryDisk(new Map([[name, disk.files.get(name)!.subarray(0, length)]]));
      expect(await drain(await open(torn, { log }))).toEqual(kept);
      expect(log.lines.join()).toContain('cut off');
    }
  });

  it('sets the rest of a segment that was damaged in the middle aside, raises an alarm, and delivers the others', async () => {
    const disk = createMemoryDisk();
    const spool = await open(disk, { segmentBytes: 1 });
    const chains = [append(spool, 2, true)];
    for (let segment = 0; segment < 2; segment++) {
      await spool.flush();
      chains.push(append(spool, 2, true));
    }
    await spool.flush();
    const [first = '', second = '', third = ''] = [...disk.files.keys()];
    const joined = Buffer.concat([disk.files.get(first)!, disk.files.get(second)!]);
    const damaged = Buffer.from(joined);
    damaged.writeUInt8(damaged.readUInt8(100) ^ 1, 100);
    const found = createMemoryDisk(
      new Map([
        [second, damaged],
        [third, disk.files.get(third)!],
      ]),
    );
    const log = recordingLog();
    const again = await open(found, { log });
    expect(await drain(again)).toEqual(chains[2]);
    expect(again.stats().setAside).toBe(1);
    expect(log.lines.join()).toContain('set aside');
    expect(found.files.get(`${second}.damaged-0`)).toEqual(damaged);
  });

  it.each(['EIO', 'ENOENT'])(
    'sets a segment aside that cannot be read three times in a row (%s), and goes on with the others',
    async (code) => {
      const disk = createMemoryDisk();
      const log = recordingLog();
      const spool = await open(disk, { log, segmentBytes: 1 });
      const chains: Receipt[][] = [];
      // The fourth lies on the disk only; its session goes on.
      for (let segment = 0; segment < 6; segment++) {
        chains.push(append(spool, 2, segment !== 3));
        await spool.flush();
      }
      const file = [...disk.files.keys()][3] ?? '';
      if (code === 'EIO') disk.unreadable.add(file);
      else disk.files.delete(file);
      for (const chain of chains.slice(0, 3)) {
        expect(await spool.next(2)).toEqual(chain);
        await spool.acknowledge(2);
      }
      for (let failure = 0; failure < 2; failure++) {
        await expect(spool.next(2)).rejects.toMatchObject({ code });
        expect(spool.stats().setAside).toBe(0);
      }
      expect(await drain(spool)).toEqual([...chains[4]!, ...chains[5]!]);
      expect([spool.stats().setAside, spool.waiting()]).toEqual([1, 0]);
      expect(log.lines.filter((line) => line.includes(file) && line.includes('set aside'))).toHaveLength(1);
      expect(disk.files.has(file)).toBe(false);
      if (code === 'EIO') expect(disk.files.has(`${file}.damaged-0`)).toBe(true);
      await spool.flush();
      const again = await open(disk.found(() => 0));
      expect(await drain(again)).toMatchObject([
        { session: chains[3]?.[0]?.session, seq: 2, mediaMs: 10_000, reason: 'server_crashed' },
      ]);
    },
  );

  it('sets a segment aside that cannot be read when it is opened, and goes on with the others', async () => {
    const disk = createMemoryDisk();
    const spool = await open(disk, { segmentBytes: 1 });
    const chains: Receipt[][] = [];
    for (let segment = 0; segment < 3; segment++) {
      chains.push(append(spool, 2, true));
      await spool.flush();
    }
    const found = disk.found(() => 0);
    const [, file = ''] = [...found.files.keys()];
    found.unreadable.add(file);
    const log = recordingLog();
    const again = await open(found, { log });
    expect(again.stats().setAside).toBe(1);
    expect(log.lines.filter((line) => line.includes(file) && line.includes('set aside'))).toHaveLength(1);
    expect(found.files.has(`${file}.damaged-0`)).toBe(true);
    expect(await drain(again)).toEqual([...chains[0]!, ...chains[2]!]);
  });

  it('tells of a full disk, delivers without it, and keeps on trying', async () => {
    const disk = createMemoryDisk();
    const log = recordingLog();
    const spool = await open(disk, { log });
    const writer = createWriter();
    spool.open(writer.opening);
    const receipts = [writer.next()];
    spool.append(receipts[0]!);
    await spool.flush();
    disk.failWith = 'ENOSPC';
    for (let count = 0; count < 3; count++) {
      receipts.push(writer.next());
      spool.append(receipts.at(-1)!);
      await spool.flush();
    }
    expect(spool.stats().trouble).toBe('disk');
    expect(spool.takesSessions()).toBe(false);
    expect(log.lines.filter((line) => line.includes('cannot be kept on disk'))).toHaveLength(1);
    expect(log.lines.join()).toContain('ENOSPC');
    const book = createReceiptBook();
    book.store(await drain(spool));
    expect(book.chains.get(writer.opening.session)).toEqual(receipts);

    disk.failWith = null;
    const last = writer.next('viewer_left');
    spool.append(last);
    await spool.flush();
    expect(spool.stats().trouble).toBeNull();
    expect(spool.takesSessions()).toBe(true);
    book.store(await drain(spool));
    expect(book.chains.get(writer.opening.session)).toEqual([...receipts, last]);
    expect(book.repeated()).toBe(0);
  });

  it('goes on after a full disk from what was delivered without it', async () => {
    const disk = createMemoryDisk();
    const spool = await open(disk);
    const writer = createWriter();
    const book = createReceiptBook();
    spool.open(writer.opening);
    disk.failWith = 'EIO';
    for (let count = 0; count < 3; count++) {
      spool.append(writer.next());
      await spool.flush();
      book.store(await drain(spool));
    }
    disk.failWith = null;
    await spool.flush();
    // Only the state that the session is closed by is written: what was delivered is not delivered again.
    book.store(await drain(await open(disk.found(() => 0))));
    expect(book.repeated()).toBe(0);
    expect(book.chains.get(writer.opening.session)?.at(-1)).toMatchObject({
      seq: 3,
      reason: 'server_crashed',
    });
  });

  it('is full at its bound, takes final receipts all the same, and has room again when they are delivered', async () => {
    const disk = createMemoryDisk();
    const log = recordingLog();
    const spool = await open(disk, { log, maxBytes: 10_000, segmentBytes: 1000 });
    const writer = createWriter();
    spool.open(writer.opening);
    while (spool.hasRoom()) {
      spool.append(writer.next());
      await spool.flush();
    }
    expect(spool.stats()).toMatchObject({ trouble: 'bound' });
    expect(spool.stats().bytes).toBeLessThan(11_000);
    expect(spool.takesSessions()).toBe(false);
    expect(log.lines.join()).toContain('is full');
    spool.append(writer.next('server_stopped'));
    await spool.flush();
    const book = createReceiptBook();
    book.store(await drain(spool));
    expect(book.chains.get(writer.opening.session)?.at(-1)?.state).toBe('final');
    expect(spool.stats().trouble).toBeNull();
    expect(spool.hasRoom()).toBe(true);
  });

  it('holds a backlog on the disk, and hands it out in order', async () => {
    const disk = createMemoryDisk();
    const spool = await open(disk, { segmentBytes: 1000 });
    const all: Receipt[] = [];
    for (let round = 0; round < 40; round++) {
      all.push(...append(spool, 3, true));
      await spool.flush();
    }
    // What lies on the disk only is read again.
    expect(disk.files.size).toBeGreaterThan(10);
    expect(await drain(spool)).toEqual(all);
  });
});
