import type { Opening, Openings } from './opening.ts';
import { asProblem, codeOfEnd, isWorthWaiting, Problem, readProblem } from './problems.ts';
import { createReceiptCheck, type Verdict } from './receipt-check.ts';
import { parseReceipts, type Receipt } from './receipts.ts';
import type { PreparedRequest, SignedFetch } from './signed-fetch.ts';
import { openWhep, untilConnected, untilMediaIs, type OpenOptions, type WhepSession } from './whep.ts';

/** Where a viewing stands. `waiting`: the player tries again by itself; `ended`: the viewer decides. */
export type WatchState =
  | { readonly phase: 'idle' }
  | { readonly phase: 'connecting' }
  | { readonly phase: 'live' }
  | { readonly phase: 'waiting'; readonly code: string }
  | { readonly phase: 'ended'; readonly code: string };

/** What of a ticket the player must know. */
export interface TicketTerms {
  /** The ticket's `exp`. */
  readonly expiresAtSeconds: number;
  /** How much may be watched with the ticket, `null` for any. */
  readonly allowedSeconds: number | null;
  /** False where another admission would cost one of the accesses that were bought: then the viewer decides. */
  readonly mayReconnect: boolean;
}

export interface WatchOptions extends Pick<
  OpenOptions,
  'endpoint' | 'createPeerConnection' | 'createStream' | 'waitMs'
> {
  readonly signed: Pick<SignedFetch, 'send' | 'prepare' | 'use'>;
  readonly openings: Pick<Openings, 'take'>;
  readonly fetch: typeof fetch;
  readonly nowMs: () => number;
  readonly terms: TicketTerms;
  /** Why the order server thinks that a session (by its id) has ended, `null` when it does not know. */
  readonly explainEnd: (sessionId: string) => Promise<string | null>;
  readonly onState: (state: WatchState) => void;
  readonly onStream: (stream: MediaStream) => void;
}

export interface Watch {
  readonly state: WatchState;
  readonly session: WhepSession | null;
  /** Starts, or starts anew after an end. Does nothing while it is under way. */
  play(): void;
  /** Ends the viewing and frees its place. */
  stop(): Promise<void>;
  /** For `pagehide`: tells the server with a request that outlives the page. */
  leave(): void;
  /** @throws Problem. */
  readReceipts(): Promise<readonly Receipt[]>;
  /** What is wrong with the receipts that were read last, and those before; `null`: nothing. */
  readonly receiptVerdict: Verdict;
  /** How long the ticket lasts from now on, as far as this side knows. */
  leftMs(): number;
  /**
   * Goes on with another ticket of the same key, in the running session if there is one: its media does not stop.
   * @throws Problem; then nothing has changed
   */
  renew(ticket: string, terms: TicketTerms): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 15_000;
const DELETE_TIMEOUT_MS = 2_000;
const SILENCE_MS = 4_000;
const RENEWAL_PAUSES_MS = [400, 1500];
const SPARE_PROOF_EVERY_MS = 15_000;
const DEFAULT_RETRY_SECONDS = 5;
const MAX_RECONNECTS = 5;
/** How far this device's count of what was watched, or its clock, may be from the server's. */
const TOLERANCE_MS = 5_000;
const STABLE_MS = 20_000;

type Outcome =
  | { readonly next: 'wait'; readonly code: string; readonly seconds: number }
  | { readonly next: 'end'; readonly code: string };

/** The player's state machine: one ticket, one endpoint, any number of sessions one after the other. */
export function createWatch(options: WatchOptions): Watch {
  let state: WatchState = { phase: 'idle' };
  let session: WhepSession | null = null;
  /** Known from the first receipt on. */
  let sessionId: string | null = null;
  /** True when the server has said the session's present id with a renewal. */
  let isRenewed = false;
  /** What sessions are to run under; `null`: what it began with. */
  let renewedWith: string | null = null;
  /** Its ticket has run out before the next one reached the server. */
  let outrun: WhepSession | null = null;
  let spareDelete: PreparedRequest | null = null;
  let run: AbortController | null = null;
  let reconnects = 0;
  const receiptCheck = createReceiptCheck();
  let receiptVerdict: Verdict = null;
  let { terms } = options;
  /** How long media has flowed with this ticket, in all sessions together, but for what flows now. */
  let playedMs = 0;
  let flowsSinceMs: number | null = null;
  let spare: (() => void) | null = null;

  function setState(next: WatchState): void {
    state = next;
    options.onState(next);
  }

  async function loop(signal: AbortSignal): Promise<void> {
    setState({ phase: 'connecting' });
    while (!isAborted(signal)) {
      const outcome = await watchOnce(signal);
      if (isAborted(signal)) return;
      if (outcome.next === 'end') {
        run = null;
        setState({ phase: 'ended', code: outcome.code });
        return;
      }
      // Stays "waiting" during the next try, so that nothing flickers and nobody is told twice.
      if (state.phase !== 'waiting' || state.code !== outcome.code) {
        setState({ phase: 'waiting', code: outcome.code });
      }
      await options.waitMs(outcome.seconds * 1000, signal);
    }
  }

  /** One session, whatever happens to its media. */
  async function watchOnce(signal: AbortSignal): Promise<Outcome> {
    const opening = options.openings.take();
    let outcome = await watchMedia(opening, signal);
    if (outcome !== 'lost') return outcome;
    // The same attempt, with the same certificate: the server knows the session by it.
    const again = { ...opening, proof: Promise.resolve(null) };
    do outcome = await watchMedia(again, signal, reconnect);
    while (outcome === 'lost');
    return outcome;
  }

  /**
   * Until the media is over, or the server has lost it and keeps the session.
   * @param refused what comes of a refusal
   */
  async function watchMedia(
    opening: Opening,
    signal: AbortSignal,
    refused: (problem: Problem) => Outcome = outcomeOf,
  ): Promise<Outcome | 'lost'> {
    let opened: WhepSession | null = null;
    const under = renewedWith;
    try {
      opened = await openWhep({ ...options, opening, send: options.signed.send, signal });
      // While it was being opened the ticket has become another one.
      if (renewedWith !== null && renewedWith !== under) noteId(await renewSession(opened.url, renewedWith));
      else noteId(null);
    } catch (error) {
      if (opened !== null) await close(opened);
      return refused(asProblem(error));
    }
    session = opened;
    if (isAborted(signal)) {
      await close(opened);
      return { next: 'end', code: 'viewer_left' };
    }
    setState({ phase: 'connecting' });
    options.onStream(opened.stream);
    const connected = await untilConnected(opened.peerConnection, CONNECT_TIMEOUT_MS, signal);
    if (isAborted(signal)) return { next: 'end', code: 'viewer_left' };
    if (!connected) {
      await close(opened);
      return { next: 'end', code: 'connection_failed' };
    }
    const liveSinceMs = options.nowMs();
    const stopSparing = keepSpareDelete(opened);
    const over = new AbortController();
    await followMedia(opened, signal, over);
    stopSparing();
    if (isAborted(signal)) return { next: 'end', code: 'viewer_left' };
    const told: unknown = over.signal.reason;
    if (told instanceof Problem && told.code === 'media_lost') {
      opened.peerConnection.close();
      return 'lost';
    }
    if (options.nowMs() - liveSinceMs >= STABLE_MS) reconnects = 0;
    if (outrun === opened) {
      await close(opened);
      return { next: 'wait', code: 'connection_lost', seconds: 0 };
    }
    const outcome = told instanceof Problem ? outcomeOfEnd(told.reason) : await diagnose(opened);
    await close(opened);
    return outcome;
  }

  /**
   * Until the connection is gone. A connection that carries nothing is kept: the source has paused or has not begun,
   * and the session goes on with it without another admission. When packets stay out the server is asked whether it
   * has lost them, or has ended the session.
   * @param over is aborted, with the Problem, when it has
   */
  async function followMedia(
    { peerConnection, url }: WhepSession,
    signal: AbortSignal,
    over: AbortController,
  ): Promise<void> {
    const either = AbortSignal.any([signal, over.signal]);
    const look = async (): Promise<void> => {
      const response = await options.fetch(url, { cache: 'no-store' });
      if (response.ok) return;
      const problem = await readProblem(response);
      if (problem.code === 'media_lost' || problem.reason !== null) over.abort(problem);
    };
    const ask = (): void => void look().catch(() => undefined);
    for (;;) {
      setState({ phase: 'live' });
      flowsSinceMs = options.nowMs();
      const change = await untilMediaIs('silent', peerConnection, SILENCE_MS, either, ask);
      playedMs += options.nowMs() - flowsSinceMs - (change === 'silent' ? SILENCE_MS : 0);
      flowsSinceMs = null;
      if (change === 'gone') return;
      const reaches = peerConnection.connectionState === 'connected';
      setState({ phase: 'waiting', code: reaches ? 'stream_offline' : 'connection_lost' });
      if ((await untilMediaIs('flowing', peerConnection, SILENCE_MS, either)) === 'gone') return;
    }
  }

  /** Why the media stopped. Asked before any new try, so that no access is spent on a stream that is off air. */
  async function diagnose(dropped: WhepSession): Promise<Outcome> {
    if (options.nowMs() >= terms.expiresAtSeconds * 1000) return { next: 'end', code: 'ticket_expired' };
    try {
      const last = (await readReceiptsOf(dropped)).at(-1);
      // Those of a ticket before this one have ended for themselves.
      return outcomeOfEnd(last?.session === sessionId ? last.reason : null);
    } catch (error) {
      const problem = asProblem(error);
      if (problem.reason !== null) return outcomeOfEnd(problem.reason);
      if (problem.code !== 'session_ended' && problem.code !== 'not_found') return outcomeOf(problem);
      const reason = sessionId === null ? null : await options.explainEnd(sessionId).catch(() => null);
      if (reason !== null) return outcomeOfEnd(reason);
      return askAgain();
    }
  }

  /** That the viewer has left is news here: it is the server's word for a connection that carries nothing any more. */
  function outcomeOfEnd(reason: string | null): Outcome {
    // Its lease was: others may have the rest of the ticket, or the order server may be away and have more of it.
    if (reason === 'exhausted') return askAgain();
    return reason === null || reason === 'viewer_left' ? reconnect() : outcomeOfReason(reason);
  }

  /** With a try to spare the server itself says why; otherwise what this side knows must do. */
  function askAgain(): Outcome {
    return terms.mayReconnect ? reconnect() : { next: 'end', code: likelyEnd() };
  }

  /** Why a session has ended of which that is not known, by the ticket's own limits. */
  function likelyEnd(): string {
    const { expiresAtSeconds, allowedSeconds } = terms;
    if (options.nowMs() + TOLERANCE_MS >= expiresAtSeconds * 1000) return 'ticket_expired';
    const isUsedUp = allowedSeconds !== null && playedMs + TOLERANCE_MS >= allowedSeconds * 1000;
    return isUsedUp ? 'rights_exhausted' : 'session_ended';
  }

  function reconnect(): Outcome {
    if (!terms.mayReconnect || reconnects >= MAX_RECONNECTS) return { next: 'end', code: 'session_ended' };
    reconnects += 1;
    return { next: 'wait', code: 'connection_lost', seconds: Math.min(2 ** (reconnects - 1), 15) };
  }

  /** Frees the place on the server, then hangs up; a server that has closed already says 404, which is as good. */
  async function close(closing: WhepSession): Promise<void> {
    if (session === closing) session = null;
    spareDelete = null;
    const patience = AbortSignal.timeout(DELETE_TIMEOUT_MS);
    await options.signed.send({ method: 'DELETE', url: closing.url }, patience).catch(() => undefined);
    closing.peerConnection.close();
  }

  /** `pagehide` leaves no time to sign: a proof for the last request is kept ready, and fresh. */
  function keepSpareDelete(live: WhepSession): () => void {
    const refresh = (): void => {
      void options.signed.prepare({ method: 'DELETE', url: live.url }).then((request) => {
        if (session === live) spareDelete = request;
      });
    };
    refresh();
    spare = refresh;
    const timer = setInterval(refresh, SPARE_PROOF_EVERY_MS);
    return () => {
      clearInterval(timer);
      spare = null;
    };
  }

  /** @param id as the server has said it with a renewal; `null`: it is not known yet */
  function noteId(id: string | null): void {
    sessionId = id;
    isRenewed = id !== null;
  }

  /** Again while the reply is lost: the same ticket changes nothing the second time. */
  async function renewSession(url: string, ticket: string): Promise<string | null> {
    for (const pauseMs of [...RENEWAL_PAUSES_MS, null]) {
      try {
        const response = await options.signed.send({ method: 'POST', url: `${url}/ticket`, ticket });
        const body = (await response.json().catch(() => null)) as { session?: unknown } | null;
        return typeof body?.session === 'string' ? body.session : null;
      } catch (error) {
        if (asProblem(error).code !== 'network' || pauseMs === null) throw error;
        await options.waitMs(pauseMs, NEVER);
      }
    }
    return null;
  }

  async function readReceiptsOf(of: WhepSession): Promise<readonly Receipt[]> {
    const response = await options.signed.send({ method: 'GET', url: `${of.url}/receipts` });
    const body: unknown = await response.json();
    receiptVerdict = await receiptCheck.look(body);
    const receipts = parseReceipts(body);
    if (!isRenewed) sessionId = receipts.at(-1)?.session ?? sessionId;
    return receipts;
  }

  return {
    get state() {
      return state;
    },
    get session() {
      return session;
    },
    get receiptVerdict() {
      return receiptVerdict;
    },
    play() {
      if (run !== null) return;
      run = new AbortController();
      reconnects = 0;
      void loop(run.signal);
    },
    async stop() {
      const closing = session;
      run?.abort();
      run = null;
      setState({ phase: 'idle' });
      if (closing !== null) await close(closing);
    },
    leave() {
      run?.abort();
      run = null;
      if (spareDelete !== null) {
        void options.fetch(spareDelete.url, { ...spareDelete.init, keepalive: true }).catch(() => undefined);
        spareDelete = null;
      }
      session?.peerConnection.close();
      session = null;
    },
    leftMs() {
      const { expiresAtSeconds, allowedSeconds } = terms;
      const flowsMs = flowsSinceMs === null ? 0 : options.nowMs() - flowsSinceMs;
      const left = allowedSeconds === null ? Infinity : allowedSeconds * 1000 - playedMs - flowsMs;
      return Math.max(0, Math.min(expiresAtSeconds * 1000 - options.nowMs(), left));
    },
    async renew(ticket, next) {
      let renewed: WhepSession | null;
      let id: string | null = null;
      // It may be lost meanwhile, and another one begin with the ticket before.
      do {
        renewed = session;
        try {
          id = renewed === null ? null : await renewSession(renewed.url, ticket);
        } catch (error) {
          // What became of a session that is gone says nothing of the ticket.
          if (session?.url !== renewed?.url) continue;
          if (!hasRunOut(asProblem(error))) throw error;
          outrun = renewed;
        }
      } while (session?.url !== renewed?.url);
      options.signed.use(ticket);
      renewedWith = ticket;
      terms = next;
      playedMs = 0;
      if (flowsSinceMs !== null) flowsSinceMs = options.nowMs();
      if (session === null) return;
      noteId(id);
      spare?.();
    },
    async readReceipts() {
      if (session === null) throw new Problem('session_ended');
      return readReceiptsOf(session);
    },
  };
}

const NEVER = new AbortController().signal;

/** True if a session is over by its ticket's own limits, or nobody knows any more by what. */
function hasRunOut({ code, reason }: Problem): boolean {
  return code === 'session_ended' && (reason === null || reason === 'expired' || reason === 'exhausted');
}

/** A function, because the compiler takes a property that was read once for unchanged after an `await`. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

function outcomeOf(problem: Problem): Outcome {
  if (!isWorthWaiting(problem.code)) return { next: 'end', code: problem.code };
  return { next: 'wait', code: problem.code, seconds: problem.retryAfterSeconds ?? DEFAULT_RETRY_SECONDS };
}

function outcomeOfReason(reason: string): Outcome {
  return outcomeOf(new Problem(codeOfEnd(reason), { retryAfterSeconds: 3 }));
}
