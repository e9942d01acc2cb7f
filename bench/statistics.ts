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
