/** What every bench shares: interleaved runs, ratios with intervals, and one way to print them. */
import { median, ratioOfPairs } from './statistics.ts';

/** One line of a bench's result. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The same figure of what it is compared with. */
  readonly beside?: number;
  /** value / beside, by pairs: the median and its 95% interval. */
  readonly ratio?: number;
  readonly interval?: readonly [low: number, high: number];
  /** What the ratio may be at most. */
  readonly bar?: number;
  readonly ok?: boolean;
}

export interface Bench {
  readonly name: string;
  readonly what: string;
  run(progress: (line: string) => void): Promise<Figure[]>;
}

/** Runs A and B in turn, the order changing from pair to pair, so that a drift of the machine meets both alike. */
export async function interleave<T>(
  pairs: number,
  a: () => Promise<T>,
  b: () => Promise<T>,
  progress: (line: string) => void,
): Promise<{ a: T[]; b: T[] }> {
  const results: { a: T[]; b: T[] } = { a: [], b: [] };
  for (let pair = 0; pair < pairs; pair++) {
    const order = pair % 2 === 0 ? (['a', 'b'] as const) : (['b', 'a'] as const);
    for (const side of order) results[side].push(await (side === 'a' ? a() : b()));
    progress(`pair ${String(pair + 1)} of ${String(pairs)}`);
  }
  return results;
}

/** A figure compared pair by pair; `bar` is judged by the median ratio, or by the upper end of its 95% interval. */
export function compared(
  name: string,
  unit: string,
  a: number[],
  b: number[],
  bar?: number,
  judged: 'median' | 'upper' = 'median',
): Figure {
  const { value: ratio, low, high } = ratioOfPairs(a, b);
  return {
    name,
    unit,
    value: median(a),
    beside: median(b),
    ratio,
    interval: [low, high],
    ...(bar === undefined ? {} : { bar, ok: (judged === 'upper' ? high : ratio) <= bar }),
  };
}

const round = (value: number): string => value.toPrecision(4);

export function printFigure(figure: Figure): string {
  const { name, value, unit, beside, ratio, interval, bar, ok } = figure;
  const parts = [`${name}: ${round(value)} ${unit}`];
  if (beside !== undefined) parts.push(`beside ${round(beside)} ${unit}`);
  if (ratio !== undefined) parts.push(`ratio ${round(ratio)}`);
  if (interval !== undefined) parts.push(`95% ${round(interval[0])}..${round(interval[1])}`);
  if (bar !== undefined) parts.push(`bar ${String(bar)}: ${ok === true ? 'ok' : 'MISSED'}`);
  return parts.join(', ');
}
