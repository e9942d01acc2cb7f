/** What a receipt has added, laid on the quarters of an hour in which it was used. */

/** Every time zone in use differs from UTC by a multiple of this, so that no day of any of them cuts a period. */
export const PERIOD_MS = 15 * 60 * 1000;
/** A statement over a longer time than this counts for its end: receipts come every few seconds. */
const MAX_PERIODS = 100;

/** A part of what was added. */
export interface PeriodUsage {
  /** When the period begins; Unix milliseconds, a multiple of `PERIOD_MS`. */
  readonly startsAtMs: number;
  readonly mediaMs: number;
  readonly bytes: number;
}

/** What was added between two receipts. */
export interface Added {
  /** Time of the receipt before, or the session's start; Unix milliseconds. */
  readonly fromMs: number;
  /** Time of the receipt; not before `fromMs`. */
  readonly untilMs: number;
  readonly mediaMs: number;
  readonly bytes: number;
}

/** `total` up to a share of the time; whole, rising with the share, and all of it at 1. */
const upTo = (total: number, share: number): number => (share >= 1 ? total : Math.floor(total * share));

/**
 * Shares what was added out by time. The parts are whole and sum to the whole; what was used in no time at all counts
 * for its moment. Nothing added is no part.
 */
export function splitByPeriod({ fromMs, untilMs, mediaMs, bytes }: Added): PeriodUsage[] {
  if (mediaMs === 0 && bytes === 0) return [];
  const lastStart = Math.floor((untilMs - (untilMs > fromMs ? 1 : 0)) / PERIOD_MS) * PERIOD_MS;
  const begin = Math.max(fromMs, lastStart - (MAX_PERIODS - 1) * PERIOD_MS);
  const parts: PeriodUsage[] = [];
  let given = { mediaMs: 0, bytes: 0 };
  for (let start = Math.floor(begin / PERIOD_MS) * PERIOD_MS; start <= lastStart; start += PERIOD_MS) {
    const share = start === lastStart ? 1 : (start + PERIOD_MS - begin) / (untilMs - begin);
    const reached = { mediaMs: upTo(mediaMs, share), bytes: upTo(bytes, share) };
    const part = {
      startsAtMs: start,
      mediaMs: reached.mediaMs - given.mediaMs,
      bytes: reached.bytes - given.bytes,
    };
    if (part.mediaMs > 0 || part.bytes > 0) parts.push(part);
    given = reached;
  }
  return parts;
}
