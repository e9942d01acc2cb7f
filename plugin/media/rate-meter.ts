import type { Clock } from '../ports.ts';

export interface RateMeter {
  add(bytes: number): void;
  /** Bits per second over the last whole window of at least a second; 0 before there was one. */
  bitsPerSecond(): number;
}

const WINDOW_MS = 1000;
/** A rate that is older than this is no rate any more. */
const STALE_MS = 5000;

export function createRateMeter(clock: Clock): RateMeter {
  let windowStartMs = clock.monotonicMs();
  let windowBytes = 0;
  let rate = 0;
  return {
    add(bytes) {
      windowBytes += bytes;
      const elapsedMs = clock.monotonicMs() - windowStartMs;
      if (elapsedMs < WINDOW_MS) return;
      rate = Math.round((windowBytes * 8000) / elapsedMs);
      windowStartMs += elapsedMs;
      windowBytes = 0;
    },
    bitsPerSecond: () => (clock.monotonicMs() - windowStartMs > STALE_MS ? 0 : rate),
  };
}
