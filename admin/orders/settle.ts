/** Settling orders: charging what is due, giving back what is not. */
import { and, asc, eq, inArray, lte } from 'drizzle-orm';
import type { Executor } from '../db/connect.ts';
import { mediaSessions, orders, tickets } from '../db/schema.ts';
import { bookStep } from '../payments/books.ts';
import {
  findOpenOperation,
  findPayment,
  insertOperation,
  updatePayment,
  type Payment,
} from '../payments/payments.ts';
import { lockOrder, setDue, SYSTEM, transition, type LockedOrder, type Step } from './change.ts';
import { settlementOf, type Settlement } from './settlement.ts';
import { giveBack } from './undo.ts';

/** True if its money lies with a provider that must be asked. */
export function isOutside(payment: Payment): boolean {
  return payment.provider === 'test_card';
}

/** What becomes of an order, and what a provider is to be asked for it. */
export interface Settled {
  /** Operations to run once the transaction is through. */
  readonly operations: readonly string[];
}

const NOTHING: Settled = { operations: [] };

/** Charges, and gives back what was held above it. @returns what the provider is to be asked. */
export async function charge(
  tx: Executor,
  order: LockedOrder,
  payment: Payment | null,
  { amountMinor, reason }: { readonly amountMinor: number; readonly reason: string },
  steps: readonly Step[],
  now: Date,
): Promise<Settled> {
  const asks = payment !== null && isOutside(payment) && amountMinor > 0;
  if (asks) {
    // The order follows when the provider has said so.
    if (steps.length > 0)
      await transition(tx, order, steps, { actor: SYSTEM, now, changes: { dueAt: null } });
    else await setDue(tx, order.id, null);
    const operation = {
      paymentId: payment.id,
      kind: 'capture' as const,
      amountMinor,
      state: 'sent' as const,
    };
    return { operations: [await insertOperation(tx, operation, now)] };
  }
  if (payment !== null) await finishCapture(tx, payment, amountMinor, now);
  await transition(tx, order, [...steps, { to: 'captured', amountMinor, reason }], {
    actor: SYSTEM,
    now,
    changes: { capturedMinor: amountMinor, dueAt: null },
  });
  return NOTHING;
}

/** Books what was captured; the rest of what was held goes back: first, since that locks both balances by their ids. */
export async function finishCapture(
  tx: Executor,
  payment: Payment,
  amountMinor: number,
  now: Date,
): Promise<void> {
  await bookStep(tx, 'release', payment, payment.amountMinor - amountMinor, now);
  await bookStep(tx, 'capture', payment, amountMinor, now);
  await updatePayment(tx, payment.id, { state: 'captured', capturedMinor: amountMinor }, now);
}

/** Gives back what was held, and nothing was charged. @returns what the provider is to be asked. */
export async function releasePayment(tx: Executor, payment: Payment, now: Date): Promise<Settled> {
  await bookStep(tx, 'release', payment, payment.amountMinor, now);
  await updatePayment(tx, payment.id, { state: 'released', source: null }, now);
  if (!isOutside(payment)) return NOTHING;
  const { id: paymentId, amountMinor } = payment;
  return {
    operations: [await insertOperation(tx, { paymentId, kind: 'release', amountMinor, state: 'sent' }, now)],
  };
}

async function apply(
  tx: Executor,
  order: LockedOrder,
  settlement: Settlement,
  isDelivered: boolean,
  now: Date,
): Promise<Settled> {
  const steps: Step[] = isDelivered && order.state === 'ticketed' ? [{ to: 'delivered' }] : [];
  const payment = await findPayment(tx, order.id);
  if (payment !== null && (await findOpenOperation(tx, payment.id)) !== null) {
    // It is being asked already; its answer settles the order.
    await setDue(tx, order.id, null);
    return NOTHING;
  }
  switch (settlement.what) {
    case 'charge':
      return charge(tx, order, payment, settlement, steps, now);
    case 'release': {
      const release = async () => (payment === null ? NOTHING : releasePayment(tx, payment, now));
      // Of what was not used, the voucher and the promotion's use go back as well.
      const settled = isDelivered ? await release() : await giveBack(tx, order.id, release);
      await transition(tx, order, [...steps, { to: 'released', reason: settlement.reason }], {
        actor: SYSTEM,
        now,
        changes: { dueAt: null },
      });
      return settled;
    }
    case 'wait': {
      const dueAt = new Date(settlement.dueAtMs);
      if (steps.length > 0) await transition(tx, order, steps, { actor: SYSTEM, now, changes: { dueAt } });
      else await setDue(tx, order.id, dueAt);
      return NOTHING;
    }
  }
}

/**
 * Settles one order if it is due. Run it in a transaction of its own; as often as one likes.
 * @returns what providers are to be asked when the transaction is through.
 */
export async function settleOrder(tx: Executor, orderId: string, nowMs: number): Promise<Settled> {
  const order = await lockOrder(tx, orderId);
  if (order === null || order.dueAt === null || order.dueAt.getTime() > nowMs) return NOTHING;
  const now = new Date(nowMs);
  if ((order.state !== 'ticketed' && order.state !== 'delivered') || order.expiresAt === null) {
    await setDue(tx, orderId, null);
    return NOTHING;
  }
  const isDelivered = order.deliveredAt !== null;
  const settlement = settlementOf({
    state: order.state,
    terms: order.terms,
    priceMinor: order.price.amountMinor,
    listPriceMinor: order.listPrice.amountMinor,
    isDelivered,
    mediaMsUsed: order.mediaMsUsed,
    bytesUsed: order.bytesUsed,
    isExhausted: order.isExhausted,
    expiresAtMs: order.expiresAt.getTime(),
    revokedAtMs: order.revokedAt?.getTime() ?? null,
    nowMs,
  });
  return apply(tx, order, settlement, isDelivered, now);
}

const TRY_AGAIN_MS = 60_000;

/** Puts an order off that is due and could not be settled, so that those behind it are not held up. */
export async function postpone(db: Executor, orderId: string, now: Date): Promise<void> {
  await db
    .update(orders)
    .set({ dueAt: new Date(now.getTime() + TRY_AGAIN_MS) })
    .where(and(eq(orders.id, orderId), lte(orders.dueAt, now)));
}

/** Orders that are due, the longest first. */
export async function findDueOrders(db: Executor, now: Date, limit: number): Promise<string[]> {
  const rows = await db
    .select({ id: orders.id })
    .from(orders)
    .where(lte(orders.dueAt, now))
    .orderBy(asc(orders.dueAt))
    .limit(limit);
  return rows.map(({ id }) => id);
}

/** Those of some orders that are due. */
export async function findDueAmong(db: Executor, ids: readonly string[], now: Date): Promise<string[]> {
  if (ids.length === 0) return [];
  const rows = await db
    .select({ id: orders.id })
    .from(orders)
    .where(and(inArray(orders.id, [...ids]), lte(orders.dueAt, now)));
  return rows.map(({ id }) => id);
}

/** The order of a viewing, if it is due. */
export async function findDueOfSession(db: Executor, sessionId: string, now: Date): Promise<string[]> {
  const rows = await db
    .select({ id: orders.id })
    .from(mediaSessions)
    .innerJoin(tickets, eq(tickets.jti, mediaSessions.ticketId))
    .innerJoin(orders, eq(orders.id, tickets.orderId))
    .where(and(eq(mediaSessions.id, sessionId), lte(orders.dueAt, now)));
  return rows.map(({ id }) => id);
}
