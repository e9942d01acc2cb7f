import { randomInt } from 'node:crypto';

export interface RefusalDelayOptions {
  /** Longest delay in milliseconds; default 1000. */
  readonly maxMs?: number;
  /** Refusals held back at the same time, each with its connection; more are not held back. Default 64. */
  readonly atOnce?: number;
}

/**
 * Makes a delay for the refusals of bad credentials, and for nothing else: it slows guessing down, and hides in its
 * randomness how far a guess came. It is no limit of the rate; that is a throttle's.
 */
export function createRefusalDelay({
  maxMs = 1000,
  atOnce = 64,
}: RefusalDelayOptions = {}): () => Promise<void> {
  let held = 0;
  return async () => {
    if (held >= atOnce) return;
    held++;
    try {
      await new Promise((done) => setTimeout(done, randomInt(maxMs + 1)).unref());
    } finally {
      held--;
    }
  };
}
