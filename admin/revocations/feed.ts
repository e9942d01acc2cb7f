/**
 * The feed as one process serves it. It follows the table: what other processes wrote is seen within 250 ms, what this
 * one wrote at once. However many connections there are, there is one timer and one query.
 */
import type { Revocation } from '../../plugin/contract.ts';
import type { Clock } from '../../plugin/ports.ts';
import type { Executor } from '../db/connect.ts';
import { latestSeq, readEntries } from './entries.ts';

const LOOK_EVERY_MS = 250;
export const HEARTBEAT_EVERY_MS = 1000;
/** A heartbeat says that nothing is missing; it is left out when the table was not seen for this long. */
const SEEN_WITHIN_MS = 1000;
const ENTRIES_PER_LOOK = 1000;
/** The newest entries, kept for connections that are a little behind. */
const KEPT_ENTRIES = 5000;
/** Before the first look. */
const UNKNOWN = -1;

export interface FeedListener {
  /** True while nobody waits for entries; then the table is not looked at. */
  isIdle(): boolean;
  /** There are entries after what was told before. */
  onEntries(): void;
  /** Once a second, while the table can be read. */
  onHeartbeat(seq: number): void;
}

/** Told once, when it changes. */
export interface FeedHealth {
  failed(error: unknown): void;
  recovered(): void;
}

export interface RevocationFeed {
  /** Looks at the table now: this process has written to it. Never throws. */
  poke(): Promise<void>;
  /** As `poke`, for one who depends on it. @throws what the database throws. */
  refresh(): Promise<void>;
  /** The latest number that this process has seen; all that are smaller are there. */
  latest(): number;
  /** The entries after a number, in order, from memory where it has them; not later than `latest()`. */
  after(seq: number, limit: number): Promise<readonly Revocation[]>;
  /** Answers the end of the subscription. */
  subscribe(listener: FeedListener): () => void;
  /** Stops the timers. */
  close(): void;
}

export function createRevocationFeed(db: Executor, clock: Clock, health: FeedHealth): RevocationFeed {
  const listeners = new Set<FeedListener>();
  /** `kept` ends with `latest`, without gaps. */
  let kept: Revocation[] = [];
  let latest = UNKNOWN;
  let seenAtMs = Number.NEGATIVE_INFINITY;
  let isFailing = false;
  let running: Promise<void> | undefined;
  let queued: Promise<void> | undefined;

  async function look(): Promise<void> {
    const startedAtMs = clock.monotonicMs();
    const newest = await latestSeq(db);
    const before = latest;
    // At first, and after a failover to a database that has not seen everything: what was told is another history.
    if (latest === UNKNOWN || newest < latest) {
      kept = [];
      latest = newest;
    }
    while (latest < newest) {
      const entries = await readEntries(db, { after: latest, limit: ENTRIES_PER_LOOK });
      latest = entries.at(-1)?.seq ?? latest;
      kept = [...kept, ...entries].slice(-KEPT_ENTRIES);
      if (entries.length === 0) break;
    }
    seenAtMs = startedAtMs;
    if (latest !== before) for (const listener of [...listeners]) listener.onEntries();
  }

  function start(): Promise<void> {
    running = look().finally(() => {
      running = undefined;
    });
    return running;
  }

  /** One look at a time; all who ask during one share the next, since the running one may have begun too early. */
  function refresh(): Promise<void> {
    if (running === undefined && queued === undefined) return start();
    queued ??= (running ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => {
        queued = undefined;
        return start();
      });
    return queued;
  }

  async function poke(): Promise<void> {
    try {
      await refresh();
      if (isFailing) health.recovered();
      isFailing = false;
    } catch (error) {
      if (!isFailing) health.failed(error);
      isFailing = true;
    }
  }

  const lookTimer = setInterval(() => {
    const isIdle = [...listeners].every((listener) => listener.isIdle());
    if (!isIdle && running === undefined) void poke();
  }, LOOK_EVERY_MS).unref();
  const heartbeatTimer = setInterval(() => {
    if (clock.monotonicMs() - seenAtMs > SEEN_WITHIN_MS) return;
    for (const listener of [...listeners]) listener.onHeartbeat(latest);
  }, HEARTBEAT_EVERY_MS).unref();

  return {
    poke,
    refresh,
    latest: () => latest,
    after: async (seq, limit) => {
      const first = kept[0]?.seq ?? latest + 1;
      if (seq + 1 >= first) return kept.slice(seq + 1 - first, seq + 1 - first + limit);
      return readEntries(db, { after: seq, upTo: latest, limit });
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => {
      clearInterval(lookTimer);
      clearInterval(heartbeatTimer);
      listeners.clear();
    },
  };
}
