import { and, desc, eq, inArray, isNotNull, sql } from 'drizzle-orm';
import { findOffersById, type Offer } from '../catalog/offers.ts';
import { findTitlesById, type Title } from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { mediaSessions, tickets, titles as titleRows } from '../db/schema.ts';
import { findPayments, type Payment } from '../payments/payments.ts';
import type { Usage } from '../receipts/queries.ts';
import { findFlags, type TicketFlag } from '../tickets/flags.ts';
import { findHistory, type Order, type OrderEvent } from './orders.ts';

/** A ticket of an order, as its buyer and staff see it. */
export interface OrderTicket {
  /** `jti`. */
  readonly id: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  readonly revokedAt: Date | null;
  readonly flags: readonly TicketFlag[];
}

/** What belongs to an order. */
export interface OrderDetails {
  readonly offer: Offer;
  readonly title: Title;
  /** What pays for it; null when it is free. */
  readonly payment: Payment | null;
  readonly history: readonly OrderEvent[];
  readonly tickets: readonly OrderTicket[];
  /** The newest viewings that have a receipt, newest first. */
  readonly sessions: readonly Usage[];
}

const MAX_SESSIONS = 20;

async function loadSessions(db: Executor, orderIds: readonly string[]) {
  const ranked = db
    .select({
      id: mediaSessions.id,
      orderId: tickets.orderId,
      uri: tickets.uri,
      titleName: titleRows.name,
      startedAtSeconds: mediaSessions.startedAtSeconds,
      endedAt: mediaSessions.endedAt,
      mediaMs: mediaSessions.mediaMs,
      bytes: mediaSessions.bytes,
      seq: mediaSessions.lastSeq,
      hash: mediaSessions.lastHash,
      endReason: mediaSessions.endReason,
      rank: sql<number>`row_number() over (partition by ${tickets.orderId} order by ${mediaSessions.id} desc)`
        .mapWith(Number)
        .as('rank'),
    })
    .from(mediaSessions)
    .innerJoin(tickets, eq(tickets.jti, mediaSessions.ticketId))
    .leftJoin(titleRows, eq(titleRows.path, tickets.uri))
    .where(and(inArray(tickets.orderId, [...orderIds]), isNotNull(mediaSessions.lastSeq)))
    .as('ranked');
  return db
    .select()
    .from(ranked)
    .where(sql`${ranked.rank} <= ${MAX_SESSIONS}`)
    .orderBy(desc(ranked.id));
}

/** Details of many orders, in as many queries as for one. */
export async function loadOrderDetails(
  db: Executor,
  orders: readonly Order[],
): Promise<Map<Order, OrderDetails>> {
  const ids = orders.map((order) => order.id);
  const offers = await findOffersById(db, [...new Set(orders.map((order) => order.offerId))]);
  const titles = await findTitlesById(db, [...new Set(orders.map((order) => order.titleId))]);
  const payments = await findPayments(db, ids);
  const history = await findHistory(db, ids);
  const issued = await db
    .select({
      orderId: tickets.orderId,
      id: tickets.jti,
      issuedAt: tickets.issuedAt,
      expiresAt: tickets.expiresAt,
      revokedAt: tickets.revokedAt,
    })
    .from(tickets)
    .where(inArray(tickets.orderId, ids));
  const flags = await findFlags(
    db,
    issued.map(({ id }) => id),
  );
  const sessions = await loadSessions(db, ids);
  const found = new Map<Order, OrderDetails>();
  for (const order of orders) {
    const offer = offers.find(({ id }) => id === order.offerId);
    const title = titles.find(({ id }) => id === order.titleId);
    if (offer === undefined || title === undefined) continue;
    found.set(order, {
      offer,
      title,
      payment: payments.get(order.id) ?? null,
      history: history.get(order.id) ?? [],
      tickets: issued
        .filter(({ orderId }) => orderId === order.id)
        .map(({ orderId: _, ...row }) => ({ ...row, flags: flags.get(row.id) ?? [] })),
      sessions: sessions
        .filter(({ orderId }) => orderId === order.id)
        .map(({ startedAtSeconds, seq, hash, rank: _, ...row }) => ({
          ...row,
          startedAt: new Date((startedAtSeconds ?? 0) * 1000),
          seq: seq ?? 0,
          hash: hash ?? '',
        })),
    });
  }
  return found;
}
