/** What orders come to when payment providers, or what was ordered with, are not as they should be. */
import { eq, sql } from 'drizzle-orm';
import { expect, it } from 'vitest';
import { orders, paymentOperations, payments } from '../../admin/db/schema.ts';
import { cancelOrder } from '../../admin/orders/cancel.ts';
import { RECEIPTS_WITHIN_MS } from '../../admin/orders/settlement.ts';
import type { OfferInput } from '../../admin/catalog/offers.ts';
import type { PaymentProvider } from '../../admin/payments/providers.ts';
import {
  buyerOf,
  createCustomer,
  createOrderRequest,
  describeDatabase,
  orderOffer,
  place,
  START_MS,
} from '../support/databases.ts';
import { cardRequest, createTestDesk, type TestDeskOptions } from '../support/order-desk.ts';
import { booksOf, createSale } from '../support/sales.ts';
import { createViewing } from '../support/viewings.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const OVER_MS = HOUR_MS + RECEIPTS_WITHIN_MS;
const ZERO = 'A'.repeat(43);

describeDatabase('pglite', (world) => {
  async function set(token: string, options: TestDeskOptions = {}, terms: Partial<OfferInput> = {}) {
    const [customer, offer] = [await createCustomer(world()), await createSale(world(), terms)];
    const request = await cardRequest(offer.id, token);
    const desk = createTestDesk(world(), options);
    return { customer, offer, request, desk, order: () => desk.place(request, buyerOf(customer.id)) };
  }

  const cancel = (orderId: string, ownerId: string, nowMs: number) =>
    world().db.transaction((tx) =>
      cancelOrder(tx, {
        orderId,
        ownerId,
        actor: { kind: 'buyer', id: ownerId },
        accountId: ownerId,
        reason: 'test',
        now: new Date(nowMs),
      }),
    );

  it.each([
    ['over', OVER_MS],
    ['being charged, as a clock that is behind does not know', 0],
  ])(
    'an order that is %s is not cancelled: the forfeit whose answer was lost is charged',
    async (_what, atMs) => {
      let isLost = true;
      const wrap = (provider: PaymentProvider): PaymentProvider => ({
        ...provider,
        capture: async (request, signal) => {
          const outcome = await provider.capture(request, signal);
          if (!isLost) return outcome;
          isLost = false;
          throw new Error('the answer is lost');
        },
      });
      const { customer, desk, order } = await set('tok_ok', { wrap }, { unusedPolicy: 'forfeit' });
      const { id } = (await order()).order;
      desk.advance(OVER_MS);
      await desk.sweep();
      expect(await booksOf(world(), id)).toMatchObject({ state: 'ticketed', captured: 0 });
      await expect(cancel(id, customer.id, START_MS + atMs)).rejects.toMatchObject({ code: 'conflict' });
      desk.advance(MINUTE_MS);
      await desk.sweep();
      expect(await booksOf(world(), id)).toMatchObject({ state: 'captured', captured: 300 });
      expect(desk.failures).toEqual([]);
    },
  );

  it('nobody takes a forfeit back between the end of a ticket and its settlement', async () => {
    const offer = await createSale(world(), { unusedPolicy: 'forfeit' });
    const customer = await createCustomer(world(), 1000);
    const { id } = (await orderOffer(world(), offer.id, customer.id)).order;
    await expect(cancel(id, customer.id, START_MS + HOUR_MS)).rejects.toMatchObject({
      code: 'conflict',
      detail: 'order: it is over',
    });
    const desk = createTestDesk(world());
    desk.advance(OVER_MS);
    await desk.sweep();
    expect(await booksOf(world(), id)).toMatchObject({ state: 'captured', balance: 700 });
  });

  it.each([
    ['there is no provider', 'tok_ok', false],
    ['no provider knows it', 'tok_other', true],
  ])('a card is refused, and nothing of it stored, when %s', async (_what, token, hasProvider) => {
    const { request, order } = await set(token, { hasProvider });
    await expect(order()).rejects.toMatchObject({ code: 'input_invalid' });
    const stored = await world()
      .db.select()
      .from(orders)
      .where(eq(orders.idempotencyKey, request.idempotencyKey));
    expect(stored).toEqual([]);
  });

  it('an authorization whose provider is gone fails after an hour', async () => {
    const { order } = await set('tok_delayed');
    const { id } = (await order()).order;
    const desk = createTestDesk(world(), { hasProvider: false });
    desk.advance(HOUR_MS);
    await desk.sweep();
    expect(await booksOf(world(), id)).toMatchObject({ state: 'placed' });
    desk.advance(MINUTE_MS);
    await desk.sweep();
    expect(await booksOf(world(), id)).toMatchObject({ state: 'failed' });
    // The release of what it may hold waits for the provider.
    await world()
      .db.delete(paymentOperations)
      .where(
        eq(
          paymentOperations.paymentId,
          sql`(select ${payments.id} from ${payments} where ${payments.orderId} = ${id})`,
        ),
      );
  });

  it.each([
    ['an X25519 key of small order', { kty: 'OKP', crv: 'X25519', x: ZERO }],
    ['a point off its curve', { kty: 'EC', crv: 'P-256', x: ZERO, y: ZERO }],
  ] as const)('%s is refused before anything is stored', async (_what, sealKey) => {
    const { customer, offer, request, desk } = await set('tok_ok');
    const bad = { ...request, sealKey };
    await expect(desk.place(bad, buyerOf(customer.id))).rejects.toMatchObject({ code: 'input_invalid' });
    const free = await createSale(world(), { priceMinor: 0 });
    const other = { ...(await createOrderRequest(free.id)), sealKey };
    await expect(place(world(), other)).rejects.toMatchObject({ code: 'input_invalid' });
    const stored = await world().db.select().from(orders).where(eq(orders.offerId, offer.id));
    expect(stored).toEqual([]);
  });

  it('authorized with keys that no ticket can be made for: the money goes back', async () => {
    const { desk, order } = await set('tok_delayed');
    const { id } = (await order()).order;
    const clientKeys = { jkt: ZERO, sealKey: { kty: 'OKP', crv: 'X25519', x: ZERO } };
    await world().db.update(orders).set({ clientKeys }).where(eq(orders.id, id));
    await desk.tellWebhooks();
    expect(await booksOf(world(), id)).toMatchObject({ state: 'released', captured: 0 });
    await expect(order()).rejects.toMatchObject({ code: 'not_on_sale' });
  });

  it('a provider that hangs holds up no order, and no sweep that is to end', async () => {
    const asked = Promise.withResolvers<undefined>();
    const answer = Promise.withResolvers<undefined>();
    let tries = 0;
    const wrap = (provider: PaymentProvider): PaymentProvider => ({
      ...provider,
      authorize: async (request, signal) => {
        tries += 1;
        if (tries < 4) return { state: 'waiting' };
        asked.resolve(undefined);
        await answer.promise;
        return provider.authorize(request, signal);
      },
    });
    const { customer, request, desk } = await set('tok_ok', { wrap, answerWithinMs: 20_000 });
    for (let count = 0; count < 3; count++)
      await desk.place({ ...request, ...(await createOrderRequest(request.offerId)) }, buyerOf(customer.id));
    const [payer, offer] = [await createCustomer(world(), 1000), await createSale(world())];
    const placed = await orderOffer(world(), offer.id, payer.id);
    desk.advance(MINUTE_MS);
    await createViewing(world(), placed).begin(desk.nowMs());
    const stopping = new AbortController();
    const sweeping = desk.sweep(stopping.signal);
    await asked.promise;
    expect(await booksOf(world(), placed.order.id)).toMatchObject({ state: 'captured' });
    stopping.abort();
    answer.resolve(undefined);
    expect(await sweeping).toBe(4);
  });

  it('an order that cannot be settled is put off', async () => {
    const customer = await createCustomer(world(), 1000);
    const placed = await orderOffer(world(), (await createSale(world())).id, customer.id);
    const { id } = placed.order;
    await createViewing(world(), placed).begin();
    const broken = { ...placed.order.terms, charging: 'metered' as const };
    const exhausted = sql`${JSON.stringify(broken)}::jsonb`;
    await world().db.update(orders).set({ terms: exhausted }).where(eq(orders.id, id));
    await world().db.execute(sql`update tickets set revoked_at = ${new Date(START_MS - HOUR_MS).toISOString()}
      where order_id = ${id}::uuid`);
    const desk = createTestDesk(world());
    await desk.settle([id]);
    expect(desk.failures).toHaveLength(1);
    await desk.settle([id]);
    expect(desk.failures).toHaveLength(1);
    desk.advance(MINUTE_MS);
    await desk.settle([id]);
    expect(desk.failures).toHaveLength(2);
    await world().db.update(orders).set({ dueAt: null }).where(eq(orders.id, id));
  });
});
