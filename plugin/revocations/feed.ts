/** The revocation feed: follows the order server's numbered events, and knows when it knows too little. */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';
import {
  heartbeatSchema,
  KNOWS_NOTHING,
  MAX_REVOCATION_EVENT_CHARS,
  revocationSchema,
  snapshotSchema,
  type Revocation,
} from '../contract.ts';
import { asDenial } from '../errors.ts';
import type { Clock, Log, Revocations, RevocationSource } from '../ports.ts';
import { createEventParser, type ServerSentEvent } from './events.ts';
import { createRevocationList, type StagedList } from './list.ts';

export interface RevocationFeedOptions {
  readonly source: RevocationSource;
  readonly clock: Clock;
  readonly log: Log;
  /** After this long without a heartbeat nobody is admitted; default 300,000. */
  readonly staleAfterMs?: number;
  /** A connection without an event for this long is given up; default 3000. */
  readonly silenceMs?: number;
  /** Told each time when the order server is heard again. */
  readonly onBack?: () => void;
  /** Entries held; what is more makes the list useless for admission until there is room. */
  readonly capacity?: number;
}

export interface FeedStats {
  /** Since the last heartbeat that found nothing missing; infinite before the first. */
  readonly ageMs: number;
  readonly entries: number;
  /** Connections begun after the first one. */
  readonly reconnects: number;
}

export interface RevocationFeed extends Revocations {
  stats(): FeedStats;
  close(): void;
}

const LAST_RETRY_MS = 1000;
const FIRST_RETRY_MS = 100;
/** After these many failures in a row the log is told again. */
const LOG_EVERY = 60;
/** Entries looked at with each heartbeat: a full list is gone through in a few minutes. */
const SWEEP_ENTRIES = 5000;
/** A list that had no room for something is asked for anew this often. */
const REFILL_AFTER_MS = 60_000;

/** What the stream should not have said; the message names the rule. */
class FeedError extends Error {
  override readonly name = 'FeedError';
}

function parse<T>(schema: z.ZodType<T>, { event, data }: ServerSentEvent): T {
  let json: unknown;
  try {
    json = JSON.parse(data);
  } catch {
    throw new FeedError(`${event}: no JSON`);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new FeedError(`${event}: of another form`);
  return parsed.data;
}

/**
 * Begins to follow the feed, for as long as the process runs or until `close`. A cut connection is taken up again where
 * it ended, after at most a second; what cannot be followed (a gap, an unknown event, silence) counts as cut.
 */
export function createRevocationFeed(options: RevocationFeedOptions): RevocationFeed {
  const { source, clock, log, staleAfterMs = 300_000, silenceMs = 3000, onBack, capacity } = options;
  const list = createRevocationList({ clock, ...(capacity === undefined ? {} : { capacity }) });
  const listeners: ((entry: Revocation | null) => void)[] = [];
  const closing = new AbortController();

  /** The latest number that the list has. */
  let after = KNOWS_NOTHING;
  let heard: { readonly wallMs: number; readonly monotonicMs: number } | null = null;
  let snapshotAtMs = 0;
  let connections = 0;
  let failures = 0;

  const tell = (entry: Revocation | null): void => {
    for (const listener of listeners) listener(entry);
  };

  function hear(): void {
    heard = { wallMs: clock.nowMs(), monotonicMs: clock.monotonicMs() };
    if (failures === 0) return;
    log.info({ after, failures }, 'the revocation feed is back');
    failures = 0;
    onBack?.();
  }

  /** By whichever clock more has passed: one of them stands still while a machine sleeps. */
  function ageMs(): number {
    if (heard === null) return Number.POSITIVE_INFINITY;
    return Math.max(clock.nowMs() - heard.wallMs, clock.monotonicMs() - heard.monotonicMs, 0);
  }

  /** What the events of one connection mean, in their order. */
  function createFollower(): (event: ServerSentEvent) => void {
    let staged: StagedList | null = null;
    let latest = after;

    function take(entry: Revocation): void {
      staged?.add([entry]);
      list.add(entry);
      latest = Math.max(latest, entry.seq);
      if (staged === null) after = latest;
      tell(entry);
    }

    function takeSnapshot(event: ServerSentEvent): void {
      const { seq, revocations } = parse(snapshotSchema, event);
      if (staged === null) latest = seq;
      staged ??= list.stage();
      staged.add(revocations);
      if (event.event === 'snapshot-part') return;
      staged.commit();
      staged = null;
      after = Math.max(seq, latest);
      snapshotAtMs = clock.monotonicMs();
      if (!list.isComplete()) log.error({ entries: list.size() }, 'more is revoked than there is room for');
      tell(null);
      hear();
    }

    function takeHeartbeat(event: ServerSentEvent): void {
      const { seq } = parse(heartbeatSchema, event);
      if (staged !== null) return;
      if (seq !== after) throw new FeedError('heartbeat: a gap');
      hear();
      list.sweep(SWEEP_ENTRIES);
      if (!list.isComplete() && clock.monotonicMs() - snapshotAtMs >= REFILL_AFTER_MS) {
        after = KNOWS_NOTHING;
        throw new FeedError('the list is not complete');
      }
    }

    return (event) => {
      if (event.event === 'revocation') take(parse(revocationSchema, event));
      else if (event.event === 'heartbeat') takeHeartbeat(event);
      else if (event.event === 'snapshot' || event.event === 'snapshot-part') takeSnapshot(event);
      // It may take something back in a way that we do not understand.
      else throw new FeedError('an unknown event');
    };
  }

  /** Follows one connection until it ends; always throws. */
  async function follow(): Promise<never> {
    const connection = new AbortController();
    // Not AbortSignal.any: what it makes may live as long as the signal that outlives it.
    const stop = (): void => connection.abort();
    closing.signal.addEventListener('abort', stop);
    const timer = setTimeout(() => connection.abort(new FeedError('silence')), silenceMs);
    try {
      connections += 1;
      const stream = await source.openRevocations(after, connection.signal);
      const parser = createEventParser(MAX_REVOCATION_EVENT_CHARS);
      const takeEvent = createFollower();
      for await (const chunk of stream) {
        for (const event of parser.push(chunk)) {
          takeEvent(event);
          timer.refresh();
        }
      }
      throw new FeedError('the stream ended');
    } catch (error) {
      // Whatever the broken connection said, this was why.
      throw connection.signal.aborted ? connection.signal.reason : error;
    } finally {
      clearTimeout(timer);
      closing.signal.removeEventListener('abort', stop);
    }
  }

  function noteFailure(error: unknown): void {
    failures += 1;
    if (failures % LOG_EVERY !== 1) return;
    const { code } = asDenial(error);
    const cause =
      error instanceof FeedError ? error.message : error instanceof Error ? error.name : 'unknown';
    const fields = code === 'internal' ? { cause } : { code };
    log.warn({ ...fields, after, failures }, 'the revocation feed is cut');
  }

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      await follow().catch((error: unknown) => {
        if (!closing.signal.aborted) noteFailure(error);
      });
      const ceiling = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** failures);
      // Jitter, so that servers do not come back in step.
      await sleep(randomInt(ceiling / 2, ceiling), undefined, { signal: closing.signal }).catch(
        () => undefined,
      );
    }
  }

  void run();

  return {
    find: (target) => list.find(target),
    isStale: () => ageMs() > staleAfterMs || !list.isComplete(),
    onChange: (listener) => void listeners.push(listener),
    stats: () => ({ ageMs: ageMs(), entries: list.size(), reconnects: Math.max(0, connections - 1) }),
    close: () => closing.abort(),
  };
}
