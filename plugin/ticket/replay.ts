/** Memory of what may be used once only: the `jti` of proofs and of server messages. */
import type { Clock } from '../ports.ts';
import { Denial, type Code } from '../errors.ts';
import { sha256Base64url } from './encoding.ts';

export interface ReplayMemory {
  /**
   * Notes an id, of any length; only its hash is kept.
   * @throws Denial `code` (default `proof_replayed`) when it was used within the last `ttlSeconds`; `overloaded` when
   *   the memory is full: what is remembered is never given up for something new.
   * @param atSeconds the time that the bearer of the id states, the same for the same id; a memory that processes share
   *   needs it
   */
  use(id: string, code?: Code, atSeconds?: number): void;
  /** Ids held now, at most the capacity. */
  size(): number;
}

export interface ReplayMemoryOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Ids held at the same time; default 100,000 (about 15 MB when full). */
  readonly capacity?: number;
  /** An id is remembered for this long at least, for twice as long at most; default 180. */
  readonly ttlSeconds?: number;
}

/** Makes a memory for one process; `openSharedReplay` is one for several. Constant time per use. */
export function createReplayMemory(options: ReplayMemoryOptions): ReplayMemory {
  const { clock, capacity = 100_000, ttlSeconds = 180 } = options;
  if (!(ttlSeconds > 0) || !(capacity >= 1)) throw new TypeError('capacity or ttlSeconds is not positive');
  const ttlMs = ttlSeconds * 1000;
  // Two generations: the older one is dropped whole once all of it has lived for ttlMs.
  let younger = new Set<string>();
  let older = new Set<string>();
  let bornMs = clock.monotonicMs();

  function turn(): void {
    const ageMs = clock.monotonicMs() - bornMs;
    if (ageMs < ttlMs) return;
    older = ageMs < 2 * ttlMs ? younger : new Set();
    younger = new Set();
    bornMs += Math.floor(ageMs / ttlMs) * ttlMs;
  }

  return {
    use(id, code = 'proof_replayed') {
      turn();
      const key = sha256Base64url(id);
      if (younger.has(key) || older.has(key)) throw new Denial(code);
      if (younger.size + older.size >= capacity) throw new Denial('overloaded');
      younger.add(key);
    },
    size() {
      turn();
      return younger.size + older.size;
    },
  };
}
