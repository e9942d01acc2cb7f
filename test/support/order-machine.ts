/**
 * Random walks of orders: buyers, payment providers, streaming servers and the sweeper act in any order, or at once, and
 * things crash between any two steps. What must hold is checked afterwards.
 */
import { and, eq } from 'drizzle-orm';
import fc from 'fast-check';
import { expect } from 'vitest';
import type { Database } from '../../admin/db/connect.ts';
import {
  ledgerTransactions,
  orderEvents,
  orders,
  paymentOperations,
  payments,
  tickets,
} from '../../admin/db/schema.ts';
import { balancesOf, heldOf } from '../../admin/ledger/ledger.ts';
import { money } from '../../admin/ledger/money.ts';
import { reconcile } from '../../admin/ledger/reconcile.ts';
import { cancelOrder } from '../../admin/orders/cancel.ts';
import type { PlacedOrder } from '../../admin/orders/place.ts';
import type { OrderRequest } from '../../admin/orders/request.ts';
import { refundOrder } from '../../admin/orders/refund.ts';
import { mayBecome } from '../../admin/orders/states.ts';
import type { PaymentProvider } from '../../admin/payments/providers.ts';
import { TEST_CARDS } from '../../admin/payments/test-card.ts';
import { Denial } from '../../plugin/errors.ts';
import { buyerOf, createCustomer, createOrderRequest, ticketed, type World } from './databases.ts';
import { createTestDesk } from './order-desk.ts';
import type { createSale } from './sales.ts';
import { createViewing, type TestViewing } from './viewings.ts';

export type Sale = Awaited<ReturnType<typeof createSale>>;

const WAYS_TO_PAY = [null, ...Object.keys(TEST_CARDS)];
/** A customer's balance before the walk. */
const START_MINOR = 2000;
const nth = fc.nat({ max: 5 });

export const commandArbitrary = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('order' as const),
      sale: nth,
      pay: fc.constantFrom(...WAYS_TO_PAY),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('repeat' as const), nth }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('begin' as const), nth }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('use' as const), nth, seconds: fc.integer({ min: 0, max: 400 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), nth }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('refund' as const),
      nth,
      amountMinor: fc.integer({ min: 1, max: 200 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('settle' as const), nth }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('webhooks' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('sweep' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.constantFrom(10, 60, 1800, 4200) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('crash' as const),
      where: fc.constantFrom('rollback', 'answer', 'ask', 'asked'),
    }),
  },
);
export type Command = typeof commandArbitrary extends fc.Arbitrary<infer T> ? T : never;

class Crash extends Error {}

/** Makes the next thing of its kind fail: a transaction before or after its end, a provider before or after it has acted. */
function createFaults({ db }: World) {
  let armed: string | null = null;
  const takes = (where: string): boolean => {
    if (armed !== where) return false;
    armed = null;
    return true;
  };
  const transaction: Database['transaction'] = async (work, config) => {
    const result = await db.transaction(async (tx) => {
      const answer = await work(tx);
      if (takes('rollback')) throw new Crash();
      return answer;
    }, config);
    if (takes('answer')) throw new Crash();
    return result;
  };
  const wrap = (provider: PaymentProvider): PaymentProvider => {
    const faulty =
      (kind: 'authorize' | 'capture' | 'release' | 'refund'): PaymentProvider['authorize'] =>
      async (request, signal) => {
        if (takes('ask')) throw new Crash();
        const outcome = await provider[kind](request, signal);
        if (takes('asked')) throw new Crash();
        return outcome;
      };
    return {
      ...provider,
      authorize: faulty('authorize'),
      capture: faulty('capture'),
      release: faulty('release'),
      refund: faulty('refund'),
    };
  };
  return {
    wrap,
    db: new Proxy(db, {
      get: (target, name): unknown =>
        name === 'transaction' ? transaction : Reflect.get(target, name, target),
    }),
    arm: (where: string | null) => {
      armed = where;
    },
  };
}

/** Walks through commands, `atOnce` of them at a time, and then checks what must hold. */
export async function walk(
  world: World,
  sales: readonly Sale[],
  commands: readonly Command[],
  atOnce: number,
): Promise<void> {
  const faults = createFaults(world);
  const customer = await createCustomer(world, START_MINOR);
  const desk = createTestDesk(
    { db: faults.db, authority: world.authority },
    { wrap: faults.wrap, answerWithinMs: 5 },
  );
  const requests: OrderRequest[] = [];
  const placed: { order: PlacedOrder; viewing: TestViewing | null; isAdmitted: boolean }[] = [];
  const pick = <T>(list: readonly T[], at: number): T | undefined => list[at % Math.max(1, list.length)];

  async function place(request: OrderRequest): Promise<void> {
    const order = await desk.place(request, buyerOf(customer.id));
    const viewing = order.issued === null ? null : createViewing(world, ticketed(order));
    const known = placed.findIndex(({ order: before }) => before.order.id === order.order.id);
    if (known === -1) placed.push({ order, viewing, isAdmitted: false });
    else if (placed[known]?.viewing === null) placed[known] = { order, viewing, isAdmitted: false };
  }

  async function act(command: Command): Promise<void> {
    switch (command.do) {
      case 'order': {
        const sale = pick(sales, command.sale);
        if (sale === undefined) return;
        const request = {
          ...(await createOrderRequest(sale.id)),
          ...(command.pay === null ? {} : { cardToken: command.pay }),
        };
        requests.push(request);
        return place(request);
      }
      case 'repeat': {
        const request = pick(requests, command.nth);
        return request === undefined ? undefined : place(request);
      }
      case 'begin': {
        const chosen = pick(placed, command.nth);
        if (!chosen?.viewing) return;
        await chosen.viewing.begin(desk.nowMs());
        chosen.isAdmitted = true;
        return;
      }
      case 'use': {
        const chosen = pick(placed, command.nth);
        // A server that reports viewings which were never admitted is one that lies: reconcile says so.
        if (chosen?.isAdmitted === true) await chosen.viewing?.use({ seconds: command.seconds });
        return;
      }
      case 'cancel': {
        const chosen = pick(placed, command.nth);
        if (chosen === undefined) return;
        const changed = await faults.db.transaction((tx) =>
          cancelOrder(tx, {
            orderId: chosen.order.order.id,
            ownerId: customer.id,
            actor: { kind: 'buyer', id: customer.id },
            accountId: customer.id,
            reason: 'test',
            now: new Date(desk.nowMs()),
          }),
        );
        return desk.run(changed);
      }
      case 'refund': {
        const chosen = pick(placed, command.nth);
        if (chosen === undefined) return;
        const { amountMinor, nth: at } = command;
        const orderId = chosen.order.order.id;
        const request = {
          orderId,
          amountMinor,
          reason: 'test',
          idempotencyKey: `r-${String(at)}-${orderId}`,
        };
        const by = { id: customer.id, accountId: customer.id };
        const changed = await faults.db.transaction((tx) =>
          refundOrder(tx, request, by, new Date(desk.nowMs())),
        );
        return desk.run(changed);
      }
      case 'settle':
        return desk.settle(placed.map(({ order }) => order.order.id));
      case 'webhooks':
        await desk.tellWebhooks();
        return;
      case 'sweep':
        await desk.sweep();
        return;
      case 'wait':
        desk.advance(command.seconds * 1000);
        return;
      case 'crash':
        faults.arm(command.where);
        return;
    }
  }

  for (let at = 0; at < commands.length; at += atOnce) {
    const results = await Promise.allSettled(commands.slice(at, at + atOnce).map(act));
    for (const result of results) {
      if (result.status === 'rejected' && !(result.reason instanceof Denial))
        expect(result.reason).toBeInstanceOf(Crash);
    }
  }
  expect(desk.failures.filter((error) => !(error instanceof Crash))).toEqual([]);
  faults.arm(null);
  await desk.tellWebhooks().catch((error: unknown) => expect(error).toBeInstanceOf(Denial));
  await checkHistory(world, customer.id);
  // Everything is over, and everything that was left open is found and brought to its end.
  for (let hours = 0; hours < 6; hours++) {
    desk.advance(3_600_000);
    await desk.sweep();
  }
  await checkEnd(world, customer.id);
}

/** What holds at every moment. */
async function checkHistory({ db }: World, accountId: string): Promise<void> {
  expect(await reconcile(db)).toEqual([]);
  const own = await db.select().from(orders).where(eq(orders.accountId, accountId));
  for (const order of own) {
    const events = await db
      .select()
      .from(orderEvents)
      .where(eq(orderEvents.orderId, order.id))
      .orderBy(orderEvents.id);
    const states = events.map(({ toState }) => toState);
    expect(states[0]).toBe('placed');
    expect(states.at(-1)).toBe(order.state);
    for (const { fromState, toState } of events.slice(1)) {
      expect(fromState !== null && mayBecome(fromState, toState)).toBe(true);
    }
    const issued = await db.select().from(tickets).where(eq(tickets.orderId, order.id));
    // No ticket without authorization, and one ticket.
    expect(issued.length).toBe(states.includes('ticketed') ? 1 : 0);
    if (issued.length > 0) expect(states).toContain('authorized');
    // Charged at most once, never without a picture unless it was forfeited.
    const bookings = await db
      .select()
      .from(ledgerTransactions)
      .where(eq(ledgerTransactions.orderId, order.id));
    for (const kind of ['hold', 'capture', 'release'] as const)
      expect(bookings.filter((booking) => booking.kind === kind).length).toBeLessThanOrEqual(1);
    const isForfeited = order.terms.charging === 'prepaid' && order.terms.unusedPolicy === 'forfeit';
    if (order.capturedMinor > 0 && !isForfeited) expect(order.deliveredAt).not.toBeNull();
  }
}

/** What holds when nothing more can come. */
async function checkEnd(world: World, accountId: string): Promise<void> {
  const { db } = world;
  await checkHistory(world, accountId);
  const own = await db.select().from(orders).where(eq(orders.accountId, accountId));
  for (const { state, dueAt } of own) {
    expect(['captured', 'released', 'refunded', 'cancelled', 'failed']).toContain(state);
    expect(dueAt).toBeNull();
  }
  expect(await heldOf(db, accountId)).toEqual([]);
  const operations = await db
    .select({ state: paymentOperations.state })
    .from(paymentOperations)
    .innerJoin(payments, eq(payments.id, paymentOperations.paymentId))
    .innerJoin(orders, eq(orders.id, payments.orderId))
    .where(eq(orders.accountId, accountId));
  for (const { state } of operations) expect(['done', 'refused']).toContain(state);
  // What the customer has is what he had, less what his balance was charged, and with what it was given back.
  const paid = await db
    .select({ captured: payments.capturedMinor, refunded: payments.refundedMinor })
    .from(payments)
    .innerJoin(orders, eq(orders.id, payments.orderId))
    .where(and(eq(orders.accountId, accountId), eq(payments.provider, 'balance')));
  const spent = paid.reduce((sum, { captured, refunded }) => sum + captured - refunded, 0);
  expect(await balancesOf(db, accountId)).toEqual([money(START_MINOR - spent, 'EUR')]);
}
