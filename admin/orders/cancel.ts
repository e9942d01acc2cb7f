/** Taking an order back before its first picture. */
import { Denial } from '../../plugin/errors.ts';
import { isCounted } from '../../plugin/rights/index.ts';
import type { Executor } from '../db/connect.ts';
import { findOpenOperation, findPayment } from '../payments/payments.ts';
import { markOrder, revokeOrder } from '../revocations/revoke.ts';
import { lockOrder, transition, type LockedOrder, type OrderActor } from './change.ts';
import type { Order } from './orders.ts';
import { releasePayment, type Settled } from './settle.ts';
import { giveBack } from './undo.ts';

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
  /** Called before something is added to the revocation feed; what it throws refuses the cancellation. */
  readonly beforeRevoking?: () => void;
}

export interface Changed extends Settled {
  readonly order: Order;
}

/** True if pictures may have left of which nothing is known yet: nobody was asked before the first one. */
function mayHaveBegun(order: LockedOrder): boolean {
  return order.state === 'ticketed' && order.price.amountMinor > 0 && !isCounted(order.terms.rights);
}

/**
 * Cancels an order whose viewing has not begun: its tickets are revoked, what was held goes back, and so do place,
 * promotion and voucher. An order whose tickets are not counted is only revoked at once; what was held goes back when
 * no receipt can come any more that says it was used. Run it in a transaction of its own; idempotent.
 * @throws Denial `not_found`, `conflict` when the viewing has begun, the order is over or it is being charged.
 */
export async function cancelOrder(tx: Executor, cancellation: Cancellation): Promise<Changed> {
  const { orderId, ownerId, actor, accountId, reason, now, beforeRevoking } = cancellation;
  const order = await lockOrder(tx, orderId);
  if (order === null || (ownerId !== null && order.accountId !== ownerId))
    throw new Denial('not_found', { detail: 'order' });
  if (order.state === 'cancelled') return { order, operations: [] };
  if (order.deliveredAt !== null) throw new Denial('conflict', { detail: 'order: its viewing has begun' });
  if (order.revokedAt !== null && order.state === 'ticketed') return { order, operations: [] };
  // What was not used is forfeited or released then.
  if (order.expiresAt !== null && order.expiresAt <= now)
    throw new Denial('conflict', { detail: 'order: it is over' });
  const payment = await findPayment(tx, orderId);
  const open = payment === null ? null : await findOpenOperation(tx, payment.id);
  if (open?.kind === 'capture') throw new Denial('conflict', { detail: 'order: it is being charged' });
  if (mayHaveBegun(order)) {
    beforeRevoking?.();
    await revokeOrder(tx, orderId, { accountId, reason, now });
    return { order, operations: [] };
  }
  const cancelled = await transition(tx, order, [{ to: 'cancelled', reason }], {
    actor,
    now,
    changes: { dueAt: null, clientKeys: null },
  });
  const { operations } = await giveBack(tx, orderId, async () =>
    // An authorization that is under way is released when it has come.
    payment === null || open !== null ? { operations: [] } : releasePayment(tx, payment, now),
  );
  if (order.state === 'ticketed' && isCounted(order.terms.rights)) {
    await markOrder(tx, orderId, now);
  } else if (order.state === 'ticketed') {
    beforeRevoking?.();
    // The feed's lock is the last.
    await revokeOrder(tx, orderId, { accountId, reason, now });
  }
  return { order: cancelled, operations };
}
