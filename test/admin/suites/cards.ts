/** Orders by card: everything that a payment provider may do. */
import { and, eq } from 'drizzle-orm';
import { expect, it } from 'vitest';
import {
  orders,
  paymentEvents,
  paymentOperations,
  payments,
  streamingServers,
  tickets,
  vouchers,
} from '../../../admin/db/schema.ts';
import { newId } from '../../../admin/ids.ts';
import { reconcile } from '../../../admin/ledger/reconcile.ts';
import { cancelOrder } from '../../../admin/orders/cancel.ts';
import type { PlacedOrder } from '../../../admin/orders/place.ts';
import type { OrderRequest } from '../../../admin/orders/request.ts';
import { refundOrder } from '../../../admin/orders/refund.ts';
import { RECEIPTS_WITHIN_MS } from '../../../admin/orders/settlement.ts';
import type { PaymentProvider, ProviderRequest } from '../../../admin/payments/providers.ts';
import { createVouchers } from '../../../admin/pricing/vouchers.ts';
import { latestSeq, readEntries } from '../../../admin/revocations/entries.ts';
import {
  buyerOf,
  createCustomer,
  createOrderRequest,
  place,
  START_MS,
  ticketed,
  type World,
} from '../../support/databases.ts';
import {
  cardRequest,
  createTestDesk,
  webhook,
  type TestDesk,
  type TestDeskOptions,
} from '../../support/order-desk.ts';
import { booksOf, createSale } from '../../support/sales.ts';
import { createViewing } from '../../support/viewings.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

export function cardsSuite(world: () => World): void {
  async function set(
    token: string,
    options: TestDeskOptions = {},
    terms: Parameters<typeof createSale>[1] = {},
  ) {
    const [customer, offer] = [await createCustomer(world()), await createSale(world(), terms)];
    const request = await cardRequest(offer.id, token);
    const desk = createTestDesk(world(), options);
    const order = () => desk.place(request, buyerOf(customer.id));
    return { customer, offer, request, desk, order };
  }

  const books = (id: string) => booksOf(world(), id);

  const onlyOrder = async (request: OrderRequest): Promise<string> => {
    const [row] = await world()
      .db.select({ id: orders.id })
      .from(orders)
      .where(eq(orders.idempotencyKey, request.idempotencyKey));
    return row?.id ?? '';
  };

  async function watch(desk: TestDesk, placed: PlacedOrder): Promise<void> {
    const viewing = createViewing(world(), ticketed(placed));
    await viewing.begin(desk.nowMs());
    await desk.settleSession(viewing.session);
  }

  async function openOperation(request: OrderRequest): Promise<string> {
    const [row] = await world()
      .db.select({ id: paymentOperations.id })
      .from(paymentOperations)
      .innerJoin(payments, eq(payments.id, paymentOperations.paymentId))
      .where(and(eq(payments.orderId, await onlyOrder(request)), eq(paymentOperations.kind, 'authorize')));
    return row?.id ?? '';
  }

  it('a card that is good: a ticket at once, charged at the first picture, no balance touched', async () => {
    const { desk, order } = await set('tok_ok');
    const placed = await order();
    expect(placed).toMatchObject({ replayed: false, order: { state: 'ticketed' } });
    expect(await order()).toMatchObject({ replayed: true, issued: placed.issued });
    await watch(desk, placed);
    expect(await books(placed.order.id)).toEqual({
      state: 'captured',
      captured: 300,
      refunded: 0,
      balance: 0,
      held: 0,
    });
  });

  it('a card that is declined: no ticket, and the same answer again', async () => {
    const { order, request } = await set('tok_declined');
    await expect(order()).rejects.toMatchObject({ code: 'payment_declined' });
    await expect(order()).rejects.toMatchObject({ code: 'payment_declined' });
    expect(await books(await onlyOrder(request))).toMatchObject({ state: 'failed', captured: 0 });
  });

  it.each([
    ['tok_delayed', 1],
    ['tok_duplicate_webhook', 1],
  ])('%s: the ticket comes with the webhook, which counts once', async (token) => {
    const { desk, order, request } = await set(token);
    expect(await order()).toMatchObject({ issued: null, replayed: false, order: { state: 'placed' } });
    expect(await order()).toMatchObject({ issued: null, replayed: true });
    await desk.tellWebhooks();
    const placed = await order();
    expect(placed).toMatchObject({ replayed: true, order: { state: 'ticketed' } });
    expect(placed.issued).not.toBeNull();
    const events = await world()
      .db.select()
      .from(paymentEvents)
      .where(eq(paymentEvents.operationId, await openOperation(request)));
    expect(events).toHaveLength(1);
    await watch(desk, placed);
    expect(await books(placed.order.id)).toMatchObject({ state: 'captured', captured: 300 });
  });

  it('a card that is declined later: no ticket', async () => {
    const { desk, order } = await set('tok_delayed_declined');
    expect(await order()).toMatchObject({ issued: null });
    await desk.tellWebhooks();
    await expect(order()).rejects.toMatchObject({ code: 'payment_declined' });
  });

  it('a webhook that never comes: the provider is asked', async () => {
    const { desk, order } = await set('tok_delayed');
    await order();
    desk.advance(MINUTE_MS);
    expect(await desk.sweep()).toBe(1);
    expect(await order()).toMatchObject({ order: { state: 'ticketed' } });
  });

  it('an answer that gets lost: in flight first, found out by asking again, authorized once', async () => {
    const asked: ProviderRequest[] = [];
    const wrap = (provider: PaymentProvider): PaymentProvider => ({
      ...provider,
      authorize: (request, signal) => {
        asked.push(request);
        return provider.authorize(request, signal);
      },
    });
    const { desk, order } = await set('tok_timeout', { wrap });
    expect(await order()).toMatchObject({ issued: null, order: { state: 'placed' } });
    await expect(order()).rejects.toMatchObject({ code: 'conflict' });
    expect(await desk.sweep()).toBe(0);
    desk.advance(MINUTE_MS);
    await desk.sweep();
    expect(await order()).toMatchObject({ order: { state: 'ticketed' } });
    expect(new Set(asked.map(({ operationId }) => operationId)).size).toBe(1);
  });

  it('authorized when there is no ticket to be had any more: the money goes back', async () => {
    const { desk, order } = await set('tok_delayed');
    const { id } = (await order()).order;
    await world().db.update(streamingServers).set({ active: false });
    await desk.tellWebhooks();
    await world().db.update(streamingServers).set({ active: true });
    await expect(order()).rejects.toMatchObject({ code: 'not_on_sale' });
    expect(await books(id)).toMatchObject({ state: 'released', captured: 0 });
    const [payment] = await world().db.select().from(payments).where(eq(payments.orderId, id));
    expect(payment).toMatchObject({ state: 'released' });
  });

  it('a provider that never answers: the order fails, and what it may hold is released', async () => {
    const released: string[] = [];
    const wrap = (provider: PaymentProvider): PaymentProvider => ({
      ...provider,
      authorize: () => Promise.reject(new Error('down')),
      release: async ({ paymentId }) => {
        released.push(paymentId);
        return { state: 'done' };
      },
    });
    const { desk, order } = await set('tok_ok', { wrap });
    await order();
    for (let hours = 0; hours < 3; hours++) {
      desk.advance(HOUR_MS);
      await desk.sweep();
    }
    await expect(order()).rejects.toMatchObject({ code: 'payment_declined' });
    expect(released).toHaveLength(1);
  });

  it('a crash after the provider has authorized: found out by asking again', async () => {
    let crash = true;
    const wrap = (provider: PaymentProvider): PaymentProvider => ({
      ...provider,
      authorize: async (request, signal) => {
        const outcome = await provider.authorize(request, signal);
        if (!crash) return outcome;
        crash = false;
        throw new Error('the process is gone');
      },
    });
    const { desk, order } = await set('tok_ok', { wrap });
    await order();
    desk.advance(MINUTE_MS);
    await desk.sweep();
    expect(await order()).toMatchObject({ order: { state: 'ticketed' } });
  });

  it('a charge that is refused: the order has failed, nothing is booked and the ticket ends', async () => {
    const released: string[] = [];
    const wrap = (provider: PaymentProvider): PaymentProvider => ({
      ...provider,
      release: async ({ paymentId }) => {
        released.push(paymentId);
        return { state: 'done' };
      },
    });
    const { desk, order } = await set('tok_capture_fails', { wrap });
    const placed = await order();
    const after = await latestSeq(world().db);
    await watch(desk, placed);
    const { id } = placed.order;
    expect(await books(id)).toMatchObject({ state: 'failed', captured: 0 });
    expect(released).toHaveLength(1);
    const issued = await world().db.select().from(tickets).where(eq(tickets.orderId, id));
    expect(issued.map(({ revokedAt }) => revokedAt)).toEqual([new Date(START_MS)]);
    expect(await readEntries(world().db, { after, limit: 10 })).toMatchObject([
      { kind: 'subject', value: issued[0]?.subject },
    ]);
    await expect(createViewing(world(), ticketed(placed)).begin()).rejects.toMatchObject({
      code: 'ticket_revoked',
    });
  });

  it('cancelled: released at the provider, and never charged', async () => {
    const { desk, order, customer } = await set('tok_ok');
    const { id } = (await order()).order;
    const changed = await world().db.transaction((tx) =>
      cancelOrder(tx, {
        orderId: id,
        ownerId: customer.id,
        actor: { kind: 'buyer', id: customer.id },
        accountId: customer.id,
        reason: 'test',
        now: new Date(START_MS),
      }),
    );
    await desk.run(changed);
    const [payment] = await world().db.select().from(payments).where(eq(payments.orderId, id));
    expect(payment).toMatchObject({ state: 'released', capturedMinor: 0, source: null });
    desk.advance(2 * HOUR_MS + RECEIPTS_WITHIN_MS);
    await desk.sweep();
    expect(await books(id)).toMatchObject({ state: 'cancelled', captured: 0 });
  });

  it('cancelled while the provider thinks: what it authorizes then is released', async () => {
    const { desk, order, customer } = await set('tok_delayed');
    const { id } = (await order()).order;
    await world().db.transaction((tx) =>
      cancelOrder(tx, {
        orderId: id,
        ownerId: customer.id,
        actor: { kind: 'buyer', id: customer.id },
        accountId: customer.id,
        reason: 'test',
        now: new Date(START_MS),
      }),
    );
    await desk.tellWebhooks();
    const [payment] = await world().db.select().from(payments).where(eq(payments.orderId, id));
    expect(payment).toMatchObject({ state: 'released' });
    expect(await books(id)).toMatchObject({ state: 'cancelled' });
  });

  it('metered: less than what was authorized is charged', async () => {
    const { desk, order } = await set(
      'tok_ok',
      {},
      {
        timeOption: { kind: 'metered', unit: 'minute', max: 10, validSeconds: 3600 },
        meterPriceMinor: 25,
      },
    );
    const placed = await order();
    const viewing = createViewing(world(), ticketed(placed));
    await viewing.begin();
    await viewing.use({ seconds: 70 });
    desk.advance(HOUR_MS + RECEIPTS_WITHIN_MS);
    await desk.sweep();
    expect(await books(placed.order.id)).toMatchObject({ state: 'captured', captured: 50 });
  });

  it('refunded to the card', async () => {
    const { desk, order } = await set('tok_ok');
    const placed = await order();
    await watch(desk, placed);
    const { id } = placed.order;
    const request = { orderId: id, amountMinor: 120, reason: 'test', idempotencyKey: `card-${id}` };
    const by = { id: newId(), accountId: placed.order.accountId ?? '' };
    const changed = await world().db.transaction((tx) => refundOrder(tx, request, by, new Date(START_MS)));
    expect(await books(id)).toMatchObject({ refunded: 0 });
    await desk.run(changed);
    expect(await books(id)).toMatchObject({ state: 'captured', refunded: 120, balance: 0 });
  });

  it.each([
    ['another secret', 'another-secret-of-thirty-two-characters', 'server_untrusted'],
    ['an operation that is not known', undefined, 'not_found'],
  ])('a webhook of %s does nothing', async (_what, secret, code) => {
    const { desk, order, request } = await set('tok_delayed');
    await order();
    const operation = secret === undefined ? newId() : await openOperation(request);
    const told = webhook({ id: 'evt-1', operation, outcome: 'done' }, desk.nowMs(), secret);
    await expect(desk.takeWebhook('test_card', ...told)).rejects.toMatchObject({ code });
    expect(await order()).toMatchObject({ issued: null });
  });

  it('what a webhook says first holds: a later one that contradicts it changes nothing', async () => {
    const { desk, order, request } = await set('tok_delayed');
    await order();
    const operation = await openOperation(request);
    for (const [id, outcome] of [
      [`evt-a-${operation}`, 'done'],
      [`evt-b-${operation}`, 'refused'],
    ] as const)
      await desk.takeWebhook('test_card', ...webhook({ id, operation, outcome }, desk.nowMs()));
    expect(await order()).toMatchObject({ order: { state: 'ticketed' } });
  });

  it('a voucher pays for an order without an account, and is good again when the order is cancelled', async () => {
    const { db } = world();
    const offer = await createSale(world());
    const expiresAt = new Date(START_MS + HOUR_MS);
    const { codes } = await db.transaction((tx) =>
      createVouchers(tx, { name: 'Test', count: 1, offerId: offer.id, expiresAt }, new Date(START_MS)),
    );
    const request = { ...(await createOrderRequest(offer.id)), voucherCode: codes[0] ?? '' };
    const placed = await place(world(), request);
    expect(placed.order).toMatchObject({ accountId: null, state: 'ticketed' });
    await expect(
      place(world(), { ...(await createOrderRequest(offer.id)), voucherCode: codes[0] ?? '' }),
    ).rejects.toMatchObject({ code: 'code_invalid' });
    const staff = await createCustomer(world());
    await db.transaction((tx) =>
      cancelOrder(tx, {
        orderId: placed.order.id,
        ownerId: null,
        actor: { kind: 'staff', id: staff.id },
        accountId: staff.id,
        reason: 'test',
        now: new Date(START_MS),
      }),
    );
    const [voucher] = await db.select().from(vouchers);
    expect(voucher).toMatchObject({ redeemedAt: null, orderId: null });
    const again = { ...(await createOrderRequest(offer.id)), voucherCode: codes[0] ?? '' };
    const second = await place(world(), again);
    await watch(createTestDesk(world()), second);
    expect(await books(second.order.id)).toMatchObject({ state: 'captured', captured: 300 });
  });

  it('leaves books that agree with the entries and receipts', async () => {
    expect(await reconcile(world().db)).toEqual([]);
  });
}
