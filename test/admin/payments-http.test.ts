import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOrderRequest } from '../support/databases.ts';
import { webhook, WEBHOOK_SECRET } from '../support/order-desk.ts';
import { startOrderServer, type TestOrderServer } from '../support/order-server.ts';

const PLACE = `mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) {
  replayed ticket order { id state payment { provider state amount { amountMinor } } history { to by } } } }`;
const ORDER =
  'query ($id: ID!) { order(id: $id) { state captured { amountMinor } refunded { amountMinor } } }';
const STAFF_CANCEL =
  'mutation ($id: ID!, $reason: String!) { cancelCustomerOrder(orderId: $id, reason: $reason) { state } }';
const HISTORY = 'query ($id: ID!) { order(id: $id) { history { by reason } } }';
const CANCEL = 'mutation ($id: ID!) { cancelOrder(orderId: $id) { state } }';
const REFUND = 'mutation ($input: RefundInput!) { refundOrder(input: $input) { state } }';
const STATEMENT = `{ held { amountMinor } statement { edges { node {
  kind balance { amountMinor } held { amountMinor } } } } }`;
const OFFERS = `query ($path: String) { title(path: $path) { id offers { id price { amountMinor } } } }`;

describe('orders and payments over HTTP', () => {
  let server: TestOrderServer;
  let offerId = '';
  let titleId = '';
  beforeAll(async () => {
    server = await startOrderServer({ testCardSecret: WEBHOOK_SECRET });
    const { data } = await server.graphql(OFFERS, { path: server.demo.streamPath });
    titleId = String(data?.['title']?.['id']);
    const offers = Object.values(data?.['title']?.['offers'] ?? {});
    offerId = String(offers.find((offer) => Number(offer['price']?.['amountMinor']) > 0)?.['id']);
  });
  afterAll(async () => {
    await server.close();
  });

  async function order(changes: object = {}, who: 'viewer' | 'second' = 'viewer') {
    const input = { ...(await createOrderRequest(offerId)), ...changes };
    return server.graphql(PLACE, { input }, await server.tokenOf(who));
  }

  const post = (signature: string, body: string, type = 'application/json') =>
    fetch(`${server.url}/v1/payments/test-card/events`, {
      method: 'POST',
      headers: { 'content-type': type, 'usher-signature': signature },
      body,
    });

  it('holds, shows it on the statement, and gives it back when the order is cancelled', async () => {
    const token = await server.tokenOf('viewer');
    const { data } = await order();
    const placed = data?.['placeOrder']?.['order'];
    expect(placed).toMatchObject({
      state: 'ticketed',
      payment: { provider: 'balance', state: 'authorized' },
      history: [
        { to: 'placed', by: 'buyer' },
        { to: 'authorized', by: 'buyer' },
        { to: 'ticketed', by: 'buyer' },
      ],
    });
    const price = placed?.['payment']?.['amount']?.['amountMinor'];
    const before = await server.graphql(STATEMENT, {}, token);
    expect(before.data?.['held']).toEqual([{ amountMinor: price }]);
    const cancelled = await server.graphql(CANCEL, { id: placed?.['id'] }, token);
    expect(cancelled).toMatchObject({ codes: [], data: { cancelOrder: { state: 'cancelled' } } });
    const after = await server.graphql(STATEMENT, {}, token);
    expect(after.data?.['held']).toEqual([]);
    expect(after.data?.['statement']?.['edges']?.[0]?.['node']).toMatchObject({
      kind: 'release',
      balance: { amountMinor: price },
    });
  });

  it("an order is nobody else's to see or cancel; staff see it", async () => {
    const { data } = await order();
    const id = data?.['placeOrder']?.['order']?.['id'];
    const second = await server.tokenOf('second');
    expect(await server.graphql(ORDER, { id }, second)).toMatchObject({ data: { order: null } });
    expect((await server.graphql(CANCEL, { id }, second)).codes).toEqual(['not_found']);
    const staff = await server.tokenOf('staff');
    expect(await server.graphql(ORDER, { id }, staff)).toMatchObject({
      data: { order: { state: 'ticketed' } },
    });
    const orders = `query ($titleId: ID!) { orders(titleId: $titleId, first: 1) { edges { node { id } } }
      titleStatement(titleId: $titleId, first: 1) { edges { node { kind } } } }`;
    const listed = await server.graphql(orders, { titleId }, staff);
    expect(listed).toMatchObject({ codes: [], data: { orders: { edges: [{ node: { id } }] } } });
  });

  it('what staff write about an order is for staff', async () => {
    const { data } = await order();
    const id = data?.['placeOrder']?.['order']?.['id'];
    const staff = await server.tokenOf('staff');
    const reason = 'called us again';
    const cancelled = await server.graphql(STAFF_CANCEL, { id, reason }, staff);
    expect(cancelled).toMatchObject({ codes: [], data: { cancelCustomerOrder: { state: 'cancelled' } } });
    const lastOf = async (who: 'viewer' | 'staff') => {
      const shown = await server.graphql(HISTORY, { id }, await server.tokenOf(who));
      return Object.values(shown.data?.['order']?.['history'] ?? {}).at(-1);
    };
    expect(await lastOf('viewer')).toEqual({ by: 'staff', reason: null });
    expect(await lastOf('staff')).toEqual({ by: 'staff', reason });
  });

  it('staff cannot refund what was not charged', async () => {
    const { data } = await order();
    const input = {
      orderId: data?.['placeOrder']?.['order']?.['id'],
      reason: 'test',
      idempotencyKey: 'refund-of-nothing',
    };
    const staff = await server.tokenOf('staff');
    expect((await server.graphql(REFUND, { input }, staff)).codes).toEqual(['conflict']);
  });

  it.each(['4242 4242 4242 4242', 'tok_4242424242424242', '4242-4242-4242-4242'])(
    'refuses what looks like a card number, and repeats it nowhere',
    async (cardToken) => {
      const input = { ...(await createOrderRequest(offerId)), cardToken };
      const response = await fetch(`${server.url}/graphql`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          authorization: `Bearer ${await server.tokenOf('viewer')}`,
        },
        body: JSON.stringify({ query: PLACE, variables: { input } }),
      });
      const text = await response.text();
      expect(text).toContain('never a card number');
      expect(text + JSON.stringify(server.logged)).not.toContain('4242');
    },
  );

  it('a card that is declined later by a webhook: 204 each time, and no ticket', async () => {
    const { data } = await order({ cardToken: 'tok_delayed_declined' });
    expect(data?.['placeOrder']).toMatchObject({ ticket: null, order: { state: 'placed' } });
    const id = String(data?.['placeOrder']?.['order']?.['id']);
    const [row] = await server.db.execute<{ id: string }>(
      `select o.id from payment_operations o join payments p on p.id = o.payment_id where p.order_id = '${id}'`,
    );
    const told = webhook({ id: 'evt-http', operation: row?.id ?? '', outcome: 'refused' }, Date.now());
    expect([(await post(...told)).status, (await post(...told)).status]).toEqual([204, 204]);
    const token = await server.tokenOf('viewer');
    expect(await server.graphql(ORDER, { id }, token)).toMatchObject({
      data: { order: { state: 'failed' } },
    });
  });

  it.each<[string, () => [string, string, string?], number]>([
    ['no signature', () => ['', '{}'], 401],
    [
      'another secret',
      () => webhook({ id: '1', operation: '', outcome: 'done' }, Date.now(), 'x'.repeat(32)),
      401,
    ],
    [
      'an old signature',
      () => webhook({ id: '1', operation: '', outcome: 'done' }, Date.now() - 301_000),
      401,
    ],
    [
      'a body that is none of ours',
      () => webhook({ id: '1', operation: 'x', outcome: 'done' }, Date.now()),
      400,
    ],
    [
      'another content type',
      () => [...webhook({ id: '1', operation: 'x', outcome: 'done' }, Date.now()), 'text/plain'],
      415,
    ],
    ['too long a body', () => ['', ' '.repeat(5000)], 413],
  ])('refuses a webhook with %s', async (_what, make, status) => {
    expect((await post(...make())).status).toBe(status);
  });
});
