/** A session: one admitted viewing, from grant to end. State, timers and counters; decisions are the gate's. */
import { randomBytes } from 'node:crypto';
import { createBudget, type Budget } from './budget.ts';
import type { EndReason, Grant, Lease, Receipt, Redeemed } from './contract.ts';
import { errorFields } from './error-fields.ts';
import { asDenial, type Code } from './errors.ts';
import type { Clock, Log, MediaCounters, ReceiptSink, Redemptions, Viewing } from './ports.ts';
import { createReceiptChain } from './receipts/chain.ts';

export interface Session<V extends Viewing = Viewing> {
  /** UUIDv7, for logs and receipts; another one after `renew`. */
  readonly id: string;
  /** 128-bit secret of the session's URL; never logged. */
  readonly token: string;
  /** What the viewer is served under now; another one after `renew`. */
  readonly grant: Grant;
  /** What the viewer is served by now; another one after `move`. */
  readonly viewing: V;
  readonly ended: Promise<EndReason>;
  isEnded(): boolean;
  /** True while the media is lost (the host's process died) and the session waits for its viewer to ask for it anew. */
  isMediaLost(): boolean;
  /**
   * Goes on with another viewing in the place of one that was lost: nothing is redeemed again, and counters and
   * receipts go on. Answers false when the session has no need of it; the viewing is then the caller's to close.
   */
  move(viewing: V): Promise<boolean>;
  /**
   * Goes on under another grant, with the media untouched: what was used so far is closed with a receipt (`replaced`),
   * and from there on limits, counters and receipts are the new grant's, under its session id. Answers false when the
   * session has ended; what was redeemed is then the caller's to release.
   */
  renew(grant: Grant, redeemed: Redeemed | null): Promise<boolean>;
  /** Stops media, writes the final receipt. Idempotent: the first reason counts. */
  end(reason: EndReason): Promise<void>;
  /** The latest receipts, oldest first. */
  receipts(): readonly Receipt[];
}

export interface SessionOptions<V extends Viewing> {
  readonly grant: Grant;
  readonly viewing: V;
  /** What the order server said; `null` when nothing of the ticket is counted, then it is not asked again. */
  readonly redeemed: Redeemed | null;
  readonly redemptions: Redemptions;
  readonly sink: ReceiptSink;
  readonly clock: Clock;
  readonly log: Log;
  readonly receiptIntervalMs: number;
}

/** A reservation without media for this long goes back. */
const FIRST_MEDIA_WITHIN_MS = 30_000;
/** A session whose media is lost waits this long for its viewer. */
const MOVE_WITHIN_MS = 10_000;
/** A host that does not answer its counters must not hold up an end. */
const LAST_COUNTERS_WITHIN_MS = 300;
const COMMIT_RETRY_MS = 2000;
const KEPT_RECEIPTS = 100;
/** setTimeout's own limit is 2^31 - 1 ms; a longer wait is taken in steps. */
const LONGEST_WAIT_MS = 2_000_000_000;

/** What a timer is for. */
type Purpose = 'expiry' | 'budget' | 'commit' | 'receipt' | 'first media' | 'move';

/** Why the order server would not let an access be taken; anything else is a right that is used up, or that others have. */
const END_OF_CODE: Readonly<Partial<Record<Code, EndReason>>> = {
  ticket_revoked: 'revoked',
  ticket_expired: 'expired',
  session_ended: 'kicked',
};

/** Starts the timers of an admitted viewing. */
export function startSession<V extends Viewing>(options: SessionOptions<V>): Session<V> {
  const { redemptions, sink, clock, log, receiptIntervalMs } = options;
  const kept: Receipt[] = [];
  const timers = new Map<Purpose, NodeJS.Timeout>();
  const { promise: ended, resolve: resolveEnded } = Promise.withResolvers<EndReason>();

  let grant = options.grant;
  let viewing = options.viewing;
  /** What the viewings before this one have counted, less what was counted under grants before this one. */
  let before: MediaCounters = { mediaMs: 0, bytes: 0 };
  let mediaLost = false;
  /** `null` when nothing is counted. */
  let limits = options.redeemed;
  /** `null` when neither seconds nor bytes are limited. */
  let budget: Budget | null = createBudget(limits);
  let chain: ReturnType<typeof createReceiptChain> | undefined;
  let ending: Promise<void> | undefined;

  const ids = () => ({ session: grant.sessionId, ticket: grant.ticketId });

  /** One timer for each purpose: another one takes its place. */
  function after(purpose: Purpose, delayMs: number, run: () => void): void {
    if (ending !== undefined) return;
    clearTimeout(timers.get(purpose));
    const timer = setTimeout(
      () => {
        if (delayMs > LONGEST_WAIT_MS) after(purpose, delayMs - LONGEST_WAIT_MS, run);
        else run();
      },
      Math.max(0, Math.min(delayMs, LONGEST_WAIT_MS)),
    );
    timers.set(purpose, timer);
  }

  function write(counters: MediaCounters, reason?: EndReason): void {
    if (chain === undefined || (reason === undefined && !sink.hasRoom())) return;
    const at = Math.floor(clock.nowMs() / 1000);
    const receipt = chain.next({ at, ...counters, ...(reason === undefined ? {} : { reason }) });
    kept.push(receipt);
    if (kept.length > KEPT_RECEIPTS) kept.shift();
    sink.append(receipt);
  }

  async function readCounters(): Promise<MediaCounters> {
    const [base, now] = [before, await viewing.counters()];
    return { mediaMs: base.mediaMs + now.mediaMs, bytes: base.bytes + now.bytes };
  }

  function expiresInMs(): number {
    const atSeconds = Math.min(grant.expiresAtSeconds, limits?.expiresAt ?? Number.POSITIVE_INFINITY);
    return atSeconds * 1000 - clock.nowMs();
  }

  function watchExpiry(): void {
    // A timer may fire a little early, and the wall clock may have been set back: look again.
    after('expiry', expiresInMs(), () => (expiresInMs() <= 0 ? void end('expired') : watchExpiry()));
  }

  async function watchBudget(): Promise<void> {
    const watched = budget;
    if (watched === null) return;
    const counters = await readCounters();
    // Ended, or renewed: the other one is watched by itself.
    if (ending !== undefined || budget !== watched) return;
    const look = watched.look(counters);
    if (look === 'used up') return end('exhausted');
    if (look.isToAsk) write(counters);
    after('budget', look.againInMs, () => guard(watchBudget()));
  }

  async function commit(): Promise<void> {
    const under = grant;
    try {
      const committed = await redemptions.commit(under.sessionId);
      if (grant !== under) return;
      if (limits !== null) limits = { ...limits, expiresAt: committed.expiresAt };
      budget?.extend(committed);
      watchExpiry();
    } catch (error) {
      const { code } = asDenial(error);
      log.warn({ ...ids(), code }, 'the access could not be committed');
      if (grant !== under) return;
      if (code === 'order_server_unreachable') after('commit', COMMIT_RETRY_MS, () => guard(commit()));
      else await end(END_OF_CODE[code] ?? 'exhausted');
    }
  }

  function every(intervalMs: number): void {
    after('receipt', intervalMs, () => {
      const under = grant;
      guard(
        readCounters().then((counters) => {
          if (ending !== undefined) return;
          if (grant === under) write(counters);
          every(intervalMs);
        }),
      );
    });
  }

  /** Nothing that fails in a timer may end the process; a session whose host fails is over. */
  function guard(work: Promise<void>): void {
    work.catch((error: unknown) => {
      log.error({ ...ids(), ...errorFields(error) }, 'the session failed');
      void end('server_stopped');
    });
  }

  /** Media flows under the grant: its access is taken, its chain begins. */
  function beginChain(): void {
    const { sessionId: session, ticketId: ticket, uri } = grant;
    const opening = { session, ticket, uri, startedAt: Math.floor(clock.nowMs() / 1000) };
    chain = createReceiptChain(opening);
    const leased = budget;
    sink.open(opening, leased === null ? undefined : (lease: Lease) => leased.extend(lease));
    if (limits !== null) guard(commit());
    guard(watchBudget());
  }

  function begin(): void {
    if (ending !== undefined || chain !== undefined) return;
    beginChain();
    every(receiptIntervalMs);
    log.info(ids(), 'first media');
  }

  /** An access that was reserved and is not needed; it lapses by itself if that fails, but for what it was leased. */
  async function releaseAccess(sessionId: string): Promise<void> {
    await redemptions.release(sessionId).catch((error: unknown) => {
      log.warn({ session: sessionId, code: asDenial(error).code }, 'the access could not be released');
    });
  }

  async function lastCounters(): Promise<MediaCounters | null> {
    const late = new Promise<null>((resolve) => setTimeout(resolve, LAST_COUNTERS_WITHIN_MS, null).unref());
    return Promise.race([readCounters().catch(() => null), late]);
  }

  async function finish(reason: EndReason): Promise<void> {
    for (const timer of timers.values()) clearTimeout(timer);
    const counters = await lastCounters();
    viewing.close(reason);
    if (chain !== undefined) write(counters ?? { mediaMs: 0, bytes: 0 }, reason);
    log.info({ ...ids(), reason, ...counters }, 'session ended');
    resolveEnded(reason);
    if (chain === undefined && limits !== null) await releaseAccess(grant.sessionId);
  }

  function end(reason: EndReason): Promise<void> {
    ending ??= finish(reason);
    return ending;
  }

  function follow(served: V): void {
    served.onFirstMedia(begin);
    served.onGone((reason) => {
      if (served !== viewing) return;
      // Only who shows the same attempt again can be known to be the same viewer.
      if (reason === 'server_crashed' && grant.attempt !== null && ending === undefined) waitForViewer();
      else void end(reason);
    });
  }

  function waitForViewer(): void {
    const lost = viewing;
    mediaLost = true;
    log.info(ids(), 'the media of a session is lost: it waits for its viewer');
    after('move', MOVE_WITHIN_MS, () => {
      if (mediaLost && viewing === lost) void end('server_crashed');
    });
  }

  async function move(next: V): Promise<boolean> {
    const [lost, under] = [viewing, grant];
    const counted = await readCounters();
    if (!mediaLost || viewing !== lost || ending !== undefined) return false;
    if (grant !== under) return move(next);
    before = counted;
    viewing = next;
    mediaLost = false;
    follow(next);
    log.info(ids(), 'the session goes on with other media');
    return true;
  }

  async function renew(next: Grant, redeemed: Redeemed | null): Promise<boolean> {
    const [served, under] = [viewing, grant];
    const counted = await readCounters();
    if (ending !== undefined) return false;
    if (viewing !== served || grant !== under) return renew(next, redeemed);
    const reserved = chain === undefined && limits !== null;
    write(counted, 'replaced');
    // From here on counters count what leaves under the new grant.
    before = { mediaMs: before.mediaMs - counted.mediaMs, bytes: before.bytes - counted.bytes };
    grant = next;
    limits = redeemed;
    budget = createBudget(redeemed);
    for (const purpose of ['budget', 'commit'] as const) clearTimeout(timers.get(purpose));
    watchExpiry();
    if (chain !== undefined) beginChain();
    if (reserved) void releaseAccess(under.sessionId);
    log.info({ ...ids(), before: under.sessionId }, 'the session goes on under another ticket');
    return true;
  }

  follow(viewing);
  watchExpiry();
  after('first media', FIRST_MEDIA_WITHIN_MS, () => {
    if (chain === undefined) void end('source_ended');
  });

  return {
    get id() {
      return grant.sessionId;
    },
    token: randomBytes(16).toString('base64url'),
    get grant() {
      return grant;
    },
    get viewing() {
      return viewing;
    },
    ended,
    isEnded: () => ending !== undefined,
    isMediaLost: () => mediaLost && ending === undefined,
    move,
    renew,
    end,
    // What a crash could take back, another receipt could be put in the place of.
    receipts: () => kept.filter((receipt) => sink.isKept(receipt)),
  };
}
