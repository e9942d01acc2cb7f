import type { Clock } from '../../ports.ts';

/** A longer silence than this is a gap in the media. */
const LONGEST_SILENCE_MS = 1000;

/** Measures how long there was media: from packet to packet, without the gaps. */
export function createStopwatch(clock: Clock): {
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
      if (silenceMs <= LONGEST_SILENCE_MS) elapsedMs += silenceMs;
      lastMs = nowMs;
    },
    elapsedMs: () => Math.round(elapsedMs),
  };
}
