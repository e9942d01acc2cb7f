/**
 * Counted rights (DESIGN 3). An access is taken by a session row, not by a counter: rows that hold one are counted
 * under the ticket's row lock, so an expired reservation gives its access back by itself, and exactly once.
 */
import { and, eq, gt, inArray, isNotNull, ne, or, sql } from 'drizzle-orm';
import type { Redeemed } from '../../plugin/contract.ts';
import { Denial } from '../../plugin/errors.ts';
import type { Executor } from '../db/connect.ts';
import { mediaSessions, tickets } from '../db/schema.ts';

/** An uncommitted reservation gives its access back after this. */
export const RESERVATION_SECONDS = 30;
/** A session without receipts for this long no longer counts as running. */
export const LEASE_SECONDS = 30;

const afterSeconds = (nowMs: number, seconds: number) => new Date(nowMs + seconds * 1000);

type TicketRow = Awaited<ReturnType<typeof lockTicket>>;

async function lockTicket(tx: Executor, jti: string) {
  const [ticket] = await tx
    .select({
      jti: tickets.jti,
      audience: tickets.audience,
      rights: tickets.rights,
      expiresAt: tickets.expiresAt,
      windowEndsAt: tickets.windowEndsAt,
      mediaMsUsed: tickets.mediaMsUsed,
      bytesUsed: tickets.bytesUsed,
      revokedAt: tickets.revokedAt,
    })
    .from(tickets)
    .where(eq(tickets.jti, jti))
    .for('update');
  if (ticket === undefined) throw new Denial('ticket_untrusted', { detail: 'jti' });
  return ticket;
}

function left(limit: number | null, used: number): number | null {
  return limit === null ? null : Math.max(0, limit - used);
}

function answer(ticket: TicketRow, session: string): Redeemed {
  return {
    session,
    expiresAt: ticket.windowEndsAt === null ? null : Math.floor(ticket.windowEndsAt.getTime() / 1000),
    mediaMsLeft: left(
      ticket.rights.seconds === null ? null : ticket.rights.seconds * 1000,
      ticket.mediaMsUsed,
    ),
    bytesLeft: left(ticket.rights.bytes, ticket.bytesUsed),
    leaseSeconds: LEASE_SECONDS,
  };
}

/** Throws unless the ticket has an access, a place beside its running sessions, and budget left for `session`. */
async function checkRoom(tx: Executor, ticket: TicketRow, session: string, nowMs: number): Promise<void> {
  const now = new Date(nowMs);
  const { rights } = ticket;
  if (ticket.revokedAt !== null) throw new Denial('ticket_revoked');
  if (ticket.expiresAt <= now) throw new Denial('ticket_expired', { detail: 'exp' });
  if (ticket.windowEndsAt !== null && ticket.windowEndsAt <= now) {
    throw new Denial('rights_exhausted', { detail: 'window' });
  }
  const { mediaMsLeft, bytesLeft } = answer(ticket, session);
  if (mediaMsLeft === 0) throw new Denial('rights_exhausted', { detail: 'seconds' });
  if (bytesLeft === 0) throw new Denial('rights_exhausted', { detail: 'bytes' });
  const reserved = and(eq(mediaSessions.state, 'reserved'), gt(mediaSessions.reservedUntil, now));
  const live = or(reserved, and(eq(mediaSessions.state, 'committed'), gt(mediaSessions.leaseUntil, now)));
  const took = or(reserved, inArray(mediaSessions.state, ['committed', 'ended']));
  const [counts] = await tx
    .select({
      live: sql<string>`count(*) filter (where ${live})`,
      took: sql<string>`count(*) filter (where ${took})`,
    })
    .from(mediaSessions)
    .where(and(eq(mediaSessions.ticketId, ticket.jti), ne(mediaSessions.id, session)));
  if (rights.accesses !== null && Number(counts?.took) >= rights.accesses) {
    throw new Denial('rights_exhausted', { detail: 'accesses' });
  }
  if (rights.concurrent !== null && Number(counts?.live) >= rights.concurrent) {
    throw new Denial('rights_concurrency', { detail: 'concurrent' });
  }
}

const SESSION = {
  id: mediaSessions.id,
  ticketId: mediaSessions.ticketId,
  serverId: mediaSessions.serverId,
  state: mediaSessions.state,
  reservedUntil: mediaSessions.reservedUntil,
};

export interface ReserveRequest {
  readonly session: string;
  readonly attempt: string | null;
  /** `jti` of the ticket, which has been verified. */
  readonly ticketId: string;
  /** The streaming server that asks. */
  readonly serverId: string;
}

/**
 * Takes one access for a session until it is committed, released, or 30 s have passed. The same session, or the
 * same attempt, gets the same answer again; for an attempt it names the session of the first time.
 * @throws Denial `ticket_untrusted`, `ticket_wrong_audience`, `ticket_revoked`, `ticket_expired`, `rights_exhausted`,
 *   `rights_concurrency`, `conflict` (the session is over, or another ticket's or server's).
 */
export async function reserve(tx: Executor, request: ReserveRequest, nowMs: number): Promise<Redeemed> {
  const ticket = await lockTicket(tx, request.ticketId);
  if (!ticket.audience.includes(request.serverId))
    throw new Denial('ticket_wrong_audience', { detail: 'aud' });
  const [bySession] = await tx
    .select(SESSION)
    .from(mediaSessions)
    .where(eq(mediaSessions.id, request.session));
  const known = bySession ?? (await findByAttempt(tx, request));
  if (known === undefined) {
    await checkRoom(tx, ticket, request.session, nowMs);
    await tx.insert(mediaSessions).values({
      id: request.session,
      ticketId: ticket.jti,
      serverId: request.serverId,
      attempt: request.attempt,
      state: 'reserved',
      createdAt: new Date(nowMs),
      reservedUntil: afterSeconds(nowMs, RESERVATION_SECONDS),
      mediaMs: 0,
      bytes: 0,
    });
    return answer(ticket, request.session);
  }
  if (known.ticketId !== ticket.jti || known.serverId !== request.serverId) {
    throw new Denial('conflict', { detail: 'session' });
  }
  if (known.state === 'committed') return answer(ticket, known.id);
  if (known.state !== 'reserved') throw new Denial('conflict', { detail: 'session' });
  if (known.reservedUntil === null || known.reservedUntil.getTime() <= nowMs) {
    await checkRoom(tx, ticket, known.id, nowMs);
    await tx
      .update(mediaSessions)
      .set({ reservedUntil: afterSeconds(nowMs, RESERVATION_SECONDS) })
      .where(eq(mediaSessions.id, known.id));
  }
  return answer(ticket, known.id);
}

async function findByAttempt(tx: Executor, { attempt, ticketId, serverId }: ReserveRequest) {
  if (attempt === null) return undefined;
  const [found] = await tx
    .select(SESSION)
    .from(mediaSessions)
    .where(
      and(
        eq(mediaSessions.ticketId, ticketId),
        eq(mediaSessions.serverId, serverId),
        isNotNull(mediaSessions.attempt),
        eq(mediaSessions.attempt, attempt),
        inArray(mediaSessions.state, ['reserved', 'committed']),
      ),
    );
  return found;
}

/** Locks the session's ticket, then reads the session: always in this order, so that two requests can't deadlock. */
async function lockSession(tx: Executor, session: string, serverId: string) {
  const [owner] = await tx
    .select({ ticketId: mediaSessions.ticketId })
    .from(mediaSessions)
    .where(and(eq(mediaSessions.id, session), eq(mediaSessions.serverId, serverId)));
  if (owner === undefined) throw new Denial('session_ended', { detail: 'session' });
  const ticket = await lockTicket(tx, owner.ticketId);
  const [known] = await tx.select(SESSION).from(mediaSessions).where(eq(mediaSessions.id, session));
  if (known === undefined) throw new Denial('session_ended', { detail: 'session' });
  return { ticket, known };
}

/**
 * Keeps the access: the first media byte has left. The first commit of a ticket with a window fixes its end. A
 * commit after the reservation has lapsed takes the access again if one is left. Idempotent.
 * @throws Denial `session_ended` (unknown, released or ended), and as `reserve` when nothing is left.
 */
export async function commit(
  tx: Executor,
  session: string,
  serverId: string,
  nowMs: number,
): Promise<Redeemed> {
  const { ticket, known } = await lockSession(tx, session, serverId);
  if (known.state === 'committed') return answer(ticket, known.id);
  if (known.state !== 'reserved') throw new Denial('session_ended', { detail: 'session' });
  if (known.reservedUntil === null || known.reservedUntil.getTime() <= nowMs) {
    await checkRoom(tx, ticket, known.id, nowMs);
  }
  const now = new Date(nowMs);
  await tx
    .update(mediaSessions)
    .set({
      state: 'committed',
      reservedUntil: null,
      committedAt: now,
      leaseUntil: afterSeconds(nowMs, LEASE_SECONDS),
    })
    .where(eq(mediaSessions.id, known.id));
  if (ticket.windowEndsAt !== null || ticket.rights.window === null) return answer(ticket, known.id);
  // Seconds on the wire: a window ends on a whole one.
  const windowEndsAt = new Date((Math.floor(nowMs / 1000) + ticket.rights.window) * 1000);
  await tx.update(tickets).set({ windowEndsAt }).where(eq(tickets.jti, ticket.jti));
  return answer({ ...ticket, windowEndsAt }, known.id);
}

/**
 * Gives the access back: no media was sent. Idempotent; a session that was committed keeps its access.
 * @throws Denial `session_ended` when the session is unknown.
 */
export async function release(tx: Executor, session: string, serverId: string, nowMs: number): Promise<void> {
  const { known } = await lockSession(tx, session, serverId);
  if (known.state !== 'reserved') return;
  await tx
    .update(mediaSessions)
    .set({ state: 'released', reservedUntil: null, endedAt: new Date(nowMs) })
    .where(eq(mediaSessions.id, known.id));
}
