/** How much a re-encoder makes, so that a machine that is too slow for all of it lags behind in nothing. */

/** How many steps of `reduction` there are: all of it, half the pictures, half the pictures at half the size. */
export const REDUCTIONS = [0, 1, 2] as const;
export type Reduction = (typeof REDUCTIONS)[number];

export interface Pace {
  reduction(): Reduction;
  /** It does not keep up: makes less. False if it makes the least already. */
  slow(nowMs: number): boolean;
  /** Makes more, if it has kept up for long enough; true if so. */
  tryMore(nowMs: number): boolean;
}

/** Who keeps up for so long may make more; after each time that this was too much, twice as long. */
const FIRST_QUIET_MS = 30_000;
const MAX_QUIET_MS = 10 * 60_000;

/** Times are of a clock that never jumps. */
export function createPace(): Pace {
  let reduction: Reduction = 0;
  let quietMs = FIRST_QUIET_MS;
  let changedAtMs = -Infinity;
  let raisedAtMs = -Infinity;
  return {
    reduction: () => reduction,
    slow(nowMs) {
      if (reduction === 2) return false;
      if (nowMs - raisedAtMs < quietMs) quietMs = Math.min(quietMs * 2, MAX_QUIET_MS);
      reduction = reduction === 0 ? 1 : 2;
      changedAtMs = nowMs;
      return true;
    },
    tryMore(nowMs) {
      if (reduction === 0 || nowMs - changedAtMs < quietMs) return false;
      reduction = reduction === 2 ? 1 : 0;
      changedAtMs = raisedAtMs = nowMs;
      return true;
    },
  };
}
