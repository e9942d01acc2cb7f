/** Viewers that stop reading, and viewers that read slowly: neither the others nor the memory feel them. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { eventually } from '../../../support/flv-readers.ts';
import { newPath, startGuardedNms, STREAM_KEY, type GuardedNms } from '../../../support/guarded-nms.ts';
import type { LoadOrder, LoadReport } from './back-pressure-load.ts';

const MiB = 1024 * 1024;
const VIEWERS = 50;
const STOPPERS = 10;
const STALLED_AFTER_SECONDS = 5;
const SLOW_SHARE = 0.3;
/**
 * A second of media for each of the 13 slow ones would be 13 MiB if nothing were shared; the rest is slack for the
 * garbage of 50 MB a second.
 */
const MEMORY_MARGIN_BYTES = 96 * MiB;

let house: GuardedNms;
beforeAll(async () => {
  house = await startGuardedNms({ guard: { stalledAfterSeconds: STALLED_AFTER_SECONDS } });
});
afterAll(() => house.stop());

function memory() {
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, held: heapUsed + external };
}

const stalled = (): number => house.sink.receipts.filter(({ reason }) => reason === 'viewer_stalled').length;

test(`${VIEWERS} viewers of whom ${STOPPERS} stop reading`, async () => {
  const [crowdPath, slowPath] = [newPath(), newPath()];
  const passes = (path: string, count: number): Promise<string[]> =>
    Promise.all(Array.from({ length: count }, () => house.pass(path)));
  const order: LoadOrder = {
    ports: house.ports,
    streamKey: STREAM_KEY,
    crowd: {
      path: crowdPath,
      passes: await passes(crowdPath, VIEWERS),
      stoppers: STOPPERS,
      pictureBytes: 24_000,
    },
    slow: { path: slowPath, passes: await passes(slowPath, 3), pictureBytes: 60_000, share: SLOW_SHARE },
    phaseMs: 4000,
  };
  const child = fork(fileURLToPath(new URL('back-pressure-load.ts', import.meta.url)));
  onTestFinished(() => void child.kill('SIGKILL'));
  const next = async (): Promise<LoadReport> => ((await once(child, 'message')) as [LoadReport])[0];
  child.send(order);
  const first = await next();
  if (first.is !== 'stopped') throw new Error('out of order');

  const before = memory();
  const peak = { ...before };
  const sampler = setInterval(() => {
    const { rss, held } = memory();
    peak.rss = Math.max(peak.rss, rss);
    peak.held = Math.max(peak.held, held);
  }, 100);
  onTestFinished(() => clearInterval(sampler));
  const stoppedMs = performance.now();
  await eventually(() => stalled() >= STOPPERS, 40_000);
  const endedSeconds = Math.round((performance.now() - stoppedMs) / 100) / 10;
  child.send('go on');
  const last = await next();
  if (last.is !== 'done') throw new Error('out of order');
  const { during, after, slow, gaps } = last;
  const toMiB = (bytes: number): number => Math.round(bytes / MiB);
  console.info(
    'back-pressure:',
    JSON.stringify({
      delayMs: { before: first.before, during, after },
      stoppersEndedAfterSeconds: endedSeconds,
      memoryMiB: {
        before: toMiB(before.held),
        peak: toMiB(peak.held),
        rssBefore: toMiB(before.rss),
        rssPeak: toMiB(peak.rss),
      },
      slow,
    }),
  );

  // Exactly those who stopped, for that reason; nobody else was ended.
  expect(stalled()).toBe(STOPPERS);
  expect(house.sink.receipts.filter(({ state }) => state === 'final')).toHaveLength(STOPPERS);
  expect(house.gate.sessions()).toHaveLength(VIEWERS - STOPPERS + slow.length);

  // The others got every picture, and as soon as before.
  expect(gaps).toBe(0);
  expect(during.pictures).toBeGreaterThan(1000);
  expect(during.medianMs).toBeLessThan(2 * Math.max(first.before.medianMs, after.medianMs));
  expect(during.p90Ms).toBeLessThan(3 * Math.max(first.before.p90Ms, after.p90Ms));
  // One picture in a hundred is late when the machine is busy with something else.
  expect(during.p99Ms).toBeLessThan(10 * Math.max(first.before.p99Ms, after.p99Ms));

  expect(peak.held - before.held).toBeLessThan(MEMORY_MARGIN_BYTES);
  expect(peak.rss - before.rss).toBeLessThan(2 * MEMORY_MARGIN_BYTES);

  // Who reads slowly loses pictures, and what he gets can be decoded.
  for (const { isDecodable, lost, groups, kind } of slow) {
    expect([kind, isDecodable]).toEqual([kind, true]);
    expect(lost).toBeGreaterThan(20);
    expect(groups).toBeGreaterThan(3);
  }
});
