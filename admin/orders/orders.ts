import { and, desc, eq, lt, gt, asc, sql } from 'drizzle-orm';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import { thumbprint } from '../../plugin/ticket/index.ts';
import { findOrderable, type Offer } from '../catalog/offers.ts';
import type { Page } from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { orders } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { chargeOrder } from '../ledger/ledger.ts';
import { money, type Money } from '../ledger/money.ts';
import { findIssued, issueForOrder, type IssuedTicket } from '../tickets/issue.ts';
import { sealingJwkSchema, signingJwkSchema } from '../../plugin/registration.ts';
import type { TicketAuthority } from '../trust/signing-keys.ts';

export interface Order {
  readonly id: string;
  readonly accountId: string | null;
  readonly offerId: string;
  readonly price: Money;
  readonly state: 'completed';
  readonly createdAt: Date;
}

/** Printable ASCII; a UUID does well. */
export const idempotencyKeySchema = z.string().regex(/^[\x21-\x7e]{8,100}$/, '8 to 100 printable characters');

export const orderRequestSchema = z.strictObject({
  offerId: z.uuid(),
  proofKey: signingJwkSchema,
  sealKey: sealingJwkSchema,
  idempotencyKey: idempotencyKeySchema,
});
export type OrderRequest = z.infer<typeof orderRequestSchema>;

export interface PlacedOrder {
  readonly order: Order;
  readonly issued: IssuedTicket;
  /** True when this request had been answered before. */
  readonly replayed: boolean;
}

const COLUMNS = {
  id: orders.id,
  accountId: orders.accountId,
  offerId: orders.offerId,
  priceMinor: orders.priceMinor,
  currency: orders.currency,
  state: orders.state,
  createdAt: orders.createdAt,
};

type Row = Omit<Order, 'price'> & { priceMinor: number; currency: string };

function fromRow({ priceMinor, currency, ...row }: Row): Order {
  return { ...row, price: money(priceMinor, currency) };
}

async function findReplay(
  tx: Executor,
  buyer: string,
  key: string,
  requestHash: string,
): Promise<PlacedOrder | null> {
  const [row] = await tx
    .select({ ...COLUMNS, requestHash: orders.requestHash })
    .from(orders)
    .where(and(eq(orders.buyer, buyer), eq(orders.idempotencyKey, key)));
  if (row === undefined) return null;
  const { requestHash: known, ...columns } = row;
  if (known !== requestHash) throw new Denial('idempotency_conflict');
  return { order: fromRow(columns), issued: await findIssued(tx, columns.id), replayed: true };
}

async function orderable(
  tx: Executor,
  request: OrderRequest,
  accountId: string | null,
): Promise<{ offer: Offer; path: string }> {
  const found = await findOrderable(tx, request.offerId);
  if (found === null) throw new Denial('not_found', { detail: 'offer' });
  if (found.offer.charging !== 'free' && accountId === null) throw new Denial('unauthenticated');
  return found;
}

/** Neither can be revoked while the order's transaction runs. @throws Denial `forbidden`. */
async function refuseRevoked(tx: Executor, accountId: string | null, jkt: string): Promise<void> {
  const [row] = await tx.execute<{ what: string | null }>(
    sql`select order_refusal(${accountId}::uuid, ${jkt}) as what`,
  );
  const what = row?.what ?? null;
  if (what !== null) throw new Denial('forbidden', { detail: `${what}: revoked` });
}

/**
 * Sells an offer: debits the balance, issues the ticket. All of it or, when it throws, nothing; run it in a
 * transaction of its own. The same buyer, idempotency key and input get the same answer again, without a charge.
 * @param accountId the buyer; `null` takes a free offer without an account.
 * @throws Denial `not_found`, `unauthenticated`, `forbidden` (the account or the proof key is revoked),
 *   `idempotency_conflict`, `funds_insufficient`, `overloaded` (no streaming server carries the title).
 */
export async function placeOrder(
  tx: Executor,
  authority: TicketAuthority,
  request: OrderRequest,
  accountId: string | null,
  nowMs: number,
): Promise<PlacedOrder> {
  const now = new Date(nowMs);
  const jkt = thumbprint(request.proofKey);
  const buyer = accountId === null ? `key:${jkt}` : `account:${accountId}`;
  const requestHash = JSON.stringify([request.offerId, jkt, thumbprint(request.sealKey)]);
  const before = await findReplay(tx, buyer, request.idempotencyKey, requestHash);
  if (before !== null) return before;

  const { offer, path } = await orderable(tx, request, accountId);
  await refuseRevoked(tx, accountId, jkt);
  const [row] = await tx
    .insert(orders)
    .values({
      id: newId(),
      accountId,
      offerId: offer.id,
      priceMinor: offer.price.amountMinor,
      currency: offer.price.currency,
      state: 'completed',
      buyer,
      idempotencyKey: request.idempotencyKey,
      requestHash,
      createdAt: now,
    })
    .onConflictDoNothing({ target: [orders.buyer, orders.idempotencyKey] })
    .returning(COLUMNS);
  if (row === undefined) {
    // The same request ran beside this one and was first.
    const replay = await findReplay(tx, buyer, request.idempotencyKey, requestHash);
    if (replay === null) throw new Denial('conflict', { detail: 'idempotencyKey' });
    return replay;
  }
  const order = fromRow(row);
  if (accountId !== null && order.price.amountMinor > 0) {
    await chargeOrder(tx, { id: order.id, accountId, price: order.price }, now);
  }
  const issued = await issueForOrder(tx, authority, {
    orderId: order.id,
    offer,
    path,
    jkt,
    sealKey: request.sealKey,
    nowMs,
  });
  return { order, issued, replayed: false };
}

/** An order of an account, `null` when it has no such order. */
export async function findOrder(db: Executor, accountId: string, id: string): Promise<Order | null> {
  const [row] = await db
    .select(COLUMNS)
    .from(orders)
    .where(and(eq(orders.id, id), eq(orders.accountId, accountId)));
  return row === undefined ? null : fromRow(row);
}

/** An account's orders, newest first. */
export async function listOrders(db: Executor, accountId: string, page: Page): Promise<Order[]> {
  const rows = await db
    .select(COLUMNS)
    .from(orders)
    .where(
      and(
        eq(orders.accountId, accountId),
        page.after === undefined ? undefined : lt(orders.id, page.after),
        page.before === undefined ? undefined : gt(orders.id, page.before),
      ),
    )
    .orderBy(page.inverted ? asc(orders.id) : desc(orders.id))
    .limit(page.limit);
  return rows.map(fromRow);
}
