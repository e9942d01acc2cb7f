/** Plain statistics of repeated measurements. */
import { randomInt } from 'node:crypto';

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new TypeError('no values');
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export interface Interval {
  readonly value: number;
  /** Bounds of the 95% interval. */
  readonly low: number;
  readonly high: number;
}

const RESAMPLES = 2000;

/** Median of the pairwise ratios a/b, with a 95% percentile-bootstrap interval over pairs. */
export function ratioOfPairs(a: readonly number[], b: readonly number[]): Interval {
  if (a.length !== b.length || a.length === 0) throw new TypeError('not the same number of values, or none');
  const ratios = a.map((value, i) => value / (b[i] ?? Number.NaN));
  const resampled = Array.from({ length: RESAMPLES }, () =>
    median(ratios.map(() => ratios[randomInt(ratios.length)] ?? Number.NaN)),
  ).toSorted((x, y) => x - y);
  const at = (share: number): number => resampled[Math.floor(share * (RESAMPLES - 1))] ?? Number.NaN;
  return { value: median(ratios), low: at(0.025), high: at(0.975) };
}

/** The value that this share of all is not above (nearest rank). */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new TypeError('no values');
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** Student's t at 97.5%, by degrees of freedom from 1 to 30; beyond, the normal distribution's is near enough. */
const T_975 = [
  12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.2, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.1,
  2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04,
];

/** The mean, with its 95% interval. Throws TypeError for fewer than 2 values. */
export function meanOf(values: readonly number[]): Interval {
  const count = values.length;
  if (count < 2) throw new TypeError('too few values');
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const half = (T_975[count - 2] ?? 1.96) * Math.sqrt(squares / (count - 1) / count);
  return { value: mean, low: mean - half, high: mean + half };
}

/** Mean of the pairwise differences a - b, with its 95% interval. Throws TypeError for fewer than 2 pairs. */
export function differenceOf(a: readonly number[], b: readonly number[]): Interval {
  if (a.length !== b.length) throw new TypeError('not the same number of values');
  return meanOf(a.map((value, index) => value - (b[index] ?? Number.NaN)));
}

interface Line {
  readonly slope: number;
  /** What the line leaves of each y. */
  readonly rests: readonly number[];
  /** Sum of the squares of x less its mean. */
  readonly spread: number;
}

/** Least squares. Throws TypeError for fewer than 3 points. */
function lineThrough(x: readonly number[], y: readonly number[]): Line {
  if (x.length !== y.length || x.length < 3) throw new TypeError('not the same number of values, or too few');
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanX, meanY] = [mean(x), mean(y)];
  const at = (values: readonly number[], index: number): number => values[index] ?? Number.NaN;
  let [xx, xy] = [0, 0];
  for (const [index, value] of x.entries()) {
    xx += (value - meanX) ** 2;
    xy += (value - meanX) * (at(y, index) - meanY);
  }
  const slope = xy / xx;
  return {
    slope,
    rests: x.map((value, index) => at(y, index) - meanY - slope * (value - meanX)),
    spread: xx,
  };
}

/** @param count of values that know nothing of each other */
function intervalOf({ slope, rests, spread }: Line, count: number): Interval {
  const freedom = Math.max(1, count - 2);
  const squares = rests.reduce((sum, rest) => sum + rest ** 2, 0);
  const half = (T_975[Math.floor(freedom) - 1] ?? 1.96) * Math.sqrt(squares / freedom / spread);
  return { value: slope, low: slope - half, high: slope + half };
}

/** The slope of y over x by least squares, with its 95% interval. Throws TypeError for fewer than 3 points. */
export function slopeOf(x: readonly number[], y: readonly number[]): Interval {
  return intervalOf(lineThrough(x, y), x.length);
}

/** Of readings that go on from each other, no more than this share is news. */
const MOST_ALIKE = 0.95;

/**
 * The slope of readings of one thing, one after the other. Such a reading is like the one before it, so that there are
 * fewer than there seem to be, and the interval is wider than that of `slopeOf`: the count is n(1 - r)/(1 + r), with r
 * the correlation of what the line leaves of each with the next (Santer et al. 2000, doi:10.1029/1999JD901105). Where
 * they are less alike than by chance, nothing is gained. Throws TypeError for fewer than 3 points.
 */
export function driftOf(x: readonly number[], y: readonly number[]): Interval {
  const line = lineThrough(x, y);
  const { rests } = line;
  const squares = rests.reduce((sum, rest) => sum + rest ** 2, 0);
  const products = rests.slice(1).reduce((sum, rest, index) => sum + rest * (rests[index] ?? Number.NaN), 0);
  const alike = squares === 0 ? 0 : Math.min(MOST_ALIKE, Math.max(0, products / squares));
  return intervalOf(line, (x.length * (1 - alike)) / (1 + alike));
}

/** Times a bound that an interval may reach up to and still tell anything. */
const TELLS_UP_TO = 10;

/**
 * What a slope says of growth: `none` when it cannot be told from 0, or falls; `within bound` when what it may be at most
 * is too little to matter; `cannot tell` when its interval has 0 in it, and ten times the bound as well.
 */
export function growthOf(
  { low, high }: Interval,
  bound: number,
): 'none' | 'within bound' | 'grows' | 'cannot tell' {
  if (high <= bound) return low <= 0 ? 'none' : 'within bound';
  if (low > 0) return 'grows';
  return high <= TELLS_UP_TO * bound ? 'none' : 'cannot tell';
}
