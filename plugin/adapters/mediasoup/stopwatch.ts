import type { Clock } from '../../ports.ts';

/**
 * Measures how long there was media: from sign to sign of it, without the gaps.
 * @param longestSilenceMs a longer one is a gap
 * @param believedMs for so long after a sign there is taken to be media still: signs that come seldom would have who
 *   begins or ends between two of them get too much or too little. What proves wrong is made good by what comes next.
 */
export function createStopwatch(
  clock: Clock,
  longestSilenceMs: number,
  believedMs = 0,
): {
  /** There is media now. */
  tick(): void;
  /** Milliseconds; never falls. */
  elapsedMs(): number;
} {
  let elapsedMs = 0;
  let lastMs: number | undefined;
  let toldMs = 0;
  return {
    tick() {
      const nowMs = clock.monotonicMs();
      const silenceMs = nowMs - (lastMs ?? nowMs);
      if (silenceMs <= longestSilenceMs) elapsedMs += silenceMs;
      lastMs = nowMs;
    },
    elapsedMs() {
      const sinceMs = lastMs === undefined ? 0 : clock.monotonicMs() - lastMs;
      toldMs = Math.max(toldMs, elapsedMs + Math.min(sinceMs, believedMs));
      return Math.round(toldMs);
    },
  };
}
