/**
 * Ending what was sold: a ticket, an order, an account's, a key's, one viewing. Each runs in a transaction of its own
 * and may be repeated. Rows are locked before the feed is written; `tickets.revoked_at` is what redemptions see at once,
 * the feed is what streaming servers see.
 */
import { and, asc, eq, gt, inArray, isNotNull, isNull, sql, type SQL } from 'drizzle-orm';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import type { Executor } from '../db/connect.ts';
import { accounts, mediaSessions, orders, revocations, tickets } from '../db/schema.ts';
import { lineSchema } from '../text.ts';
import { appendRevocations, type RevocationActor } from './entries.ts';

export const reasonSchema = lineSchema(1, 200);
/** RFC 7638 thumbprint: SHA-256 in base64url. */
export const thumbprintSchema = z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'not a thumbprint');

/** What was ended together. */
export interface Revoked {
  /** Tickets that would still be alive. */
  readonly tickets: number;
  /** When the first of these requests came. */
  readonly revokedAt: Date;
}

/** An account before it was changed. */
export interface AccountBefore {
  readonly accountId: string;
  /** Since then it could not order; `null`: it could. */
  readonly revokedBefore: Date | null;
}

interface TicketRow {
  readonly jti: string;
  readonly orderId: string;
  readonly subject: string;
  readonly expiresAt: Date;
  readonly revokedAt: Date | null;
}

/** Locks tickets in the order in which receipts lock them, and marks those that are not revoked yet. */
async function markTickets(tx: Executor, which: SQL | undefined, now: Date): Promise<TicketRow[]> {
  const rows = await tx
    .select({
      jti: tickets.jti,
      orderId: tickets.orderId,
      subject: tickets.subject,
      expiresAt: tickets.expiresAt,
      revokedAt: tickets.revokedAt,
    })
    .from(tickets)
    .where(which)
    .orderBy(asc(tickets.jti))
    .for('update');
  if (rows.some(({ revokedAt }) => revokedAt === null)) {
    await tx
      .update(tickets)
      .set({ revokedAt: now })
      .where(and(which, isNull(tickets.revokedAt)));
    // What their orders hold is settled when no receipt can come any more.
    await tx
      .update(orders)
      .set({ dueAt: now })
      .where(
        and(inArray(orders.id, [...new Set(rows.map(({ orderId }) => orderId))]), isNotNull(orders.dueAt)),
      );
  }
  return rows;
}

/** One entry per order: the latest of its tickets decides how long. */
function subjectsOf(rows: readonly TicketRow[], now: Date): { value: string; until: Date }[] {
  const untilBySubject = new Map<string, Date>();
  for (const { subject, expiresAt } of rows) {
    const known = untilBySubject.get(subject);
    if (expiresAt > now && (known === undefined || known < expiresAt)) untilBySubject.set(subject, expiresAt);
  }
  return [...untilBySubject].map(([value, until]) => ({ value, until }));
}

/**
 * Ends one ticket.
 * @returns since when it was ended already, `null` if it was not
 * @throws Denial `not_found`.
 */
export async function revokeTicket(tx: Executor, jti: string, actor: RevocationActor): Promise<Date | null> {
  const [row] = await markTickets(tx, eq(tickets.jti, jti), actor.now);
  if (row === undefined) throw new Denial('not_found', { detail: 'ticket' });
  if (row.expiresAt > actor.now) {
    await appendRevocations(tx, 'ticket', [{ value: jti, until: row.expiresAt }], actor);
  }
  return row.revokedAt;
}

/**
 * Ends the tickets of an order, by their pseudonym.
 * @returns how many there are
 * @throws Denial `not_found`.
 */
export async function revokeOrder(tx: Executor, orderId: string, actor: RevocationActor): Promise<number> {
  const rows = await markTickets(tx, eq(tickets.orderId, orderId), actor.now);
  if (rows.length === 0) throw new Denial('not_found', { detail: 'order' });
  await appendRevocations(tx, 'subject', subjectsOf(rows, actor.now), actor);
  return rows.length;
}

/**
 * Ends the tickets of an order of which nothing was used and which are counted: no streaming server lets anybody in, or
 * sends a picture for long, without asking here, so that the feed need not tell of them.
 */
export async function markOrder(tx: Executor, orderId: string, now: Date): Promise<void> {
  await markTickets(tx, eq(tickets.orderId, orderId), now);
}

/** The same for one ticket that is counted and that nobody watches with. */
export async function markTicket(tx: Executor, jti: string, now: Date): Promise<void> {
  await markTickets(tx, eq(tickets.jti, jti), now);
}

/**
 * Locks an account: an order that runs beside this holds the row until it ends (`order_refusal`). Not against rows that
 * refer to it: they are written by transactions that hold tickets already.
 */
async function lockAccount(tx: Executor, email: string): Promise<AccountBefore> {
  const [account] = await tx
    .select({ accountId: accounts.id, revokedBefore: accounts.revokedAt })
    .from(accounts)
    .where(eq(accounts.email, email))
    .for('no key update');
  if (account === undefined) throw new Denial('not_found', { detail: 'account' });
  return account;
}

/**
 * Ends the tickets of an account that are alive, and lets it order no more. Streaming servers learn of pseudonyms only.
 * @throws Denial `not_found`.
 */
export async function revokeAccount(
  tx: Executor,
  email: string,
  actor: RevocationActor,
): Promise<Revoked & AccountBefore> {
  // The ticket of an order that ran beside this is found below.
  const before = await lockAccount(tx, email);
  const { accountId, revokedBefore } = before;
  if (revokedBefore === null) {
    await tx.update(accounts).set({ revokedAt: actor.now }).where(eq(accounts.id, accountId));
  }
  const ownOrders = tx.select({ id: orders.id }).from(orders).where(eq(orders.accountId, accountId));
  const rows = await markTickets(
    tx,
    and(inArray(tickets.orderId, ownOrders), gt(tickets.expiresAt, actor.now)),
    actor.now,
  );
  await appendRevocations(tx, 'subject', subjectsOf(rows, actor.now), actor);
  return { ...before, tickets: rows.length, revokedAt: revokedBefore ?? actor.now };
}

/**
 * Lets an account order again. What was revoked stays so.
 * @throws Denial `not_found`.
 */
export async function reinstateAccount(tx: Executor, email: string): Promise<AccountBefore> {
  const before = await lockAccount(tx, email);
  await tx.update(accounts).set({ revokedAt: null }).where(eq(accounts.id, before.accountId));
  return before;
}

/** Ends the tickets that are bound to a proof key, known or not; no order is taken with it afterwards. */
export async function revokeProofKey(tx: Executor, jkt: string, actor: RevocationActor): Promise<Revoked> {
  // Orders with this key that run beside this end first (`order_refusal` shares the lock).
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${jkt}, 1))`);
  const rows = await markTickets(tx, and(eq(tickets.jkt, jkt), gt(tickets.expiresAt, actor.now)), actor.now);
  const untilMs = Math.max(actor.now.getTime(), ...rows.map(({ expiresAt }) => expiresAt.getTime()));
  // Also without a ticket: the entry is what refuses the next order.
  await appendRevocations(tx, 'key', [{ value: jkt, until: new Date(untilMs) }], actor);
  const [entry] = await tx
    .select({ createdAt: revocations.createdAt })
    .from(revocations)
    .where(and(eq(revocations.kind, 'key'), eq(revocations.value, jkt)));
  return { tickets: rows.length, revokedAt: entry?.createdAt ?? actor.now };
}

/**
 * Ends one viewing. It can be committed no more, and its streaming server closes the account of it: it releases the
 * reservation, or sends the last receipt of what was watched.
 * @param comeBack false ends its ticket as well.
 * @throws Denial `not_found`; a viewing that is over is none, unless it was ended by this.
 */
export async function kickSession(
  tx: Executor,
  sessionId: string,
  comeBack: boolean,
  actor: RevocationActor,
): Promise<void> {
  // The ticket's row first, as redemptions and receipts do.
  const [ticket] = await tx
    .select({ jti: tickets.jti, expiresAt: tickets.expiresAt })
    .from(tickets)
    .where(
      inArray(
        tickets.jti,
        tx.select({ jti: mediaSessions.ticketId }).from(mediaSessions).where(eq(mediaSessions.id, sessionId)),
      ),
    )
    .for('update');
  if (ticket === undefined) throw new Denial('not_found', { detail: 'session' });
  if (!comeBack) await markTickets(tx, eq(tickets.jti, ticket.jti), actor.now);
  const kicked = await tx
    .update(mediaSessions)
    .set({
      kickedAt: sql`coalesce(${mediaSessions.kickedAt}, ${actor.now.toISOString()}::timestamptz)`,
    })
    .where(
      and(
        eq(mediaSessions.id, sessionId),
        sql`(${mediaSessions.state} in ('reserved', 'committed') or ${mediaSessions.kickedAt} is not null)`,
      ),
    )
    .returning({ id: mediaSessions.id });
  if (kicked.length === 0) throw new Denial('not_found', { detail: 'session' });
  if (ticket.expiresAt <= actor.now) return;
  const entry = { until: ticket.expiresAt };
  if (!comeBack) await appendRevocations(tx, 'ticket', [{ value: ticket.jti, ...entry }], actor);
  await appendRevocations(tx, 'session', [{ value: sessionId, ...entry }], actor);
}
