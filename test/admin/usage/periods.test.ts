import fc from 'fast-check';
import { expect, it } from 'vitest';
import { PERIOD_MS, splitByPeriod, type Added } from '../../../admin/usage/periods.ts';

const T = Date.parse('2026-03-28T23:45:00Z');
const SECOND = 1000;

it.each<[string, Added, [number, number, number][]]>([
  [
    'a receipt within a period is in one piece',
    { fromMs: T + 5 * SECOND, untilMs: T + 10 * SECOND, mediaMs: 5000, bytes: 77 },
    [[0, 5000, 77]],
  ],
  [
    'a receipt over the border is shared by time',
    { fromMs: T + PERIOD_MS - 2 * SECOND, untilMs: T + PERIOD_MS + 3 * SECOND, mediaMs: 5000, bytes: 1000 },
    [
      [0, 2000, 400],
      [1, 3000, 600],
    ],
  ],
  [
    'a receipt that ends on the border belongs to the period before',
    { fromMs: T + PERIOD_MS - 5 * SECOND, untilMs: T + PERIOD_MS, mediaMs: 5000, bytes: 1 },
    [[0, 5000, 1]],
  ],
  [
    'what was used in no time counts for its moment',
    { fromMs: T + PERIOD_MS, untilMs: T + PERIOD_MS, mediaMs: 10, bytes: 1 },
    [[1, 10, 1]],
  ],
  ['nothing added is no part', { fromMs: T, untilMs: T + 5 * PERIOD_MS, mediaMs: 0, bytes: 0 }, []],
])('%s', (_what, added, expected) => {
  expect(splitByPeriod(added)).toEqual(
    expected.map(([index, mediaMs, bytes]) => ({ startsAtMs: T + index * PERIOD_MS, mediaMs, bytes })),
  );
});

it('loses nothing, makes nothing, and stays in the time that was stated', () => {
  const added = fc
    .record({
      fromMs: fc.integer({ min: T, max: T + 365 * 86_400_000 }),
      lengthMs: fc.oneof(fc.integer({ min: 0, max: 20_000 }), fc.integer({ min: 0, max: 3 * 86_400_000 })),
      mediaMs: fc.nat(),
      bytes: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    })
    .map(({ fromMs, lengthMs, mediaMs, bytes }) => ({ fromMs, untilMs: fromMs + lengthMs, mediaMs, bytes }));
  fc.assert(
    fc.property(added, (whole) => {
      const parts = splitByPeriod(whole);
      expect(parts.reduce((sum, { mediaMs }) => sum + mediaMs, 0)).toBe(whole.mediaMs);
      expect(parts.reduce((sum, { bytes }) => sum + BigInt(bytes), 0n)).toBe(BigInt(whole.bytes));
      expect(parts.length).toBeLessThanOrEqual(100);
      for (const { startsAtMs, mediaMs, bytes } of parts) {
        expect(startsAtMs % PERIOD_MS).toBe(0);
        expect(startsAtMs + PERIOD_MS).toBeGreaterThan(whole.fromMs);
        expect(startsAtMs).toBeLessThanOrEqual(whole.untilMs);
        expect(Math.min(mediaMs, bytes)).toBeGreaterThanOrEqual(0);
      }
    }),
  );
});
