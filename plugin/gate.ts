/** The gate: access request in, session or denial out. Decisions only; timers and counters are the session's. */
import { createHash } from 'node:crypto';
import { uuidv7 } from 'uuidv7';
import { createAccesses } from './accesses.ts';
import type {
  AccessRequest,
  EndReason,
  Grant,
  Protocol,
  Receipt,
  RenewalRequest,
  SessionRequest,
} from './contract.ts';
import { asDenial, Denial, type Code } from './errors.ts';
import type {
  Clock,
  KeySource,
  Log,
  ReceiptSink,
  Redemptions,
  Reports,
  Revocations,
  StreamKeys,
  UnsealKey,
  Viewing,
} from './ports.ts';
import { createRefusalDelay } from './refusal-delay.ts';
import { createRenewals } from './renewal.ts';
import { createEnforcer } from './revocations/enforce.ts';
import { startSession, type Session } from './session.ts';
import { createTicketChecks, type Presented } from './ticket-checks.ts';
import {
  createPassBook,
  parseAuthorization,
  PASS_SECONDS,
  type Nonces,
  type ReplayMemory,
} from './ticket/index.ts';

export interface GateOptions {
  /** This server's id: what a ticket's `aud` must include. */
  readonly serverId: string;
  readonly keys: KeySource;
  readonly unsealKeys: readonly UnsealKey[];
  readonly nonces: Nonces;
  readonly replay: ReplayMemory;
  readonly redemptions: Redemptions;
  readonly revocations: Revocations;
  readonly streamKeys: StreamKeys;
  readonly sink: ReceiptSink;
  /** Told of proofs that are shown again. */
  readonly reports?: Reports;
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds between progress receipts; default 5000. */
  readonly receiptIntervalMs?: number;
  /** Sessions at the same time; default 10,000. */
  readonly maxSessions?: number;
  /** Told of every decision to play, for metrics. */
  readonly observe?: (outcome: Code | 'admitted', protocol: Protocol) => void;
  /** Holds the refusal of a wrong stream key back, on every protocol; default: a random delay of up to a second. */
  readonly delayRefusal?: () => Promise<void>;
}

/** What an adapter can do for an admitted viewer. */
export interface Media<V extends Viewing> {
  isLive(): boolean;
  /** Opens the media for one viewer; nothing may leave before. Throws Denial. */
  open(grant: Grant): Promise<V>;
}

export interface Gate {
  /**
   * Decides on a request to play: ticket, proof, rights, then the access with the order server, then the media. The
   * same attempt by the same key with the same body answers the session that it already has (a lost reply). So does one
   * with another body when the session's media was lost, and gets media anew in it, without taking an access. A request
   * with a pass is decided by what the pass was given for.
   * @throws Denial
   */
  admit<V extends Viewing>(request: AccessRequest, media: Media<V>): Promise<Session<V>>;
  /**
   * Exchanges ticket and proof, or a pass, for a pass. Nothing is counted before the pass is used.
   * @param prepare what is to be had for it, once the request is found good; when it throws, a pass stays good
   * @throws Denial, and what `prepare` throws
   */
  mintPass(request: AccessRequest, prepare?: () => Promise<void>): Promise<Pass>;
  /**
   * Checks that a later request of a session is made by the admitted holder.
   * @throws Denial
   */
  prove(session: Session, request: SessionRequest): Promise<void>;
  /**
   * The latest receipts of a session, oldest first, for its admitted holder; also after its end.
   * @throws Denial
   */
  readReceipts(session: Session, request: SessionRequest): Promise<readonly Receipt[]>;
  /**
   * Puts another ticket in the place of the one that a running session was admitted with; the media goes on. The same
   * ticket again changes nothing. When it throws, the session goes on as it was.
   * @throws Denial as `admit`; `session_ended`; for a ticket of another key `proof_invalid`, for one that takes away
   *   what the viewer has `rights_insufficient`
   */
  renew(session: Session, request: RenewalRequest): Promise<void>;
  /**
   * Decides on a request to publish.
   * @throws Denial `stream_key_invalid`, `order_server_unreachable`
   */
  authorizePublish(request: { uri: string; streamKey: string; peer: string }): Promise<void>;
  /** The DPoP nonce that goes into every reply (RFC 9449 section 8.2). */
  nonce(): string;
  sessions(): readonly Session[];
  /** Ends every session and admits no more. */
  close(reason: EndReason): Promise<void>;
}

export interface Pass {
  /** At most 80 characters; for one connection. */
  readonly pass: string;
  readonly expiresInSeconds: number;
  /** The ticket's secret, for what is agreed on before there is a session; never told to anybody. */
  readonly key: Uint8Array | null;
}

interface Attempt {
  readonly bodyHash: string;
  readonly session: Promise<Session>;
  /** `null` while it is being opened. */
  running: Session | null;
}

/** For a session of its own. */
const grantOf = ({ claims, ask, attempt, key, watermark }: Presented): Grant => ({
  sessionId: uuidv7(),
  ticketId: claims.jti,
  issuer: claims.iss,
  subject: claims.sub,
  uri: claims.uri,
  rights: claims.rights,
  ask,
  jkt: claims.cnf?.jkt ?? null,
  attempt,
  expiresAtSeconds: claims.exp,
  key,
  watermark,
});

const attemptName = (ticketId: string, attempt: string | null): string => `${ticketId} ${attempt ?? ''}`;

const ticketHash = (ticket: string): string => createHash('sha256').update(ticket).digest('base64url');

/** Makes the gate of one streaming server. */
export function createGate(options: GateOptions): Gate {
  const { redemptions, streamKeys, sink, clock, log, nonces, revocations } = options;
  const { receiptIntervalMs = 5000, maxSessions = 10_000 } = options;
  const { delayRefusal = createRefusalDelay() } = options;
  const checks = createTicketChecks(options);
  const enforcer = createEnforcer(revocations);
  const accesses = createAccesses({ redemptions, log });
  const running = new Set<Session>();
  /** The hash of the ticket that each is held by, also after its end. */
  const holders = new WeakMap<Session, string>();
  const attempts = new Map<string, Attempt>();
  const isHeld = (session: Session, ticket: string): boolean => holders.get(session) === ticketHash(ticket);
  const { requireUnrevoked } = checks;
  const renewals = createRenewals({ accesses, clock, isHeld, requireUnrevoked, onRenewed: follow });
  const passes = createPassBook<Presented>({ clock });
  let opening = 0;
  let closed = false;
  const isClosed = (): boolean => closed; // A function: it changes while we wait.

  async function open<V extends Viewing>(presented: Presented, media: Media<V>): Promise<Session<V>> {
    const { claims } = presented;
    if (!media.isLive()) throw new Denial('stream_offline');
    if (closed || running.size + opening >= maxSessions) throw new Denial('overloaded');
    if (!sink.takesSessions()) throw new Denial('overloaded', { detail: 'receipts cannot be kept' });
    opening += 1;
    try {
      const grant = grantOf(presented);
      const { redeemed, viewing } = await accesses.take(grant, presented, (to) => media.open(to));
      // It may have been revoked while the order server was asked and the media were opened.
      const lost = revocations.find(grant);
      if (lost !== null) {
        viewing.close(lost);
        if (redeemed !== null) void accesses.release(grant.sessionId);
        throw new Denial(lost === 'kicked' ? 'session_ended' : 'ticket_revoked');
      }
      const session = startSession({
        grant,
        viewing,
        redeemed,
        redemptions,
        sink,
        clock,
        log,
        receiptIntervalMs,
      });
      running.add(session);
      holders.set(session, ticketHash(presented.ticket));
      enforcer.watch(session);
      void session.ended.then(() => running.delete(session));
      if (isClosed()) void session.end('server_stopped');
      log.info({ session: session.id, ticket: claims.jti, uri: claims.uri }, 'admitted');
      return session;
    } finally {
      opening -= 1;
    }
  }

  /** A pass stands for a ticket and a proof that were checked a moment ago; what depends on the connection is not. */
  async function withPass<R>(
    request: AccessRequest,
    pass: string,
    use: (presented: Presented, restore: () => void) => R | Promise<R>,
  ): Promise<R> {
    const taken = passes.take(pass);
    if (taken === undefined) throw new Denial('pass_invalid');
    let isTaken = true;
    /** Once: another connection may have taken it meanwhile. */
    function restore(): void {
      if (isTaken) taken?.restore();
      isTaken = false;
    }
    try {
      checks.recheck(taken.value.claims, request);
      return await use(taken.value, restore);
    } catch (error) {
      // What passes by itself (off air, busy, order server away) must not cost the viewer the pass.
      if (asDenial(error).retryAfterSeconds !== undefined) restore();
      throw error;
    }
  }

  /** Whatever cannot be prepared, the pass is good for another try. */
  function exchange(request: AccessRequest, pass: string, prepare: () => Promise<void>): Promise<Presented> {
    return withPass(request, pass, async (presented, restore) => {
      await prepare().catch((error: unknown) => {
        restore();
        throw error;
      });
      return presented;
    });
  }

  async function decide<V extends Viewing>(request: AccessRequest, media: Media<V>): Promise<Session<V>> {
    const { pass } = request;
    if (pass !== undefined) return withPass(request, pass, (presented) => open(presented, media));
    const presented = await checks.check(request);
    if (presented.attempt === null) return open(presented, media);
    const name = attemptName(presented.claims.jti, presented.attempt);
    const before = attempts.get(name);
    if (before !== undefined) {
      if (before.running?.isMediaLost() === true) return regain(name, before, before.running, request, media);
      if (before.bodyHash !== request.bodyHash) throw new Denial('proof_invalid', { detail: 'attempt' });
      // The name holds ticket and key, and with them the path and the adapter that opened it.
      return (await before.session) as Session<V>;
    }
    const session = open(presented, media);
    const attempt: Attempt = { bodyHash: request.bodyHash, session, running: null };
    attempts.set(name, attempt);
    // Kept while the session runs; what failed may be tried again at once.
    const forget = (): void => void attempts.delete(name);
    session.then((opened) => {
      attempt.running = opened;
      return opened.ended.then(forget);
    }, forget);
    return session;
  }

  /** A session whose media was lost gets other media, for this offer. The access has been taken long since. */
  async function regain<V extends Viewing>(
    name: string,
    attempt: Attempt,
    running: Session,
    request: AccessRequest,
    media: Media<V>,
  ): Promise<Session<V>> {
    // The name holds the path, and with it the adapter that opened the session.
    const session = running as Session<V>;
    async function reopen(): Promise<Session<V>> {
      if (!media.isLive()) throw new Denial('stream_offline');
      const viewing = await media.open(session.grant);
      if (await session.move(viewing)) return session;
      viewing.close('server_stopped');
      throw new Denial('session_ended');
    }
    // One at a time: another request of this attempt finds it under way.
    const reopening = reopen();
    attempts.set(name, { bodyHash: request.bodyHash, session: reopening, running: null });
    const settle = (): void => {
      if (attempts.has(name)) attempts.set(name, { ...attempt, bodyHash: request.bodyHash });
    };
    reopening.then(settle, settle);
    return reopening;
  }

  function requireRunning(session: Session): void {
    if (!running.has(session) || session.isEnded()) throw new Denial('session_ended');
  }

  async function proveHolder(session: Session, request: SessionRequest): Promise<void> {
    const { jkt, ticketId, sessionId } = session.grant;
    if (jkt === null) return; // A bearer ticket: who knows the session's URL is its holder.
    const { scheme, ticket } = parseAuthorization(request.authorization);
    if (!isHeld(session, ticket))
      throw new Denial('ticket_untrusted', { detail: 'not the ticket of this session' });
    if (scheme !== 'dpop') throw new Denial('proof_missing');
    await checks.proveHolder({ ticketId, sessionId, jkt }, ticket, request);
  }

  async function renew(session: Session, request: RenewalRequest): Promise<void> {
    requireRunning(session);
    const { ticket } = parseAuthorization(request.authorization);
    if (isHeld(session, ticket)) return proveHolder(session, request);
    const presented = await checks.check({ ...request, uri: session.grant.uri, bodyHash: '' });
    // The session's own attempt: by it its media can be had anew, if that is lost.
    await renewals.renew(session, presented, { ...grantOf(presented), attempt: session.grant.attempt });
  }

  /** What is known of a session by its ticket is from now on known by the one that it was renewed with. */
  function follow(session: Session, old: Grant, ticket: string): void {
    const { ticketId, attempt } = session.grant;
    holders.set(session, ticketHash(ticket));
    enforcer.watch(session);
    const name = attemptName(ticketId, attempt);
    const opened = attempts.get(attemptName(old.ticketId, attempt));
    if (opened === undefined) return;
    attempts.delete(attemptName(old.ticketId, attempt));
    attempts.set(name, { ...opened, session: Promise.resolve(session), running: session });
    void session.ended.then(() => attempts.delete(name));
  }

  function logRefusal(
    { protocol, uri, peer }: Pick<AccessRequest, 'protocol' | 'uri' | 'peer'>,
    error: unknown,
  ): void {
    const { code, detail } = asDenial(error);
    options.observe?.(code, protocol);
    log.info({ code, detail, protocol, uri, peer }, 'refused');
  }

  return {
    async admit(request, media) {
      try {
        const session = await decide(request, media);
        options.observe?.('admitted', request.protocol);
        return session;
      } catch (error) {
        logRefusal(request, error);
        throw error;
      }
    },
    async mintPass(request, prepare = () => Promise.resolve()) {
      try {
        const { pass: before } = request;
        const presented = await (before === undefined
          ? checks.check(request)
          : exchange(request, before, prepare));
        if (before === undefined) await prepare();
        // Each pass is an attempt of its own: two of them are two connections.
        const pass = passes.issue(presented.claims.jti, { ...presented, attempt: null });
        log.info({ ticket: presented.claims.jti, uri: request.uri }, 'pass given');
        return { pass, expiresInSeconds: PASS_SECONDS, key: presented.key };
      } catch (error) {
        logRefusal(request, error);
        throw error;
      }
    },
    async prove(session, request) {
      requireRunning(session);
      await proveHolder(session, request);
    },
    async readReceipts(session, request) {
      await proveHolder(session, request);
      return session.receipts();
    },
    async renew(session, request) {
      try {
        await renew(session, request);
      } catch (error) {
        logRefusal({ ...request, uri: session.grant.uri }, error);
        throw error;
      }
    },
    async authorizePublish({ uri, streamKey, peer }) {
      try {
        await streamKeys.authorizePublish(uri, streamKey);
      } catch (error) {
        const { code } = asDenial(error);
        log.info({ code, uri, peer }, 'publisher refused');
        if (code === 'stream_key_invalid') await delayRefusal();
        throw error;
      }
    },
    nonce: () => nonces.current(),
    sessions: () => [...running],
    async close(reason) {
      closed = true;
      await Promise.all([...running].map((session) => session.end(reason)));
    },
  };
}
