import { expect, it } from 'vitest';
import { createStopwatch } from '../../../../plugin/adapters/mediasoup/stopwatch.ts';

function run(atMs: readonly number[]): number {
  let nowMs = 0;
  const stopwatch = createStopwatch({ nowMs: () => nowMs, monotonicMs: () => nowMs }, 1000);
  for (nowMs of atMs) stopwatch.tick();
  nowMs += 100_000;
  return stopwatch.elapsedMs();
}

it.each([
  ['nothing', [], 0],
  ['one packet', [500], 0],
  ['packets', [500, 520, 540], 40],
  ['a silence of a second', [0, 1000], 1000],
  ['a gap between packets', [0, 20, 5000, 5030], 50],
  ['several packets at a time', [0, 20, 20, 20, 40], 40],
  ['fractions of milliseconds', [0, 0.4, 0.8, 1.2], 1],
])('counts %s', (_name, atMs, expected) => {
  expect(run(atMs)).toBe(expected);
});
