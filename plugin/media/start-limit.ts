/** How often a publisher may have an encoder started, by changing what he sends: so many at once, then one a second. */
const MAX_QUICK_STARTS = 5;
const START_INTERVAL_MS = 1000;

/** Answers a function that says whether there may be a start now (on a clock that never jumps), and counts it if so. */
export function createStartLimit(): (nowMs: number) => boolean {
  let starts = MAX_QUICK_STARTS;
  let countedAtMs = -Infinity;
  return (nowMs) => {
    starts = Math.min(starts + (nowMs - countedAtMs) / START_INTERVAL_MS, MAX_QUICK_STARTS);
    countedAtMs = nowMs;
    if (starts < 1) return false;
    starts -= 1;
    return true;
  };
}
