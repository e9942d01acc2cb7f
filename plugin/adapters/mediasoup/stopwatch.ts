import type { Clock } from '../../ports.ts';

/**
 * Measures how long there was media: from sign to sign of it, without the gaps.
 * @param longestSilenceMs a longer one is a gap
 */
export function createStopwatch(
  clock: Clock,
  longestSilenceMs: number,
): {
  /** There is media now. */
  tick(): void;
  /** Milliseconds; never falls. */
  elapsedMs(): number;
} {
  let elapsedMs = 0;
  let lastMs: number | undefined;
  return {
    tick() {
      const nowMs = clock.monotonicMs();
      const silenceMs = nowMs - (lastMs ?? nowMs);
      if (silenceMs <= longestSilenceMs) elapsedMs += silenceMs;
      lastMs = nowMs;
    },
    elapsedMs: () => Math.round(elapsedMs),
  };
}
