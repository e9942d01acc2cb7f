/** Timestamps and the memory of messages (RFC 3830 section 5.4). */
import { MikeyError } from './error.ts';

export interface MikeyReplay {
  /**
   * Notes an authentic message.
   * @param id what nobody else's message has: its MAC
   * @param timestampMs Unix time that it states
   * @param nowMs Unix time
   * @throws MikeyError `invalid_timestamp` when its time is too far off, or so long ago that it may have been forgotten;
   *   `replayed`; `overloaded` when the memory is full: nothing is forgotten before its time
   */
  use(id: string, timestampMs: number, nowMs: number): void;
  /** Messages that are remembered, at most the capacity. */
  size(): number;
}

export interface MikeyReplayOptions {
  /** How far the clocks of both sides may be apart; default 5 minutes. */
  readonly windowMs?: number;
  /** Messages remembered at the same time; default 100,000 (about 10 MB). */
  readonly capacity?: number;
}

/** A memory for one process; constant time per use. */
export function createMikeyReplay(options: MikeyReplayOptions = {}): MikeyReplay {
  const { windowMs = 300_000, capacity = 100_000 } = options;
  if (!(windowMs > 0) || !(capacity >= 1)) throw new RangeError('windowMs or capacity is not positive');
  // A message may come first when its time lies ahead, and again until it lies behind: twice the window.
  const lifeMs = 2 * windowMs;
  let younger = new Set<string>();
  let older = new Set<string>();
  let bornMs = 0;
  let [newestMs, newestOfOlderMs, forgottenMs] = [-Infinity, -Infinity, -Infinity];

  /** Two generations; the older one goes once all of it has lived. A clock that goes back makes them live longer. */
  function turn(nowMs: number): void {
    if (nowMs - bornMs < lifeMs) return;
    const isAllOld = nowMs - bornMs >= 2 * lifeMs;
    // A clock that has jumped ahead and comes back must not make what was forgotten new.
    forgottenMs = Math.max(forgottenMs, newestOfOlderMs, isAllOld ? newestMs : -Infinity);
    older = isAllOld ? new Set() : younger;
    newestOfOlderMs = isAllOld ? -Infinity : newestMs;
    younger = new Set();
    newestMs = -Infinity;
    bornMs = nowMs;
  }

  return {
    use(id, timestampMs, nowMs) {
      if (!(Math.abs(timestampMs - nowMs) <= windowMs))
        throw new MikeyError('invalid_timestamp', 'the timestamp is too far from the clock');
      turn(nowMs);
      if (younger.has(id) || older.has(id))
        throw new MikeyError('replayed', 'the message was received before');
      if (timestampMs <= forgottenMs)
        throw new MikeyError('invalid_timestamp', 'the timestamp is older than the memory');
      if (younger.size + older.size >= capacity)
        throw new MikeyError('overloaded', 'the memory of messages is full');
      younger.add(id);
      newestMs = Math.max(newestMs, timestampMs);
    },
    size: () => younger.size + older.size,
  };
}
