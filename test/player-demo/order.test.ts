import { decodeJwt } from 'jose';
import { beforeAll, expect, test } from 'vitest';
import type {
  FurtherTicketInput,
  PlacedOrder,
  PlaceOrderInput,
  RenewTicketInput,
} from '../../player-demo/src/api.ts';
import { createOrderKeys, type OrderKeys } from '../../player-demo/src/keys.ts';
import { orderTicket, renewTicket, type How, type Ordering } from '../../player-demo/src/order.ts';
import { Problem } from '../../player-demo/src/problems.ts';
import type { PendingOrder, StoredTicket } from '../../player-demo/src/store.ts';
import { ISSUER, NOW_MS, OFFER, openShop, TITLE, type Changes, type Shop } from './support/shop.ts';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});

/** A shop that answers each `placeOrder` with the next of `answers`: a code to fail with, or changes to the ticket. */
function setUp(...answers: (string | Problem | Changes)[]) {
  const asked: PlaceOrderInput[] = [];
  const further: FurtherTicketInput[] = [];
  const renewals: RenewTicketInput[] = [];
  const tickets: StoredTicket[] = [];
  const pending = new Map<string, PendingOrder>();
  const endpoints: string[] = [];
  const waits: number[] = [];
  let pendings = 0;
  async function deliver({ proofKey, sealKey }: Pick<PlaceOrderInput, 'proofKey' | 'sealKey'>) {
    const answer = answers.shift();
    if (answer === undefined) throw new Error('one order too many');
    if (typeof answer === 'string') throw new Problem(answer);
    if (answer instanceof Problem) throw answer;
    const keys: OrderKeys = { ...(await createOrderKeys()), proofJwk: proofKey, sealJwk: sealKey };
    return { orderId: 'order-1', ...(await shop.deliver(keys, answer)) };
  }
  const ordering: Ordering = {
    issuer: ISSUER,
    nowMs: () => NOW_MS,
    wait: async (ms) => void waits.push(ms),
    onPending: () => {
      pendings++;
    },
    onEndpoint: (url) => void endpoints.push(url),
    api: {
      keySet: async () => shop.keySet,
      async placeOrder(input): Promise<PlacedOrder> {
        asked.push(input);
        return deliver(input);
      },
      async orderTicket(input): Promise<PlacedOrder> {
        further.push(input);
        return deliver(input);
      },
      async renewTicket(input): Promise<PlacedOrder> {
        renewals.push(input);
        return deliver(input);
      },
    },
    store: {
      putTicket: async (ticket) => void tickets.push(ticket),
      putPending: async (entry) => void pending.set(entry.id, entry),
      findPending: async (id) => pending.get(id) ?? null,
      removePending: async (id) => void pending.delete(id),
    },
  };
  const order = (how: How = {}, offer = OFFER) =>
    orderTicket(ordering, 'viewer@usher.example', TITLE, offer, how);
  const renew = (ticket: StoredTicket) => renewTicket(ordering, ticket, TITLE, OFFER);
  return {
    ...{ order, renew, renewals, asked, further, tickets, pending, endpoints, waits },
    pendings: () => pendings,
  };
}

/** Until the player gives up. */
const UNREACHABLE = ['shop_unreachable', 'shop_unreachable', 'shop_unreachable'];

test('a ticket that passes is stored with its keys, and the order is done', async () => {
  const { order, tickets, pending, endpoints } = setUp({});
  const ticket = await order();
  expect(endpoints).toEqual([ticket.endpoint]);
  expect(tickets).toEqual([ticket]);
  expect(ticket).toMatchObject({
    orderId: 'order-1',
    uri: '/live/demo',
    expiresAtSeconds: NOW_MS / 1000 + 86_400,
  });
  expect(ticket.keys.proofPrivateKey.extractable).toBe(false);
  expect(pending.size).toBe(0);
});

test('an order whose answer was lost is repeated with the same idempotency key and the same keys', async () => {
  const { order, asked } = setUp('shop_unreachable', 'shop_unreachable', {});
  await order();
  expect(asked).toHaveLength(3);
  expect(asked[2]).toEqual(asked[0]);
});

test('when the shop stays away, the next try of the viewer is still the same order', async () => {
  const { order, asked, pending } = setUp('shop_unreachable', 'shop_unreachable', 'shop_unreachable', {});
  await expect(order()).rejects.toMatchObject({ code: 'shop_unreachable' });
  expect(pending.size).toBe(1);
  await order();
  expect(asked[3]).toEqual(asked[0]);
  expect(pending.size).toBe(0);
});

test('a refused order is over: the next one is a new order with new keys', async () => {
  const { order, asked, pending } = setUp('funds_insufficient', {});
  await expect(order()).rejects.toMatchObject({ code: 'funds_insufficient' });
  expect(pending.size).toBe(0);
  await order();
  expect(asked[1]?.idempotencyKey).not.toBe(asked[0]?.idempotencyKey);
  expect(asked[1]?.proofKey).not.toEqual(asked[0]?.proofKey);
});

test('a ticket that is not what was ordered is not stored, and asking again is not a second purchase', async () => {
  const { order, asked, tickets } = setUp({ claims: { uri: '/live/other' } }, {});
  await expect(order()).rejects.toMatchObject({ part: 'uri' });
  expect(tickets).toEqual([]);
  await order();
  expect(asked[1]?.idempotencyKey).toBe(asked[0]?.idempotencyKey);
});

test('a replayed ticket that is over makes place for a new order', async () => {
  const { order, asked } = setUp({ claims: { exp: NOW_MS / 1000 - 1 } }, {});
  await expect(order()).rejects.toMatchObject({ part: 'exp' });
  await order();
  expect(asked[1]?.idempotencyKey).not.toBe(asked[0]?.idempotencyKey);
});

test('a code goes along with the order', async () => {
  const { order, asked } = setUp({});
  await order({ code: { promotionCode: 'USHER20' } });
  expect(asked[0]).toMatchObject({ offerId: OFFER.id, titleId: TITLE.id, promotionCode: 'USHER20' });
});

test('an order that got no answer is repeated with its code, though that is not typed again', async () => {
  const { order, asked } = setUp(...UNREACHABLE, {});
  await expect(order({ code: { voucherCode: 'A' } })).rejects.toMatchObject({ code: 'shop_unreachable' });
  await order();
  expect(asked[3]).toEqual(asked[0]);
});

test('with another code it is another try, until the shop says that it has the first one', async () => {
  const { order, asked, tickets, pending } = setUp(
    ...UNREACHABLE,
    ...UNREACHABLE,
    'idempotency_conflict',
    'idempotency_conflict',
    {},
  );
  await expect(order()).rejects.toMatchObject({ code: 'shop_unreachable' });
  await expect(order({ code: { promotionCode: 'B' } })).rejects.toMatchObject({ code: 'shop_unreachable' });
  await order({ code: { promotionCode: 'C' } });
  expect(asked.slice(6).map(({ promotionCode }) => promotionCode)).toEqual(['C', 'B', undefined]);
  expect(asked[8]).toEqual(asked[0]);
  expect(tickets).toHaveLength(1);
  expect(pending.size).toBe(0);
});

test.each(['overloaded', 'rate_limited'])(
  'a shop that answers %s has nothing of the order',
  async (answer) => {
    const { order, asked, pending } = setUp(answer, {});
    await expect(order({ code: { promotionCode: 'A' } })).rejects.toMatchObject({ code: answer });
    expect(pending.size).toBe(0);
    await order();
    expect(asked[1]).not.toHaveProperty('promotionCode');
    expect(asked[1]?.idempotencyKey).not.toBe(asked[0]?.idempotencyKey);
  },
);

test('a shop that has no time for a repetition has not refused the order', async () => {
  const { order, asked } = setUp(...UNREACHABLE, 'rate_limited', 'overloaded', {});
  await expect(order()).rejects.toMatchObject({ code: 'shop_unreachable' });
  await expect(order()).rejects.toMatchObject({ code: 'rate_limited' });
  await expect(order()).rejects.toMatchObject({ code: 'overloaded' });
  await order();
  expect(asked[5]).toEqual(asked[0]);
});

test('a payment that is being decided on is asked after by itself, as the same order', async () => {
  const worked = new Problem('conflict', { retryAfterSeconds: 3 });
  const { order, asked, tickets, waits, pendings } = setUp('payment_pending', 'payment_pending', worked, {});
  await order({ cardToken: 'tok_delayed' });
  expect(asked).toHaveLength(4);
  expect(asked[0]).toMatchObject({ cardToken: 'tok_delayed' });
  for (const each of asked) expect(each).toEqual(asked[0]);
  expect([waits, pendings()]).toEqual([[1000, 2000, 3000], 3]);
  expect(tickets).toHaveLength(1);
});

test('a payment that is not decided on for long is left to the viewer, and stays the same order', async () => {
  const { order, asked, pending, waits } = setUp(...new Array<string>(11).fill('payment_pending'), {});
  await expect(order({ cardToken: 'tok_ok' })).rejects.toMatchObject({ code: 'payment_pending' });
  expect(waits.reduce((sum, ms) => sum + ms, 0)).toBe(90_000);
  expect(pending.size).toBe(1);
  await order({ cardToken: 'tok_ok' });
  expect(asked[11]).toEqual(asked[0]);
});

test.each(['payment_declined', 'conflict'])('after %s there is nothing to wait for', async (code) => {
  const { order, asked, waits } = setUp(code);
  await expect(order({ cardToken: 'tok_declined' })).rejects.toMatchObject({ code });
  expect([asked.length, waits]).toEqual([1, []]);
});

test('after a declined card, another one is a new order', async () => {
  const { order, asked } = setUp('payment_pending', 'payment_declined', {});
  await expect(order({ cardToken: 'tok_delayed_declined' })).rejects.toMatchObject({
    code: 'payment_declined',
  });
  await order({ cardToken: 'tok_ok' });
  expect(asked[2]).toMatchObject({ cardToken: 'tok_ok' });
  expect(asked[2]?.idempotencyKey).not.toBe(asked[0]?.idempotencyKey);
});

test('a card goes along with a promotion, and not with a voucher, which pays alone', async () => {
  const { order, asked } = setUp({}, {});
  await order({ code: { promotionCode: 'USHER20' }, cardToken: 'tok_ok' });
  await order({ code: { voucherCode: 'A' }, cardToken: 'tok_ok' });
  expect(asked[0]).toMatchObject({ promotionCode: 'USHER20', cardToken: 'tok_ok' });
  expect(asked[1]).toMatchObject({ voucherCode: 'A' });
  expect(asked[1]).not.toHaveProperty('cardToken');
});

test('an order that got no answer, and is paid otherwise now, is charged to what the shop had of it first', async () => {
  const { order, asked, tickets } = setUp(...UNREACHABLE, 'idempotency_conflict', {});
  const code = { promotionCode: 'A' };
  await expect(order({ code, cardToken: 'tok_ok' })).rejects.toMatchObject({ code: 'shop_unreachable' });
  await order();
  expect(asked[3]).toMatchObject(code);
  expect(asked[3]).not.toHaveProperty('cardToken');
  expect(asked[4]).toEqual(asked[0]);
  expect(tickets).toHaveLength(1);
});

test('a further title of a category is had within its order, for as long as that lasts', async () => {
  const { order, asked, further } = setUp({ claims: { exp: NOW_MS / 1000 + 60 } }, {});
  const within = (seconds: number) => ({
    id: 'order-1',
    offer: OFFER,
    expiresAt: new Date(NOW_MS + seconds * 1000).toISOString(),
  });
  expect((await order({ within: within(60) })).expiresAtSeconds).toBe(NOW_MS / 1000 + 60);
  expect(further).toMatchObject([{ orderId: 'order-1', titleId: TITLE.id }]);
  expect(asked).toEqual([]);
  await expect(order({ within: within(90_000) })).rejects.toMatchObject({ part: 'exp' });
});

test('a further title has the rights that its order was sold with, whatever has become of the offer', async () => {
  const expiresAt = new Date(NOW_MS + 60_000).toISOString();
  const { order } = setUp({}, {});
  const changed = { ...OFFER, name: 'Changed', rights: { ...OFFER.rights, concurrent: 3 } };
  const ticket = await order({ within: { id: 'order-1', offer: OFFER, expiresAt } }, changed);
  expect(ticket.offerName).toBe(OFFER.name);
  const within = { id: 'order-1', offer: changed, expiresAt };
  await expect(order({ within })).rejects.toMatchObject({ part: 'rights' });
});

test('a renewal is for the same proof key, with a seal key of its own, and kept beside the ticket before', async () => {
  const { order, renew, renewals, tickets, pending } = setUp({}, {});
  const first = await order();
  const next = await renew(first);
  expect(renewals).toEqual([
    {
      ticketId: decodeJwt(first.ticket).jti,
      offerId: OFFER.id,
      proofKey: first.keys.proofJwk,
      sealKey: next.keys.sealJwk,
      idempotencyKey: expect.any(String) as string,
    },
  ]);
  expect(next.keys.proofPrivateKey).toBe(first.keys.proofPrivateKey);
  expect(next.keys.sealJwk).not.toEqual(first.keys.sealJwk);
  expect([tickets, pending.size]).toEqual([[first, next], 0]);
});

test('a renewal whose answer was lost is repeated as the same order', async () => {
  const { order, renew, renewals } = setUp({}, ...Array<string>(3).fill('shop_unreachable'), {});
  const first = await order();
  await expect(renew(first)).rejects.toMatchObject({ code: 'shop_unreachable' });
  await renew(first);
  expect(renewals).toHaveLength(4);
  expect(new Set(renewals.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);
});
