/** Giving back what was charged, in part or all of it. */
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import type { Executor } from '../db/connect.ts';
import { MAX_AMOUNT_MINOR } from '../ledger/money.ts';
import { findOpenOperation, findPayment, findRequested, insertOperation } from '../payments/payments.ts';
import { reasonSchema, revokeOrder } from '../revocations/revoke.ts';
import type { Changed } from './cancel.ts';
import { lockOrder } from './change.ts';
import { findAnyOrder, idempotencyKeySchema } from './orders.ts';
import { finishRefund } from './pay.ts';
import { isOutside } from './settle.ts';

export const refundSchema = z.strictObject({
  orderId: z.uuid(),
  /** Without it: all that is left. */
  amountMinor: z.int().min(1).max(MAX_AMOUNT_MINOR).exactOptional(),
  reason: reasonSchema,
  /** True ends the order's tickets as well. */
  endTickets: z.boolean().exactOptional(),
  idempotencyKey: idempotencyKeySchema,
});
export type RefundRequest = z.infer<typeof refundSchema>;

/** Who refunds: account or API key, and the account that answers for it. */
export interface Refunder {
  readonly id: string;
  readonly accountId: string;
}

export interface Refunded extends Changed {
  /** What is given back by it. */
  readonly amountMinor: number;
  /** True when this request had been answered before. */
  readonly replayed: boolean;
}

/**
 * Gives back a part of what an order was charged, or all of it, to where it came from. Run it in a transaction of its
 * own. The same request with the same key is answered again without another refund.
 * @throws Denial `not_found`, `idempotency_conflict`; `conflict` when nothing was charged, less than that is left, or
 *   another refund is being worked on.
 */
export async function refundOrder(
  tx: Executor,
  request: RefundRequest,
  by: Refunder,
  now: Date,
): Promise<Refunded> {
  const { orderId, reason, endTickets = false, idempotencyKey } = request;
  const hash = JSON.stringify([orderId, request.amountMinor ?? null, reason, endTickets]);
  const locked = await lockOrder(tx, orderId);
  if (locked === null) throw new Denial('not_found', { detail: 'order' });
  const before = await findRequested(tx, by.id, idempotencyKey);
  if (before !== null) {
    if (before.requestHash !== hash) throw new Denial('idempotency_conflict');
    return { order: locked, operations: [], amountMinor: before.amountMinor, replayed: true };
  }
  const payment = await findPayment(tx, orderId);
  const leftMinor = payment === null ? 0 : payment.capturedMinor - payment.refundedMinor;
  const amountMinor = request.amountMinor ?? leftMinor;
  if (payment === null || leftMinor === 0)
    throw new Denial('conflict', { detail: 'order: there is nothing to refund' });
  if (amountMinor > leftMinor)
    throw new Denial('conflict', { detail: 'amountMinor: more than what is left of the charge' });
  if ((await findOpenOperation(tx, payment.id)) !== null)
    throw new Denial('conflict', { detail: 'order: a refund is being worked on', retryAfterSeconds: 5 });
  const isAsked = isOutside(payment);
  const operationId = await insertOperation(
    tx,
    {
      paymentId: payment.id,
      kind: 'refund',
      amountMinor,
      state: isAsked ? 'sent' : 'done',
      request: { by: by.id, key: idempotencyKey, hash, reason },
    },
    now,
  );
  if (!isAsked) await finishRefund(tx, locked, payment, { amountMinor, reason, requestedBy: by.id }, now);
  // The feed's lock is the last.
  if (endTickets) await revokeOrder(tx, orderId, { accountId: by.accountId, reason, now });
  const order = await findAnyOrder(tx, orderId);
  return { order: order ?? locked, operations: isAsked ? [operationId] : [], amountMinor, replayed: false };
}
