/** Timestamps and the memory of messages (RFC 3830 section 5.4). */
import { MikeyError } from './error.ts';

export interface MikeyReplay {
  /**
   * Notes an authentic message.
   * @param id what nobody else's message has: its MAC
   * @param timestampMs Unix time that it states
   * @param nowMs Unix time
   * @param owner whose message it is: each owner has a part of the memory, so that none fills it for all; default nobody's
   * @throws MikeyError `invalid_timestamp` when its time is too far off, or so long ago that it may have been forgotten;
   *   `replayed`; `overloaded` when the memory, or the owner's part, is full: nothing is forgotten before its time
   */
  use(id: string, timestampMs: number, nowMs: number, owner?: string): void;
  /** Messages that are remembered, at most the capacity. */
  size(): number;
}

export interface MikeyReplayOptions {
  /** How far the clocks of both sides may be apart; default 5 minutes. */
  readonly windowMs?: number;
  /** Messages remembered at the same time; default 100,000 (about 10 MB). */
  readonly capacity?: number;
  /** Messages of one owner (for `acceptPskInit` a pre-shared key) remembered at the same time; default 1,000. */
  readonly capacityPerOwner?: number;
}

/** Messages that came at about the same time. */
interface Generation {
  readonly ids: Set<string>;
  /** How many each owner has. */
  readonly counts: Map<string, number>;
}

const generation = (): Generation => ({ ids: new Set(), counts: new Map() });

/** A memory for one process; constant time per use. */
export function createMikeyReplay(options: MikeyReplayOptions = {}): MikeyReplay {
  const { windowMs = 300_000, capacity = 100_000, capacityPerOwner = 1000 } = options;
  if (!(windowMs > 0) || !(capacity >= 1) || !(capacityPerOwner >= 1))
    throw new RangeError('windowMs or a capacity is not positive');
  // A message may come first when its time lies ahead, and again until it lies behind: twice the window.
  const lifeMs = 2 * windowMs;
  let younger = generation();
  let older = generation();
  let bornMs = 0;
  let [newestMs, newestOfOlderMs, forgottenMs] = [-Infinity, -Infinity, -Infinity];

  /** Two generations; the older one goes once all of it has lived. A clock that goes back makes them live longer. */
  function turn(nowMs: number): void {
    if (nowMs - bornMs < lifeMs) return;
    const isAllOld = nowMs - bornMs >= 2 * lifeMs;
    // A clock that has jumped ahead and comes back must not make what was forgotten new.
    forgottenMs = Math.max(forgottenMs, newestOfOlderMs, isAllOld ? newestMs : -Infinity);
    older = isAllOld ? generation() : younger;
    newestOfOlderMs = isAllOld ? -Infinity : newestMs;
    younger = generation();
    newestMs = -Infinity;
    bornMs = nowMs;
  }

  const size = (): number => younger.ids.size + older.ids.size;
  const sizeOf = (owner: string): number => (younger.counts.get(owner) ?? 0) + (older.counts.get(owner) ?? 0);

  return {
    use(id, timestampMs, nowMs, owner) {
      if (!(Math.abs(timestampMs - nowMs) <= windowMs))
        throw new MikeyError('invalid_timestamp', 'the timestamp is too far from the clock');
      turn(nowMs);
      if (younger.ids.has(id) || older.ids.has(id))
        throw new MikeyError('replayed', 'the message was received before');
      if (timestampMs <= forgottenMs)
        throw new MikeyError('invalid_timestamp', 'the timestamp is older than the memory');
      if (size() >= capacity) throw new MikeyError('overloaded', 'the memory of messages is full');
      if (owner !== undefined) {
        if (sizeOf(owner) >= capacityPerOwner)
          throw new MikeyError('overloaded', 'the memory of messages is full for this owner');
        younger.counts.set(owner, (younger.counts.get(owner) ?? 0) + 1);
      }
      younger.ids.add(id);
      newestMs = Math.max(newestMs, timestampMs);
    },
    size,
  };
}
