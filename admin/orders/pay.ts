/** What the answers of payment providers do to orders; the same whether they come at once, later, or twice. */
import { eq } from 'drizzle-orm';
import { Denial } from '../../plugin/errors.ts';
import type { Executor } from '../db/connect.ts';
import { paymentOperations, payments, titles } from '../db/schema.ts';
import { bookStep } from '../payments/books.ts';
import {
  closeOperation,
  findOperation,
  findPayment,
  insertOperation,
  updatePayment,
  type Operation,
  type Payment,
} from '../payments/payments.ts';
import { markOrder, revokeOrder } from '../revocations/revoke.ts';
import type { TicketAuthority } from '../trust/signing-keys.ts';
import { lockOrder, PROVIDER, transition, type LockedOrder } from './change.ts';
import { fulfil, refusalOf } from './fulfil.ts';
import { finishCapture, releasePayment, type Settled } from './settle.ts';
import { giveBack } from './undo.ts';

const NOTHING: Settled = { operations: [] };

/** How an operation has ended. */
export interface Ended {
  readonly state: 'done' | 'refused';
  /** Why it was refused; for people. */
  readonly reason: string | null;
}

async function pathOf(tx: Executor, titleId: string): Promise<string> {
  const [row] = await tx.select({ path: titles.path }).from(titles).where(eq(titles.id, titleId));
  if (row === undefined) throw new Error('an order has no title');
  return row.path;
}

/** Why there is no ticket to be had; null for another fault, after which it is tried again. */
function whyNoTicket(error: unknown): string | null {
  if (error instanceof Denial) return error.detail ?? error.message;
  // Of `issueTicket`: a key or a claim that no ticket can be made with, or one that gets too long.
  return error instanceof TypeError || error instanceof RangeError ? 'the ticket cannot be made' : null;
}

/** The money is held: the ticket follows, or the money goes back. */
async function authorized(
  tx: Executor,
  authority: TicketAuthority,
  order: LockedOrder,
  payment: Payment,
  nowMs: number,
): Promise<Settled> {
  const now = new Date(nowMs);
  await updatePayment(tx, payment.id, { state: 'authorized', source: null }, now);
  const held: Payment = { ...payment, state: 'authorized', source: null };
  // Taken back while the provider was thinking.
  if (order.state !== 'placed' || order.clientKeys === null) return releasePayment(tx, held, now);
  const { accountId, clientKeys } = order;
  const path = await pathOf(tx, order.titleId);
  try {
    // A savepoint: without a ticket, what was locked and written for it goes.
    await tx.transaction(async (inner) => {
      const refusal = await refusalOf(inner, accountId, clientKeys.jkt);
      if (refusal !== null) throw refusal;
      await fulfil(inner, authority, { order, actor: PROVIDER, isNew: false, path, ...clientKeys, nowMs });
    });
    return NOTHING;
  } catch (error) {
    const reason = whyNoTicket(error);
    if (reason === null) throw error;
    await transition(tx, order, [{ to: 'authorized' }, { to: 'released', reason }], {
      actor: PROVIDER,
      now,
      changes: { clientKeys: null, dueAt: null },
    });
    return giveBack(tx, order.id, () => releasePayment(tx, held, now));
  }
}

async function notAuthorized(
  tx: Executor,
  order: LockedOrder,
  payment: Payment,
  reason: string | null,
  now: Date,
): Promise<Settled> {
  const decline = () => updatePayment(tx, payment.id, { state: 'declined', source: null }, now);
  if (order.state !== 'placed') {
    await decline();
    return NOTHING;
  }
  await transition(tx, order, [{ to: 'failed', ...(reason === null ? {} : { reason }) }], {
    actor: PROVIDER,
    now,
    changes: { clientKeys: null, dueAt: null },
  });
  await giveBack(tx, order.id, decline);
  return NOTHING;
}

async function captured(
  tx: Executor,
  order: LockedOrder,
  payment: Payment,
  { amountMinor }: Operation,
  now: Date,
): Promise<Settled> {
  await finishCapture(tx, payment, amountMinor, now);
  const reason = order.state === 'ticketed' ? 'not used: forfeited' : 'charged';
  await transition(tx, order, [{ to: 'captured', amountMinor, reason }], {
    actor: PROVIDER,
    now,
    changes: { capturedMinor: amountMinor, dueAt: null },
  });
  return NOTHING;
}

/** What is not paid for ends, and what the provider may still hold goes back. */
async function notCaptured(
  tx: Executor,
  order: LockedOrder,
  payment: Payment,
  reason: string | null,
  now: Date,
): Promise<Settled> {
  const { id: paymentId, amountMinor } = payment;
  await updatePayment(tx, paymentId, { state: 'failed' }, now);
  const release = { paymentId, kind: 'release' as const, amountMinor, state: 'sent' as const };
  const settled = { operations: [await insertOperation(tx, release, now)] };
  const why = 'the charge was refused';
  await transition(tx, order, [{ to: 'failed', reason: reason ?? why }], {
    actor: PROVIDER,
    now,
    changes: { dueAt: null },
  });
  // The feed's lock is the last. An entry of it is by an account.
  if (order.accountId === null) await markOrder(tx, order.id, now);
  else await revokeOrder(tx, order.id, { accountId: order.accountId, reason: why, now });
  return settled;
}

/** Books what was given back of a captured payment. */
export async function finishRefund(
  tx: Executor,
  order: LockedOrder,
  payment: Payment,
  operation: Pick<Operation, 'amountMinor' | 'reason' | 'requestedBy'>,
  now: Date,
): Promise<void> {
  const { amountMinor, reason, requestedBy } = operation;
  await bookStep(tx, 'refund', payment, amountMinor, now);
  const refundedMinor = payment.refundedMinor + amountMinor;
  const isWhole = refundedMinor === payment.capturedMinor;
  await updatePayment(tx, payment.id, { state: isWhole ? 'refunded' : 'captured', refundedMinor }, now);
  const step = { to: isWhole ? ('refunded' as const) : ('captured' as const), amountMinor };
  await transition(tx, order, [reason === null ? step : { ...step, reason }], {
    actor: { kind: 'staff', id: requestedBy },
    now,
    changes: { refundedMinor },
  });
}

async function finish(
  tx: Executor,
  authority: TicketAuthority,
  order: LockedOrder,
  payment: Payment,
  operation: Operation,
  { state, reason }: Ended,
  nowMs: number,
): Promise<Settled> {
  const now = new Date(nowMs);
  const isDone = state === 'done';
  switch (operation.kind) {
    case 'authorize':
      return isDone
        ? authorized(tx, authority, order, payment, nowMs)
        : notAuthorized(tx, order, payment, reason, now);
    case 'capture':
      return isDone
        ? captured(tx, order, payment, operation, now)
        : notCaptured(tx, order, payment, reason, now);
    case 'refund':
      if (isDone) await finishRefund(tx, order, payment, operation, now);
      return NOTHING;
    case 'release':
      // The order did not wait for it: what was not captured is not charged.
      return NOTHING;
  }
}

async function orderOf(tx: Executor, operationId: string): Promise<string | null> {
  const [row] = await tx
    .select({ orderId: payments.orderId })
    .from(paymentOperations)
    .innerJoin(payments, eq(payments.id, paymentOperations.paymentId))
    .where(eq(paymentOperations.id, operationId));
  return row?.orderId ?? null;
}

/**
 * Closes an operation and does to the order what follows. Run it in a transaction of its own.
 * @returns what providers are to be asked next; `null` when it was closed already, and nothing has happened.
 * @throws Denial `not_found`.
 */
export async function endOperation(
  tx: Executor,
  authority: TicketAuthority,
  operationId: string,
  ended: Ended,
  nowMs: number,
): Promise<Settled | null> {
  const orderId = await orderOf(tx, operationId);
  const order = orderId === null ? null : await lockOrder(tx, orderId);
  if (order === null) throw new Denial('not_found', { detail: 'operation' });
  if (!(await closeOperation(tx, operationId, ended.state, new Date(nowMs)))) return null;
  const [operation, payment] = [await findOperation(tx, operationId), await findPayment(tx, order.id)];
  if (operation === null || payment === null) throw new Error('an operation has no payment');
  return finish(tx, authority, order, payment, operation, ended, nowMs);
}

/**
 * Gives up on an authorization of which nothing was heard: the order has failed, and the provider is told to release
 * what it may hold.
 */
export async function abandonAuthorization(
  tx: Executor,
  authority: TicketAuthority,
  operation: Operation,
  nowMs: number,
): Promise<Settled> {
  const ended: Ended = { state: 'refused', reason: 'the payment provider did not answer' };
  if ((await endOperation(tx, authority, operation.id, ended, nowMs)) === null) return NOTHING;
  const { paymentId, amountMinor } = operation;
  const release = { paymentId, kind: 'release' as const, amountMinor, state: 'sent' as const };
  return { operations: [await insertOperation(tx, release, new Date(nowMs))] };
}
