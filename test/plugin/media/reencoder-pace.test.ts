import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createPace } from '../../../plugin/media/reencoder-pace.ts';

test('who does not keep up makes less, step by step, and more again after 30 s each', () => {
  const pace = createPace();
  expect([pace.reduction(), pace.tryMore(0)]).toEqual([0, false]);
  expect([pace.slow(0), pace.reduction()]).toEqual([true, 1]);
  expect([pace.slow(12_000), pace.reduction()]).toEqual([true, 2]);
  expect([pace.slow(18_000), pace.reduction()]).toEqual([false, 2]);
  expect([pace.tryMore(41_999), pace.tryMore(42_000), pace.reduction()]).toEqual([false, true, 1]);
  expect([pace.tryMore(71_999), pace.tryMore(72_000), pace.reduction()]).toEqual([false, true, 0]);
  expect(pace.tryMore(500_000)).toBe(false);
});

test('who tried more in vain waits twice as long, ten minutes at most', () => {
  const pace = createPace();
  pace.slow(0);
  let nowMs = 0;
  const waitsMs: number[] = [];
  for (let tries = 0; tries < 8; tries++) {
    const slowAtMs = nowMs;
    while (!pace.tryMore(nowMs)) nowMs += 1000;
    waitsMs.push(nowMs - slowAtMs);
    nowMs += 6000;
    pace.slow(nowMs);
  }
  expect(waitsMs.map((waitMs) => waitMs / 1000)).toEqual([30, 60, 120, 240, 480, 600, 600, 600]);
});

test('more is made only after 30 s, one step at a time, whatever happens', () => {
  const event = fc.record({ afterMs: fc.integer({ min: 0, max: 60_000 }), slow: fc.boolean() });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 100 }), (events) => {
      const pace = createPace();
      let nowMs = 0;
      let changedAtMs = 0;
      for (const { afterMs, slow } of events) {
        nowMs += afterMs;
        const before = pace.reduction();
        const less = slow && pace.slow(nowMs);
        const more = !slow && pace.tryMore(nowMs);
        const after = pace.reduction();
        expect(after - before).toBe(less ? 1 : more ? -1 : 0);
        expect([0, 1, 2]).toContain(after);
        if (more) expect(nowMs - changedAtMs).toBeGreaterThanOrEqual(30_000);
        if (less || more) changedAtMs = nowMs;
      }
    }),
  );
});
