import { Denial } from '../../plugin/errors.ts';

export interface ThrottleOptions {
  /** Requests that may come at once. */
  readonly burst: number;
  /** Seconds until one more may come. */
  readonly refillSeconds: number;
  /** Keys remembered; the one unused for longest is forgotten first. */
  readonly maxKeys?: number;
}

export interface Throttle {
  /** @throws Denial `rate_limited` when `key` has no request left. */
  take(key: string): void;
  /** Gives `key` all its requests back: it has shown that it is no guesser. */
  forget(key: string): void;
}

/** Token buckets by key, in bounded memory. */
export function createThrottle(options: ThrottleOptions, nowMs: () => number): Throttle {
  const { burst, refillSeconds, maxKeys = 10_000 } = options;
  // A Map keeps the order of insertion; a key that is used moves to its end.
  const buckets = new Map<string, { tokens: number; atMs: number }>();
  return {
    take: (key) => {
      const atMs = nowMs();
      const bucket = buckets.get(key);
      const refilled =
        bucket === undefined
          ? burst
          : bucket.tokens + Math.max(0, atMs - bucket.atMs) / (refillSeconds * 1000);
      const tokens = Math.min(burst, refilled);
      buckets.delete(key);
      if (buckets.size >= maxKeys) {
        const oldest = buckets.keys().next();
        if (oldest.done === false) buckets.delete(oldest.value);
      }
      if (tokens < 1) {
        buckets.set(key, { tokens, atMs });
        throw new Denial('rate_limited', { retryAfterSeconds: Math.ceil((1 - tokens) * refillSeconds) });
      }
      buckets.set(key, { tokens: tokens - 1, atMs });
    },
    forget: (key) => {
      buckets.delete(key);
    },
  };
}
