import { describe, expect, it } from 'vitest';
import { compared } from '../../bench/harness.ts';
import { differenceOf, driftOf, growthOf, meanOf, quantile, slopeOf } from '../../bench/statistics.ts';

describe('a slope', () => {
  const x = Array.from({ length: 20 }, (_, index) => index * 1000);

  it('of a line is the line’s, without doubt', () => {
    const { value, low, high } = slopeOf(
      x,
      x.map((value_) => 5 + 2 * value_),
    );
    expect([value, low, high].map((bound) => Math.round(bound * 1e6) / 1e6)).toEqual([2, 2, 2]);
  });

  it('of something that goes up and down cannot be told from none, and one that rises can', () => {
    const wave = x.map((_, index) => (index % 2 === 0 ? 1000 : -1000));
    const flat = slopeOf(x, wave);
    expect(flat.low < 0 && flat.high > 0).toBe(true);
    const rising = slopeOf(
      x,
      wave.map((value, index) => value + index * 1000),
    );
    expect(rising.low).toBeGreaterThan(0);
  });

  it('needs three points', () => {
    expect(() => slopeOf([1, 2], [1, 2])).toThrow(TypeError);
    expect(() => slopeOf([1, 2, 3], [1, 2])).toThrow(TypeError);
  });
});

describe('a drift', () => {
  const x = Array.from({ length: 40 }, (_, index) => index);
  /** Ten readings low, ten high, and so on: each is like the one before it. */
  const slow = x.map((index) => (Math.floor(index / 10) % 2) * 100);
  const contains0 = ({ low, high }: { low: number; high: number }): boolean => low <= 0 && high >= 0;

  it('is not taken from four readings that look like forty', () => {
    expect(contains0(slopeOf(x, slow))).toBe(false);
    expect(contains0(driftOf(x, slow))).toBe(true);
    expect(driftOf(x, slow).value).toBe(slopeOf(x, slow).value);
  });

  it('is found below noise, and has the interval of a slope where each reading is its own', () => {
    const noisy = x.map((index) => 3 * index + (index % 2 === 0 ? 20 : -20));
    expect(driftOf(x, noisy)).toEqual(slopeOf(x, noisy));
    expect(driftOf(x, noisy).low).toBeGreaterThan(2);
    expect(driftOf(x, noisy).high).toBeLessThan(4);
  });

  it('of what does not change is 0 without doubt', () => {
    expect(
      driftOf(
        x,
        x.map(() => 5),
      ),
    ).toEqual({ value: 0, low: 0, high: 0 });
  });

  it('needs three points', () => {
    expect(() => driftOf([1, 2], [1, 2])).toThrow(TypeError);
  });
});

it.each([
  [-1, 5, 'none'],
  [-1, 50, 'none'],
  [-5, -1, 'none'],
  [1, 5, 'within bound'],
  [1, 50, 'grows'],
  [11, 12, 'grows'],
  [-200, 200, 'cannot tell'],
] as const)('a slope from %d to %d, bound 10: growth %s', (low, high, growth) => {
  expect(growthOf({ value: (low + high) / 2, low, high }, 10)).toBe(growth);
});

it.each([
  [0.5, 50],
  [0.99, 99],
  [1, 100],
  [0, 1],
])('the quantile %d of 1 to 100 is %d', (share, value) => {
  expect(
    quantile(
      Array.from({ length: 100 }, (_, index) => 100 - index),
      share,
    ),
  ).toBe(value);
});

it.each([
  ['at most', 0.9, 1, true],
  ['at most', 1.1, 1, false],
  ['at least', 0.6, { atLeast: 0.5 }, true],
  ['at least', 0.4, { atLeast: 0.5 }, false],
] as const)('a ratio that must be %s its bar: %d', (_name, ratio, bar, ok) => {
  expect(compared('a', 's', [ratio, ratio], [1, 1], bar).ok).toBe(ok);
});

describe('a mean', () => {
  it('has an interval as wide as its values are apart', () => {
    // 1 to 5: deviation 1.5811, t(4) 2.78, so 2.78 * 1.5811 / sqrt(5).
    const { value, low, high } = meanOf([1, 2, 3, 4, 5]);
    expect(value).toBe(3);
    expect(high - value).toBeCloseTo(1.966, 2);
    expect(value - low).toBeCloseTo(high - value, 10);
  });

  it('of differences goes pair by pair', () => {
    expect(differenceOf([10, 20, 30], [9, 19, 29])).toEqual({ value: 1, low: 1, high: 1 });
  });

  it('needs two values, and as many on both sides', () => {
    expect(() => meanOf([1])).toThrow(TypeError);
    expect(() => differenceOf([1, 2], [1])).toThrow(TypeError);
  });
});
