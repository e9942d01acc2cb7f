/** One subscriber's view of the events: bounded, and only as fast as it reads. */
import { Denial } from '../../plugin/errors.ts';
import type { EventPort, ServerEvent } from './port.ts';

/** Things that wait to be shown to one subscriber; of more, the oldest are not shown. */
const MAX_WAITING = 1000;
/** Loaded and shown together. */
const MAX_AT_ONCE = 100;
/** Between two looks of one subscriber at the database. */
const PAUSE_MS = 200;
/** After this a client subscribes anew, and shows again who it is. */
const MAX_LIFETIME_MS = 3_600_000;

/** What one client, and all together, may have open. */
const MAX_PER_CLIENT = 10;
const MAX_TOTAL = 1000;

/** Counts what is open. */
export interface Seats {
  /** @throws Denial `rate_limited` (too many of this client), `overloaded`. @returns what gives the seat back, once. */
  take(client: string): () => void;
  taken(): number;
}

export function createSeats(): Seats {
  const byClient = new Map<string, number>();
  let total = 0;
  return {
    take: (client) => {
      const own = byClient.get(client) ?? 0;
      if (own >= MAX_PER_CLIENT) throw new Denial('rate_limited', { retryAfterSeconds: 5 });
      if (total >= MAX_TOTAL) throw new Denial('overloaded');
      byClient.set(client, own + 1);
      total++;
      let isTaken = true;
      return () => {
        if (!isTaken) return;
        isTaken = false;
        total--;
        const left = (byClient.get(client) ?? 1) - 1;
        if (left === 0) byClient.delete(client);
        else byClient.set(client, left);
      };
    },
    taken: () => total,
  };
}

export interface Subscription<T> {
  /** The id that is to be loaded for an event; `null` when it is none of this subscriber's. */
  match(event: ServerEvent): string | null;
  /** What may have been missed while no events came: ids to load, at the start too. */
  missed(): Promise<readonly string[]>;
  load(ids: readonly string[]): Promise<readonly T[]>;
  /** Asked before anything is shown, and when `account` has changed: false ends the subscription. */
  isAllowed(): Promise<boolean>;
  /** The account whose changes may end it. */
  readonly account: string;
}

/**
 * Follows events until the subscriber goes, may no more, or `signal` ends it. Reads from the database no faster than the
 * subscriber takes, and shows of a thing that changes quickly only how it is.
 */
export async function* follow<T>(
  events: EventPort,
  subscription: Subscription<T>,
  signal: AbortSignal,
): AsyncGenerator<T> {
  const waiting = new Set<string>();
  let hasGap = true;
  let mustCheck = false;
  let wake = (): void => undefined;
  const stop = AbortSignal.any([signal, AbortSignal.timeout(MAX_LIFETIME_MS)]);
  const unsubscribe = events.subscribe({
    onEvents: (list) => {
      for (const event of list) {
        if (event.kind === 'account' && event.id === subscription.account) mustCheck = true;
        const id = subscription.match(event);
        if (id !== null) waiting.add(id);
      }
      for (const id of waiting) {
        if (waiting.size <= MAX_WAITING) break;
        waiting.delete(id);
      }
      wake();
    },
    onGap: () => {
      hasGap = true;
      wake();
    },
  });
  const onStop = (): void => {
    wake();
  };
  stop.addEventListener('abort', onStop);
  const isOver = (): boolean => stop.aborted;
  const isQuiet = (): boolean => waiting.size === 0 && !hasGap && !mustCheck && !isOver();
  try {
    while (!isOver()) {
      if (isQuiet()) await new Promise<void>((resolve) => (wake = resolve));
      if (isOver()) return;
      mustCheck = false;
      if (!(await subscription.isAllowed())) return;
      if (hasGap) {
        hasGap = false;
        for (const id of await subscription.missed()) waiting.add(id);
      }
      const ids = [...waiting].slice(0, MAX_AT_ONCE);
      for (const id of ids) waiting.delete(id);
      if (ids.length > 0) yield* await subscription.load(ids);
      await pause(stop);
    }
  } finally {
    stop.removeEventListener('abort', onStop);
    unsubscribe();
  }
}

/** What comes in a burst is shown together. */
function pause(stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      stop.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, PAUSE_MS);
    stop.addEventListener('abort', done);
  });
}
