/** Reading orders. Who changes one finds how in change.ts. */
import { and, asc, eq, inArray, sql, type SQL } from 'drizzle-orm';
import { z } from 'zod';
import type { Page } from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { inPage, newestFirst } from '../db/keyset.ts';
import { builtOnce } from '../db/prepare.ts';
import { orderEvents, orders } from '../db/schema.ts';
import { money, type Money } from '../ledger/money.ts';
import type { OrderState } from './states.ts';
import type { OrderTerms } from './terms.ts';

export interface Order {
  readonly id: string;
  /** Null without an account. */
  readonly accountId: string | null;
  readonly offerId: string;
  readonly titleId: string;
  /** What is charged, or held at most. */
  readonly price: Money;
  /** The price before discounts. */
  readonly listPrice: Money;
  /** What was charged, and what of it was given back. */
  readonly captured: Money;
  readonly refunded: Money;
  readonly state: OrderState;
  readonly terms: OrderTerms;
  readonly createdAt: Date;
  /** When its tickets expire; null before there are any. */
  readonly expiresAt: Date | null;
  /** When the first picture left, as far as is known. */
  readonly deliveredAt: Date | null;
}

/** Printable ASCII; a UUID does well. */
export const idempotencyKeySchema = z.string().regex(/^[\x21-\x7e]{8,100}$/, '8 to 100 printable characters');

export const ORDER_COLUMNS = {
  id: orders.id,
  accountId: orders.accountId,
  offerId: orders.offerId,
  titleId: orders.titleId,
  priceMinor: orders.priceMinor,
  listPriceMinor: orders.listPriceMinor,
  capturedMinor: orders.capturedMinor,
  refundedMinor: orders.refundedMinor,
  currency: orders.currency,
  state: orders.state,
  terms: orders.terms,
  createdAt: orders.createdAt,
  expiresAt: orders.expiresAt,
  deliveredAt: orders.deliveredAt,
};

type OrderRow = Omit<Order, 'price' | 'listPrice' | 'captured' | 'refunded'> & {
  priceMinor: number;
  listPriceMinor: number;
  capturedMinor: number;
  refundedMinor: number;
  currency: string;
};

export function fromOrderRow({
  priceMinor,
  listPriceMinor,
  capturedMinor,
  refundedMinor,
  currency,
  ...row
}: OrderRow): Order {
  return {
    ...row,
    price: money(priceMinor, currency),
    listPrice: money(listPriceMinor, currency),
    captured: money(capturedMinor, currency),
    refunded: money(refundedMinor, currency),
  };
}

async function findWhere(db: Executor, where: SQL | undefined): Promise<Order | null> {
  const [row] = await db.select(ORDER_COLUMNS).from(orders).where(where);
  return row === undefined ? null : fromOrderRow(row);
}

/** An order of an account, `null` when it has no such order. */
export function findOrder(db: Executor, accountId: string, id: string): Promise<Order | null> {
  return findWhere(db, and(eq(orders.id, id), eq(orders.accountId, accountId)));
}

/** Any order, for staff. */
export function findAnyOrder(db: Executor, id: string): Promise<Order | null> {
  return findWhere(db, eq(orders.id, id));
}

const requestedOrder = builtOnce((db) =>
  db
    .select({ ...ORDER_COLUMNS, requestHash: orders.requestHash })
    .from(orders)
    .where(
      and(
        eq(orders.buyer, sql.placeholder('buyer')),
        eq(orders.idempotencyKey, sql.placeholder('idempotencyKey')),
      ),
    )
    .prepare('requested_order'),
);

/** The order of a request that was made before, and what the request was. */
export async function findRequested(
  db: Executor,
  buyer: string,
  idempotencyKey: string,
): Promise<{ order: Order; requestHash: string } | null> {
  const [row] = await requestedOrder(db).execute({ buyer, idempotencyKey });
  if (row === undefined) return null;
  const { requestHash, ...columns } = row;
  return { order: fromOrderRow(columns), requestHash };
}

/** Which orders; by one of them at a time there is an index. */
export interface OrderFilter {
  readonly accountId?: string;
  readonly titleId?: string;
  readonly state?: OrderState;
}

/** Orders, newest first. */
export async function listOrders(db: Executor, filter: OrderFilter, page: Page): Promise<Order[]> {
  const { accountId, titleId, state } = filter;
  const rows = await db
    .select(ORDER_COLUMNS)
    .from(orders)
    .where(
      and(
        accountId === undefined ? undefined : eq(orders.accountId, accountId),
        titleId === undefined ? undefined : eq(orders.titleId, titleId),
        state === undefined ? undefined : eq(orders.state, state),
        inPage(orders.id, page),
      ),
    )
    .orderBy(newestFirst(orders.id, page))
    .limit(page.limit);
  return rows.map(fromOrderRow);
}

/** One line of an order's history. */
export interface OrderEvent {
  readonly id: string;
  readonly orderId: string;
  readonly fromState: OrderState | null;
  readonly toState: OrderState;
  readonly actor: (typeof orderEvents.actor.enumValues)[number];
  readonly amountMinor: number | null;
  readonly reason: string | null;
  readonly createdAt: Date;
}

/** The history of orders, each from its beginning; every id is in the answer. */
export async function findHistory(
  db: Executor,
  orderIds: readonly string[],
): Promise<Map<string, OrderEvent[]>> {
  const rows = await db
    .select({
      id: orderEvents.id,
      orderId: orderEvents.orderId,
      fromState: orderEvents.fromState,
      toState: orderEvents.toState,
      actor: orderEvents.actor,
      amountMinor: orderEvents.amountMinor,
      reason: orderEvents.reason,
      createdAt: orderEvents.createdAt,
    })
    .from(orderEvents)
    .where(inArray(orderEvents.orderId, [...orderIds]))
    .orderBy(asc(orderEvents.id));
  const found = new Map<string, OrderEvent[]>(orderIds.map((id) => [id, []]));
  for (const row of rows) found.get(row.orderId)?.push(row);
  return found;
}
