/** The payment of an order, and what providers outside are asked to do for it. */
import { and, asc, eq, inArray, lte } from 'drizzle-orm';
import type { Executor } from '../db/connect.ts';
import { builtOnce, placeholdersOf } from '../db/prepare.ts';
import { orders, paymentOperations, payments } from '../db/schema.ts';
import { newId } from '../ids.ts';

export interface Payment {
  readonly id: string;
  readonly orderId: string;
  /** Of the order. */
  readonly accountId: string | null;
  readonly titleId: string;
  readonly provider: (typeof payments.provider.enumValues)[number];
  readonly state: (typeof payments.state.enumValues)[number];
  readonly amountMinor: number;
  readonly capturedMinor: number;
  readonly refundedMinor: number;
  readonly currency: string;
  /** The provider's token, until the authorization is decided. */
  readonly source: string | null;
}

export interface Operation {
  readonly id: string;
  readonly paymentId: string;
  readonly kind: (typeof paymentOperations.kind.enumValues)[number];
  readonly amountMinor: number;
  readonly state: (typeof paymentOperations.state.enumValues)[number];
  readonly attempts: number;
  /** When it is asked for again; null once it is decided. */
  readonly dueAt: Date | null;
  readonly reason: string | null;
  readonly requestedBy: string | null;
  readonly createdAt: Date;
}

/** While a provider is being asked, nobody else asks it for the same. */
export const ASKING_MS = 30_000;

const PAYMENT_COLUMNS = {
  id: payments.id,
  orderId: payments.orderId,
  accountId: orders.accountId,
  titleId: orders.titleId,
  provider: payments.provider,
  state: payments.state,
  amountMinor: payments.amountMinor,
  capturedMinor: payments.capturedMinor,
  refundedMinor: payments.refundedMinor,
  currency: payments.currency,
  source: payments.source,
};

const OPERATION_COLUMNS = {
  id: paymentOperations.id,
  paymentId: paymentOperations.paymentId,
  kind: paymentOperations.kind,
  amountMinor: paymentOperations.amountMinor,
  state: paymentOperations.state,
  attempts: paymentOperations.attempts,
  dueAt: paymentOperations.dueAt,
  reason: paymentOperations.reason,
  requestedBy: paymentOperations.requestedBy,
  createdAt: paymentOperations.createdAt,
};

/** The payments of orders; a free order has none. */
export async function findPayments(db: Executor, orderIds: readonly string[]): Promise<Map<string, Payment>> {
  const rows = await db
    .select(PAYMENT_COLUMNS)
    .from(payments)
    .innerJoin(orders, eq(orders.id, payments.orderId))
    .where(inArray(payments.orderId, [...orderIds]));
  return new Map(rows.map((row) => [row.orderId, row]));
}

/** The payment of an order, `null` when it has none. The order's row must be locked to change it. */
export async function findPayment(db: Executor, orderId: string): Promise<Payment | null> {
  return (await findPayments(db, [orderId])).get(orderId) ?? null;
}

export async function findPaymentById(db: Executor, id: string): Promise<Payment | null> {
  const [row] = await db
    .select(PAYMENT_COLUMNS)
    .from(payments)
    .innerJoin(orders, eq(orders.id, payments.orderId))
    .where(eq(payments.id, id));
  return row ?? null;
}

const inserting = builtOnce((db) =>
  db
    .insert(payments)
    .values(
      placeholdersOf(payments, [
        ...(['id', 'orderId', 'provider', 'state', 'amountMinor', 'capturedMinor', 'refundedMinor'] as const),
        ...(['currency', 'source', 'createdAt', 'updatedAt'] as const),
      ]),
    )
    .prepare('insert_payment'),
);

export async function insertPayment(tx: Executor, payment: Payment, now: Date): Promise<void> {
  await inserting(tx).execute({ ...payment, createdAt: now, updatedAt: now });
}

export async function updatePayment(
  tx: Executor,
  id: string,
  changes: Partial<Pick<Payment, 'state' | 'capturedMinor' | 'refundedMinor' | 'source'>>,
  now: Date,
): Promise<void> {
  await tx
    .update(payments)
    .set({ ...changes, updatedAt: now })
    .where(eq(payments.id, id));
}

/** Somebody's request for an operation, which may be repeated. */
export interface OperationRequest {
  readonly by: string;
  readonly key: string;
  readonly hash: string;
  readonly reason: string;
}

/**
 * Writes down what a provider is to be asked, before it is asked; `done` when there is nobody to ask.
 * @returns its id.
 */
export async function insertOperation(
  tx: Executor,
  operation: Pick<Operation, 'paymentId' | 'kind' | 'amountMinor'> & {
    readonly state: 'sent' | 'done';
    readonly request?: OperationRequest;
  },
  now: Date,
): Promise<string> {
  const { request, state, ...columns } = operation;
  const id = newId();
  await tx.insert(paymentOperations).values({
    ...columns,
    id,
    state,
    attempts: 1,
    dueAt: state === 'sent' ? new Date(now.getTime() + ASKING_MS) : null,
    reason: request?.reason ?? null,
    requestedBy: request?.by ?? null,
    idempotencyKey: request?.key ?? null,
    requestHash: request?.hash ?? null,
    createdAt: now,
    resolvedAt: state === 'done' ? now : null,
  });
  return id;
}

export async function findOperation(db: Executor, id: string): Promise<Operation | null> {
  const [row] = await db
    .select(OPERATION_COLUMNS)
    .from(paymentOperations)
    .where(eq(paymentOperations.id, id));
  return row ?? null;
}

/** The operation of a payment that is not decided, `null` when there is none. */
export async function findOpenOperation(db: Executor, paymentId: string): Promise<Operation | null> {
  const [row] = await db
    .select(OPERATION_COLUMNS)
    .from(paymentOperations)
    .where(
      and(eq(paymentOperations.paymentId, paymentId), inArray(paymentOperations.state, ['sent', 'waiting'])),
    );
  return row ?? null;
}

/** The operation that somebody asked for with this key, and what the request was. */
export async function findRequested(
  db: Executor,
  by: string,
  key: string,
): Promise<(Operation & { readonly requestHash: string | null }) | null> {
  const [row] = await db
    .select({ ...OPERATION_COLUMNS, requestHash: paymentOperations.requestHash })
    .from(paymentOperations)
    .where(and(eq(paymentOperations.requestedBy, by), eq(paymentOperations.idempotencyKey, key)));
  return row ?? null;
}

/** Operations that somebody must ask for again, the longest due first. */
export async function findDueOperations(db: Executor, now: Date, limit: number): Promise<string[]> {
  const rows = await db
    .select({ id: paymentOperations.id })
    .from(paymentOperations)
    .where(lte(paymentOperations.dueAt, now))
    .orderBy(asc(paymentOperations.dueAt))
    .limit(limit);
  return rows.map(({ id }) => id);
}

/** Longest pause between two attempts. */
const MAX_PAUSE_MS = 3_600_000;

/**
 * Takes an operation that is due, so that nobody else asks the provider meanwhile.
 * @returns false when it is not due any more.
 */
export async function claimOperation(tx: Executor, { id, attempts }: Operation, now: Date): Promise<boolean> {
  const pauseMs = Math.min(ASKING_MS * 2 ** Math.min(attempts, 10), MAX_PAUSE_MS);
  const rows = await tx
    .update(paymentOperations)
    .set({ attempts: attempts + 1, dueAt: new Date(now.getTime() + pauseMs) })
    .where(
      and(
        eq(paymentOperations.id, id),
        eq(paymentOperations.attempts, attempts),
        lte(paymentOperations.dueAt, now),
      ),
    )
    .returning({ id: paymentOperations.id });
  return rows.length > 0;
}

/** Notes that the provider decides later, and when it is asked again if it does not tell. */
export async function awaitOperation(tx: Executor, id: string, dueAt: Date): Promise<void> {
  await tx
    .update(paymentOperations)
    .set({ state: 'waiting', dueAt })
    .where(and(eq(paymentOperations.id, id), inArray(paymentOperations.state, ['sent', 'waiting'])));
}

/** Closes an operation. @returns false when it was closed already. */
export async function closeOperation(
  tx: Executor,
  id: string,
  state: 'done' | 'refused',
  now: Date,
): Promise<boolean> {
  const rows = await tx
    .update(paymentOperations)
    .set({ state, dueAt: null, resolvedAt: now })
    .where(and(eq(paymentOperations.id, id), inArray(paymentOperations.state, ['sent', 'waiting'])))
    .returning({ id: paymentOperations.id });
  return rows.length > 0;
}
