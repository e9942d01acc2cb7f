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

it('where signs come once a second, runs on between them, and makes good what it had run on too far', () => {
  let nowMs = 0;
  const stopwatch = createStopwatch({ nowMs: () => nowMs, monotonicMs: () => nowMs }, 1500, 1000);
  const signs = new Set([0, 1000, 2000, 6000, 7000, 8000]);
  const read: number[] = [];
  for (nowMs = 0; nowMs <= 8500; nowMs += 500) {
    if (signs.has(nowMs)) stopwatch.tick();
    read.push(stopwatch.elapsedMs());
  }
  expect(read.slice(0, 5)).toEqual([0, 500, 1000, 1500, 2000]);
  // From the pause on, and from its end at 6000 on.
  expect(read.slice(5, 12)).toEqual([2500, 3000, 3000, 3000, 3000, 3000, 3000]);
  expect(read.slice(12)).toEqual([3000, 3000, 3000, 3500, 4000, 4500]);
});
