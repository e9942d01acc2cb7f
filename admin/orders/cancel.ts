/** Taking an order back before its first picture. */
import { Denial } from '../../plugin/errors.ts';
import { isCounted } from '../../plugin/rights/index.ts';
import type { Executor } from '../db/connect.ts';
import { findOpenOperation, findPayment } from '../payments/payments.ts';
import { revokeOrder } from '../revocations/revoke.ts';
import { lockOrder, transition, type LockedOrder, type OrderActor } from './change.ts';
import type { Order } from './orders.ts';
import { releasePayment, type Settled } from './settle.ts';
import { returnTaken } from './undo.ts';

export interface Cancellation {
  readonly orderId: string;
  /** Whose order it must be; null for any. */
  readonly ownerId: string | null;
  readonly actor: OrderActor;
  /** The account that answers for it. */
  readonly accountId: string;
  /** One line of at most 200 characters, for staff. */
  readonly reason: string;
  readonly now: Date;
}

export interface Changed extends Settled {
  readonly order: Order;
}

async function release(tx: Executor, orderId: string, now: Date): Promise<Settled> {
  const payment = await findPayment(tx, orderId);
  if (payment === null) return { operations: [] };
  // An authorization that is under way is released when it has come.
  if ((await findOpenOperation(tx, payment.id)) !== null) return { operations: [] };
  return releasePayment(tx, payment, now);
}

/** True if pictures may have left of which nothing is known yet: nobody was asked before the first one. */
function mayHaveBegun(order: LockedOrder): boolean {
  return order.state === 'ticketed' && order.price.amountMinor > 0 && !isCounted(order.terms.rights);
}

/**
 * Cancels an order whose viewing has not begun: its tickets are revoked, what was held goes back, and so do place,
 * promotion and voucher. An order whose tickets are not counted is only revoked at once; what was held goes back when
 * no receipt can come any more that says it was used. Run it in a transaction of its own; idempotent.
 * @throws Denial `not_found`, `conflict` when the viewing has begun or the order is over.
 */
export async function cancelOrder(tx: Executor, cancellation: Cancellation): Promise<Changed> {
  const { orderId, ownerId, actor, accountId, reason, now } = cancellation;
  const order = await lockOrder(tx, orderId);
  if (order === null || (ownerId !== null && order.accountId !== ownerId))
    throw new Denial('not_found', { detail: 'order' });
  if (order.state === 'cancelled') return { order, operations: [] };
  if (order.deliveredAt !== null) throw new Denial('conflict', { detail: 'order: its viewing has begun' });
  if (order.revokedAt !== null && order.state === 'ticketed') return { order, operations: [] };
  if (mayHaveBegun(order)) {
    await revokeOrder(tx, orderId, { accountId, reason, now });
    return { order, operations: [] };
  }
  const cancelled = await transition(tx, order, [{ to: 'cancelled', reason }], {
    actor,
    now,
    changes: { dueAt: null, clientKeys: null },
  });
  const { operations } = await release(tx, orderId, now);
  await returnTaken(tx, orderId);
  // The feed's lock is the last.
  if (order.state === 'ticketed') await revokeOrder(tx, orderId, { accountId, reason, now });
  return { order: cancelled, operations };
}
