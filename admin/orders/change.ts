/** Changing orders: locking them, and the one way in which their state changes. */
import { and, asc, eq, getTableColumns, sql, type SQL } from 'drizzle-orm';
import type { JWK } from 'jose';
import { Denial } from '../../plugin/errors.ts';
import { isSqlState, type Executor } from '../db/connect.ts';
import { builtForEach, builtOnce, placeholdersOf } from '../db/prepare.ts';
import { orderEvents, orders, tickets } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { money } from '../ledger/money.ts';
import { fromOrderRow, ORDER_COLUMNS, type Order } from './orders.ts';
import { mayBecome, type OrderState } from './states.ts';

const NEW_ORDER = [
  ...(['id', 'accountId', 'offerId', 'titleId', 'priceMinor', 'listPriceMinor', 'capturedMinor'] as const),
  ...(['refundedMinor', 'currency', 'state', 'terms', 'createdAt'] as const),
  ...(['buyer', 'idempotencyKey', 'requestHash', 'clientKeys'] as const),
];

const inserting = builtOnce((db) =>
  db.insert(orders).values(placeholdersOf(orders, NEW_ORDER)).prepare('insert_order'),
);

/**
 * Writes down an order that is placed, and what it is known by when its request is repeated.
 * @throws Denial `conflict` when the buyer has used the idempotency key. The transaction it ran in is lost.
 */
export async function insertOrder(
  tx: Executor,
  { price, listPrice, captured, refunded, ...order }: Order,
  request: Pick<typeof orders.$inferSelect, 'buyer' | 'idempotencyKey' | 'requestHash' | 'clientKeys'>,
): Promise<void> {
  const row: Pick<typeof orders.$inferSelect, (typeof NEW_ORDER)[number]> = {
    ...order,
    priceMinor: price.amountMinor,
    listPriceMinor: listPrice.amountMinor,
    capturedMinor: captured.amountMinor,
    refundedMinor: refunded.amountMinor,
    currency: price.currency,
    ...request,
  };
  try {
    await inserting(tx).execute(row);
  } catch (error) {
    if (isSqlState(error, '23505', 'orders_request'))
      throw new Denial('conflict', { detail: 'idempotencyKey', cause: error });
    throw error;
  }
}

/** An order that nobody else changes until the transaction ends, and what is known of its use. */
export interface LockedOrder extends Order {
  readonly clientKeys: { readonly jkt: string; readonly sealKey: JWK; readonly renews?: string } | null;
  readonly dueAt: Date | null;
  readonly mediaMsUsed: number;
  readonly bytesUsed: number;
  /** True if the budget of a ticket is used up. */
  readonly isExhausted: boolean;
  /** When the last of its tickets was revoked; null while one is good. */
  readonly revokedAt: Date | null;
}

function lockTickets(tx: Executor, orderId: string) {
  return tx
    .select({
      rights: tickets.rights,
      mediaMsUsed: tickets.mediaMsUsed,
      bytesUsed: tickets.bytesUsed,
      revokedAt: tickets.revokedAt,
    })
    .from(tickets)
    .where(eq(tickets.orderId, orderId))
    .orderBy(asc(tickets.jti))
    .for('update');
}

/**
 * Locks an order: its tickets before it, as redemptions and receipts do, so that none of them waits for another in a
 * ring. Tickets are added by who has locked it so, and one at a time: none is missed that is issued meanwhile.
 * @returns null when there is no such order.
 */
export async function lockOrder(tx: Executor, id: string): Promise<LockedOrder | null> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${id}::uuid::text, 3))`);
  const issued = await lockTickets(tx, id);
  const [row] = await tx
    .select({ ...ORDER_COLUMNS, clientKeys: orders.clientKeys, dueAt: orders.dueAt })
    .from(orders)
    .where(eq(orders.id, id))
    .for('update');
  if (row === undefined) return null;
  const { clientKeys, dueAt, ...columns } = row;
  return {
    ...fromOrderRow(columns),
    clientKeys,
    dueAt,
    mediaMsUsed: issued.reduce((sum, { mediaMsUsed }) => sum + mediaMsUsed, 0),
    bytesUsed: issued.reduce((sum, { bytesUsed }) => sum + bytesUsed, 0),
    isExhausted: issued.some(
      ({ rights, mediaMsUsed, bytesUsed }) =>
        (rights.seconds !== null && mediaMsUsed >= rights.seconds * 1000) ||
        (rights.bytes !== null && bytesUsed >= rights.bytes),
    ),
    revokedAt: issued.reduce<Date | null>(
      (latest, { revokedAt }, at) =>
        revokedAt === null || (at > 0 && latest === null)
          ? null
          : latest !== null && latest > revokedAt
            ? latest
            : revokedAt,
      null,
    ),
  };
}

/** Who changes an order. */
export interface OrderActor {
  readonly kind: 'buyer' | 'staff' | 'provider' | 'system';
  /** Account or API key; null for the others. */
  readonly id: string | null;
}

export const SYSTEM: OrderActor = { kind: 'system', id: null };
export const PROVIDER: OrderActor = { kind: 'provider', id: null };

/** One change of state. */
export interface Step {
  readonly to: OrderState;
  /** What it charged or gave back. */
  readonly amountMinor?: number;
  readonly reason?: string;
}

/** What changes beside the state. */
export type OrderChanges = Partial<
  Pick<
    typeof orders.$inferInsert,
    'capturedMinor' | 'refundedMinor' | 'clientKeys' | 'expiresAt' | 'deliveredAt' | 'dueAt'
  >
>;

export interface TransitionOptions {
  readonly actor: OrderActor;
  readonly now: Date;
  readonly changes?: OrderChanges;
  /** True for an order that was just placed: its first line of history is written too. */
  readonly isNew?: boolean;
}

interface Line extends Step {
  readonly fromState: OrderState | null;
}

/** In the order in which an `insert` takes them from a `select`. */
const LINE_COLUMNS = getTableColumns(orderEvents);
const LINE = Object.keys(LINE_COLUMNS) as (keyof typeof LINE_COLUMNS)[];

/** What `changing` has placeholders for. */
function valuesOf(lines: readonly Line[], orderId: string, actor: OrderActor, now: Date) {
  const values: Record<string, unknown> = {};
  for (const [at, { fromState, to, amountMinor, reason }] of lines.entries()) {
    const row: typeof orderEvents.$inferSelect = {
      id: newId(),
      orderId,
      fromState,
      toState: to,
      actor: actor.kind,
      actorId: actor.id,
      amountMinor: amountMinor ?? null,
      reason: reason ?? null,
      createdAt: now,
    };
    for (const [name, value] of Object.entries(row)) values[`${name}${at}`] = value;
  }
  return values;
}

const lineOf = (at: number): SQL => {
  const placeholders = placeholdersOf(orderEvents, LINE, at);
  // A parameter of a `select` has no type by itself.
  const typed = LINE.map((name) => sql`${placeholders[name]}::${sql.raw(LINE_COLUMNS[name].getSQLType())}`);
  return sql`select ${sql.join(typed, sql`, `)} from changed`;
};

/**
 * One statement, so that there are no lines of what has not happened. By how many lines there are, and the names of what
 * changes beside the state, with a space between.
 */
const changing = builtForEach((db, key: string) => {
  const [lines, ...columns] = key.split(' ');
  const changed = db.$with('changed').as(
    db
      .update(orders)
      .set(placeholdersOf(orders, ['state', ...(columns as (keyof OrderChanges)[])]))
      .where(
        and(eq(orders.id, sql.placeholder('before.id')), eq(orders.state, sql.placeholder('before.state'))),
      )
      .returning({ id: orders.id }),
  );
  const rows = Array.from({ length: Number(lines) }, (_, at) => lineOf(at));
  return db
    .with(changed)
    .insert(orderEvents)
    .select(sql.join(rows, sql` union all `))
    .returning({ id: orderEvents.id })
    .prepare('change_order');
});

/**
 * Takes an order through states, each of which must be allowed after the one before: the only place where a state is
 * written, one line of history each.
 * @throws Denial `conflict` when a state may not follow, or the order is no longer in the state that it was read in.
 */
export async function transition<O extends Order>(
  tx: Executor,
  order: O,
  steps: readonly Step[],
  { actor, now, changes = {}, isNew = false }: TransitionOptions,
): Promise<O> {
  const lines: Line[] = isNew ? [{ fromState: null, to: order.state }] : [];
  let state: OrderState = order.state;
  for (const step of steps) {
    if (!mayBecome(state, step.to))
      throw new Denial('conflict', { detail: `order: ${state}, cannot become ${step.to}` });
    lines.push({ fromState: state, ...step });
    state = step.to;
  }
  const key = [lines.length, ...Object.keys(changes).sort()].join(' ');
  const written = await changing(tx, key).execute({
    ...changes,
    state,
    'before.id': order.id,
    'before.state': order.state,
    ...valuesOf(lines, order.id, actor, now),
  });
  if (written.length === 0) throw new Denial('conflict', { detail: 'order: it has changed meanwhile' });
  const { capturedMinor, refundedMinor, expiresAt, deliveredAt } = changes;
  const { currency } = order.price;
  return {
    ...order,
    state,
    ...(capturedMinor === undefined ? {} : { captured: money(capturedMinor, currency) }),
    ...(refundedMinor === undefined ? {} : { refunded: money(refundedMinor, currency) }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(deliveredAt === undefined ? {} : { deliveredAt }),
  };
}

/** Sets when an order must be looked at again. It must be locked. */
export async function setDue(tx: Executor, id: string, dueAt: Date | null): Promise<void> {
  await tx.update(orders).set({ dueAt }).where(eq(orders.id, id));
}

/** Notes that pictures of orders have left, as receipts say: they are settled at once, by whoever takes them. */
export async function markDelivered(tx: Executor, orderIds: readonly string[], now: Date): Promise<void> {
  if (orderIds.length === 0) return;
  const ids = sql.param(`{${orderIds.join(',')}}`);
  const moment = sql`${now.toISOString()}::timestamptz`;
  // Orders that are delivered already are due again when there is something to charge.
  await tx.execute(sql`
    update orders o set delivered_at = coalesce(o.delivered_at, ${moment}), due_at = ${moment}
    where o.id = any(${ids}::uuid[]) and (o.state = 'ticketed' or (o.state = 'delivered' and exists (
      select 1 from tickets t where t.order_id = o.id and (
        t.media_ms_used >= (o.terms->>'captureAfterSeconds')::bigint * 1000
        or t.media_ms_used >= (t.rights->>'seconds')::bigint * 1000
        or t.bytes_used >= (t.rights->>'bytes')::bigint))))`);
}
