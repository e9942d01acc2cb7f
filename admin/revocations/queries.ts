/** What staff see before and after they end something. */
import { and, desc, eq, gt, inArray, or } from 'drizzle-orm';
import type { Page } from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { inPage, newestFirst } from '../db/keyset.ts';
import { accounts, mediaSessions, orders, revocations, tickets } from '../db/schema.ts';

/** An entry of the feed, with who made it and why. */
export interface RevocationRecord {
  readonly id: string;
  readonly seq: number;
  readonly kind: 'ticket' | 'subject' | 'key' | 'session';
  readonly value: string;
  readonly until: Date;
  readonly reason: string;
  /** Email of the account: staff, or the buyer of what was cancelled or followed by another ticket. */
  readonly revokedBy: string;
  readonly createdAt: Date;
}

/** A ticket and whose it is. */
export interface SoldTicket {
  /** `jti`. */
  readonly id: string;
  readonly orderId: string;
  /** `null` for an order without an account. */
  readonly accountEmail: string | null;
  readonly uri: string;
  /** Thumbprint of the proof key. */
  readonly jkt: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  readonly revokedAt: Date | null;
}

/** A viewing that holds a reservation or a lease. */
export interface RunningSession {
  readonly id: string;
  readonly ticketId: string;
  readonly serverId: string;
  readonly state: 'reserved' | 'committed' | 'ended' | 'released';
  readonly createdAt: Date;
  readonly kickedAt: Date | null;
  /** By its last receipt. */
  readonly mediaMs: number;
  readonly bytes: number;
}

export function listRevocations(db: Executor, page: Page): Promise<RevocationRecord[]> {
  return db
    .select({
      id: revocations.id,
      seq: revocations.seq,
      kind: revocations.kind,
      value: revocations.value,
      until: revocations.until,
      reason: revocations.reason,
      revokedBy: accounts.email,
      createdAt: revocations.createdAt,
    })
    .from(revocations)
    .innerJoin(accounts, eq(accounts.id, revocations.revokedBy))
    .where(inPage(revocations.id, page))
    .orderBy(newestFirst(revocations.id, page))
    .limit(page.limit);
}

const SESSION_COLUMNS = {
  id: mediaSessions.id,
  ticketId: mediaSessions.ticketId,
  serverId: mediaSessions.serverId,
  state: mediaSessions.state,
  createdAt: mediaSessions.createdAt,
  kickedAt: mediaSessions.kickedAt,
  mediaMs: mediaSessions.mediaMs,
  bytes: mediaSessions.bytes,
};

/** The viewings that run, newest first. */
export function listRunningSessions(
  db: Executor,
  page: Page,
  now: Date,
  filter: { readonly ticketId?: string; readonly serverId?: string } = {},
): Promise<RunningSession[]> {
  return db
    .select(SESSION_COLUMNS)
    .from(mediaSessions)
    .where(
      and(
        // As the partial index has it.
        inArray(mediaSessions.state, ['reserved', 'committed']),
        or(gt(mediaSessions.reservedUntil, now), gt(mediaSessions.leaseUntil, now)),
        filter.ticketId === undefined ? undefined : eq(mediaSessions.ticketId, filter.ticketId),
        filter.serverId === undefined ? undefined : eq(mediaSessions.serverId, filter.serverId),
        inPage(mediaSessions.id, page),
      ),
    )
    .orderBy(newestFirst(mediaSessions.id, page))
    .limit(page.limit);
}

/** One viewing, whatever its state. */
export async function findMediaSession(db: Executor, id: string): Promise<RunningSession | null> {
  const [row] = await db.select(SESSION_COLUMNS).from(mediaSessions).where(eq(mediaSessions.id, id));
  return row ?? null;
}

/** Viewings by their ids, whatever their state, as far as the filter lets them through. */
export function findMediaSessions(
  db: Executor,
  ids: readonly string[],
  filter: { readonly ticketId?: string; readonly serverId?: string } = {},
): Promise<RunningSession[]> {
  return db
    .select(SESSION_COLUMNS)
    .from(mediaSessions)
    .where(
      and(
        inArray(mediaSessions.id, [...ids]),
        filter.ticketId === undefined ? undefined : eq(mediaSessions.ticketId, filter.ticketId),
        filter.serverId === undefined ? undefined : eq(mediaSessions.serverId, filter.serverId),
      ),
    );
}

function selectTickets(db: Executor) {
  return db
    .select({
      id: tickets.jti,
      orderId: tickets.orderId,
      accountEmail: accounts.email,
      uri: tickets.uri,
      jkt: tickets.jkt,
      issuedAt: tickets.issuedAt,
      expiresAt: tickets.expiresAt,
      revokedAt: tickets.revokedAt,
    })
    .from(tickets)
    .innerJoin(orders, eq(orders.id, tickets.orderId))
    .leftJoin(accounts, eq(accounts.id, orders.accountId));
}

export async function findSoldTickets(
  db: Executor,
  jtis: readonly string[],
): Promise<ReadonlyMap<string, SoldTicket>> {
  const rows = await selectTickets(db).where(inArray(tickets.jti, [...jtis]));
  return new Map(rows.map((row) => [row.id, row]));
}

/** The tickets of an order, the newest 100 first. */
export function findTicketsOfOrder(db: Executor, orderId: string): Promise<SoldTicket[]> {
  return selectTickets(db).where(eq(tickets.orderId, orderId)).orderBy(desc(tickets.jti)).limit(100);
}
