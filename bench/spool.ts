/** What receipts on the disk cost a media server: 1,000 sessions that write one every 5 s. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Receipt } from '../plugin/contract.ts';
import { createReceiptChain } from '../plugin/receipts/chain.ts';
import { createMemoryQueue, type ReceiptQueue } from '../plugin/receipts/queue.ts';
import { openSpoolDisk } from '../plugin/receipts/spool-disk.ts';
import { openSpool } from '../plugin/receipts/spool.ts';
import { silentLog } from '../test/support/doubles.ts';
import { compared, interleave, type Bench, type Figure } from './harness.ts';
import { median } from './statistics.ts';

const SESSIONS = 1000;
const RECEIPT_SECONDS = 5;
const COMMITS_PER_SECOND = 4;
const PER_COMMIT = SESSIONS / RECEIPT_SECONDS / COMMITS_PER_SECOND;
/** Of the time that is played, at full speed. */
const PLAYED_SECONDS = 20;

/** What the sessions write in the time that is played, a commit at a time. */
function write(): Receipt[][] {
  const startedAt = 1_700_000_000;
  const chains = Array.from({ length: SESSIONS }, () =>
    createReceiptChain({ session: randomUUID(), ticket: randomUUID(), uri: '/live/bench', startedAt }),
  );
  const all: Receipt[] = [];
  for (let at = RECEIPT_SECONDS; at <= PLAYED_SECONDS; at += RECEIPT_SECONDS) {
    const reading = { at: startedAt + at, mediaMs: at * 1000, bytes: at * 300_000 };
    for (const chain of chains) all.push(chain.next(reading));
  }
  return Array.from({ length: all.length / PER_COMMIT }, (_, index) =>
    all.slice(index * PER_COMMIT, (index + 1) * PER_COMMIT),
  );
}

interface Cost {
  /** CPU seconds for each second that was played. */
  readonly cpu: number;
  readonly commitsMs: readonly number[];
}

async function play(queue: ReceiptQueue): Promise<Cost> {
  const groups = write();
  const commitsMs: number[] = [];
  const before = process.cpuUsage();
  for (const group of groups) {
    for (const receipt of group) queue.append(receipt);
    const fromMs = performance.now();
    await queue.flush();
    commitsMs.push(performance.now() - fromMs);
    await queue.acknowledge((await queue.next(PER_COMMIT)).length);
  }
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / 1e6 / PLAYED_SECONDS, commitsMs };
}

async function withSpool<T>(work: (queue: ReceiptQueue) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'usher-bench-spool-'));
  const disk = await openSpoolDisk(directory);
  const spool = await openSpool({ disk, log: silentLog, maxBytes: 2 ** 30, commitMs: 1_000_000 });
  try {
    return await work(spool);
  } finally {
    await spool.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** Milliseconds until a group of receipts is on the disk, in one commit or in one each. */
function keep(together: boolean): Promise<number> {
  return withSpool(async (spool) => {
    const [group = []] = write();
    const fromMs = performance.now();
    for (const receipt of group) {
      spool.append(receipt);
      if (!together) await spool.flush();
    }
    await spool.flush();
    return performance.now() - fromMs;
  });
}

async function run(progress: (line: string) => void, quick: boolean): Promise<Figure[]> {
  const pairs = quick ? 3 : 15;
  await withSpool(play);
  const { a, b } = await interleave(
    pairs,
    () => withSpool(play),
    () => play(createMemoryQueue(Number.POSITIVE_INFINITY)),
    progress,
  );
  const group = await interleave(
    pairs,
    () => keep(true),
    () => keep(false),
    progress,
  );
  const commitsMs = a.flatMap((cost) => cost.commitsMs).sort((x, y) => x - y);
  const percent = ({ cpu }: Cost): number => cpu * 100;
  return [
    {
      name: 'CPU for the receipts of 1,000 sessions, of a core',
      value: median(a.map(percent)),
      unit: '%',
      beside: median(b.map(percent)),
      bar: 2,
      ok: median(a.map(percent)) <= 2,
    },
    { name: 'a commit of 50 receipts, median', value: median(commitsMs), unit: 'ms' },
    {
      name: 'a commit of 50 receipts, p99',
      value: commitsMs[Math.floor(commitsMs.length * 0.99)] ?? Number.NaN,
      unit: 'ms',
    },
    compared('50 receipts in one commit, beside one each', 'ms', group.a, group.b, 0.2),
  ];
}

export const bench: Bench = {
  name: 'spool',
  what: 'receipts of 1,000 sessions, one each 5 s, kept on the disk and acknowledged; beside memory, and a commit each',
  run,
};
