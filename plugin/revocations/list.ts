/** What is revoked, by ticket, order, proof key and session: bounded, and forgotten when it no longer matters. */
import type { Revocation } from '../contract.ts';
import type { Clock, Revocations } from '../ports.ts';
import { keyOf, keysOf } from './keys.ts';

/** A list being put together in place of the one that holds. */
export interface StagedList {
  add(entries: readonly Revocation[]): void;
  /** From now on it is the list. */
  commit(): void;
}

export interface RevocationList extends Pick<Revocations, 'find'> {
  add(entry: Revocation): void;
  /** Begins an empty list; until its `commit` the one before holds. */
  stage(): StagedList;
  /** False when there was no room for an entry: then nobody may conclude that something is not revoked. */
  isComplete(): boolean;
  /** Looks at `count` entries, going round, and drops those whose time is past. */
  sweep(count: number): void;
  size(): number;
}

export interface RevocationListOptions {
  readonly clock: Pick<Clock, 'nowMs'>;
  /**
   * Entries held at the same time; default 1,000,000: about 190 MB when full, and as much again while a list is staged.
   */
  readonly capacity?: number;
}

/** Makes an empty list. Throws TypeError for a capacity that is not positive. */
export function createRevocationList({ clock, capacity = 1_000_000 }: RevocationListOptions): RevocationList {
  if (!(capacity >= 1)) throw new TypeError('capacity is not positive');
  /** Key -> unix seconds until which it is kept. */
  let entries = new Map<string, number>();
  let complete = true;
  let position = entries.entries();

  /** @returns false when there is no room */
  function put(map: Map<string, number>, { kind, value, until }: Revocation): boolean {
    if (until < Math.floor(clock.nowMs() / 1000)) return true;
    const key = keyOf(kind, value);
    const known = map.get(key);
    if (known === undefined && map.size >= capacity) return false;
    map.set(key, Math.max(until, known ?? 0));
    return true;
  }

  return {
    find(target) {
      if (keysOf({ ...target, sessionId: null }).some((key) => entries.has(key))) return 'revoked';
      const { sessionId } = target;
      return sessionId !== null && entries.has(keyOf('session', sessionId)) ? 'kicked' : null;
    },
    add(entry) {
      if (!put(entries, entry)) complete = false;
    },
    stage() {
      const staged = new Map<string, number>();
      let fits = true;
      return {
        add(more) {
          for (const entry of more) fits = put(staged, entry) && fits;
        },
        commit() {
          entries = staged;
          complete = fits;
          position = entries.entries();
        },
      };
    },
    isComplete: () => complete,
    sweep(count) {
      const nowSeconds = Math.floor(clock.nowMs() / 1000);
      for (let looked = 0; looked < count; looked += 1) {
        // A Map's iterator goes on rightly while entries come and go.
        const next = position.next();
        if (next.done === true) {
          position = entries.entries();
          return;
        }
        const [key, until] = next.value;
        if (until < nowSeconds) entries.delete(key);
      }
    },
    size: () => entries.size,
  };
}
