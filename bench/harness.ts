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
  /** What the ratio must keep to, or the value where there is no ratio. */
  readonly bar?: number;
  readonly ok?: boolean;
}

export interface Bench {
  readonly name: string;
  readonly what: string;
  /**
   * @param quick fewer repetitions, to try the bench and not to judge by it
   * @param minutes of a bench that goes on for some time; default: its own
   */
  run(progress: (line: string) => void, quick: boolean, minutes?: number): Promise<Figure[]>;
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

type Bar = number | { readonly atLeast: number } | { readonly upperAtMost: number };

function judge(bar: Bar | undefined, ratio: number, high: number): Pick<Figure, 'bar' | 'ok'> {
  if (bar === undefined) return {};
  if (typeof bar === 'number') return { bar, ok: ratio <= bar };
  if ('atLeast' in bar) return { bar: bar.atLeast, ok: ratio >= bar.atLeast };
  return { bar: bar.upperAtMost, ok: high <= bar.upperAtMost };
}

/**
 * A figure compared pair by pair. The bar is a ratio that it may have at most, judged by the median or by the upper end
 * of its 95% interval, or one that it must have at least.
 */
export function compared(name: string, unit: string, a: number[], b: number[], bar?: Bar): Figure {
  const { value: ratio, low, high } = ratioOfPairs(a, b);
  const judged = judge(bar, ratio, high);
  return {
    name,
    unit,
    value: median(a),
    beside: median(b),
    ratio,
    interval: [low, high],
    ...judged,
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

/** Cells below each other: the first two columns are names, the others are read from the right. */
export function tableOf(rows: readonly (readonly string[])[]): string {
  const width = (column: number): number => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  const line = (row: readonly string[]): string =>
    row.map((cell, at) => (at < 2 ? cell.padEnd(width(at)) : cell.padStart(width(at)))).join('  ');
  return rows.map(line).join('\n');
}
