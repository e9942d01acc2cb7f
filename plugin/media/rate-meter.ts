export interface RateMeter {
  /** @param atMs media time; what is added belongs to the time from then on */
  add(amount: number, atMs: number): void;
  /** Per second of media over the last whole window; 0 before there was one. */
  perSecond(): number;
  reset(): void;
}

/** Long enough that one large keyframe is not taken for the rate. */
const WINDOW_MS = 2000;

/** Measures on the media's own clock: a burst on the network is no change of rate. */
export function createRateMeter(): RateMeter {
  let startMs = -1;
  let total = 0;
  let rate = 0;
  return {
    add(amount, atMs) {
      if (startMs < 0) startMs = atMs;
      const elapsedMs = atMs - startMs;
      if (elapsedMs >= WINDOW_MS) {
        rate = (total * 1000) / elapsedMs;
        startMs = atMs;
        total = 0;
      }
      total += amount;
    },
    perSecond: () => rate,
    reset() {
      startMs = -1;
      total = 0;
      rate = 0;
    },
  };
}

/** More than any network carries; what is stated is bounded. */
const MAX_BITS_PER_SECOND = 100_000_000_000;

/** Whole bits per second of a meter that counts bytes. */
export function statedBits(bytes: RateMeter): number {
  return Math.min(Math.round(bytes.perSecond() * 8), MAX_BITS_PER_SECOND);
}
