import { buildSchema, Kind, parse, validate } from 'graphql';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { AccountApi } from '../../player-demo/src/account-api.ts';
import type { Api } from '../../player-demo/src/api.ts';
import { createApi } from '../../player-demo/src/graphql.ts';
import { OFFER, TITLE } from './support/shop.ts';

const schema = buildSchema(readFileSync(new URL('../../docs/schema.graphql', import.meta.url), 'utf8'));

interface Asked {
  readonly query: string;
  readonly variables: Record<string, unknown>;
}

function bodyOf(init: RequestInit | undefined): Asked {
  return JSON.parse(typeof init?.body === 'string' ? init.body : '{}') as Asked;
}

/** An API whose server answers `body` and keeps what it was asked. */
function apiAnswering(body: unknown, status = 200) {
  const asked: Asked[] = [];
  const api = createApi(async (_input, init) => {
    asked.push(bodyOf(init));
    return Response.json(body, { status });
  });
  return { api, asked };
}

const CALLS: Readonly<Record<string, (api: Api & AccountApi) => Promise<unknown>>> = {
  catalog: (api) => api.catalog(),
  categories: (api) => api.categories(),
  title: (api) => api.title('t'),
  me: (api) => api.me(),
  used: (api) => api.used(),
  signIn: (api) => api.signIn('a@b.example', 'password'),
  signUp: (api) => api.signUp('A', 'a@b.example', 'password'),
  signOut: (api) => api.signOut(),
  forgot: (api) => api.forgot('a@b.example'),
  resetPassword: (api) => api.resetPassword('token', 'password'),
  topUp: (api) => api.topUp({ amountMinor: 1, currency: 'EUR' }, 'key'),
  openOrders: (api) => api.openOrders(),
  testCards: (api) => api.testCards(),
  orders: (api) => api.orders('cursor'),
  statement: (api) => api.statement(null),
  sessions: (api) => api.sessions(),
  held: (api) => api.held(),
  cancelOrder: (api) => api.cancelOrder('o'),
  endSession: (api) => api.endSession('s'),
  changePassword: (api) => api.changePassword('password', 'another one'),
  orderTicket: (api) =>
    api.orderTicket({ orderId: 'o', titleId: 't', proofKey: {}, sealKey: {}, idempotencyKey: 'key' }),
  renewTicket: (api) =>
    api.renewTicket({ ticketId: 'j', offerId: 'o', proofKey: {}, sealKey: {}, idempotencyKey: 'key' }),
  placeOrder: (api) =>
    api.placeOrder({ offerId: 'o', titleId: 't', proofKey: {}, sealKey: {}, idempotencyKey: 'key' }),
};

test.each(Object.entries(CALLS))(
  '%s asks what the schema has, with the variables it names',
  async (_name, call) => {
    const { api, asked } = apiAnswering({ errors: [{ extensions: { code: 'internal' } }] });
    await expect(call(api)).rejects.toMatchObject({ code: 'internal' });
    const [request] = asked;
    const document = parse(request?.query ?? '');
    expect(validate(schema, document)).toEqual([]);
    const declared = document.definitions.flatMap((definition) =>
      definition.kind === Kind.OPERATION_DEFINITION
        ? (definition.variableDefinitions ?? []).map(({ variable }) => variable.name.value)
        : [],
    );
    expect(Object.keys(request?.variables ?? {}).sort()).toEqual(declared.sort());
  },
);

test('a page of a list says where the next one begins, and the last one that there is none', async () => {
  const line = { id: 'l', kind: 'hold', at: 'now', balance: OFFER.price, held: OFFER.price };
  const page = (hasNextPage: boolean) => ({
    data: { statement: { edges: [{ node: line }], pageInfo: { hasNextPage, endCursor: 'c' } } },
  });
  expect(await apiAnswering(page(true)).api.statement(null)).toEqual({ items: [line], next: 'c' });
  expect(await apiAnswering(page(false)).api.statement('c')).toEqual({ items: [line], next: null });
});

test('when to come again is read from an error', async () => {
  const { api } = apiAnswering({ errors: [{ extensions: { code: 'conflict', retryAfterSeconds: 1 } }] });
  await expect(api.me()).rejects.toMatchObject({ code: 'conflict', retryAfterSeconds: 1 });
});

test('limits of a tier that are null are left out, as the ticket leaves them out', async () => {
  const tier = { maxHeight: 720, maxBitrate: null, audioBitrate: null };
  const node = { ...TITLE, offers: [{ ...OFFER, rights: { ...OFFER.rights, tier } }] };
  const { api } = apiAnswering({ data: { title: node } });
  expect((await api.title('title-1'))?.offers[0]?.rights.tier).toEqual({ maxHeight: 720 });
});

test('an open order of a category has the name and the rights of its order, not those of its offer', async () => {
  const { rights, ...offer } = { ...OFFER, categoryId: 'c-1' };
  const tier = { maxHeight: 720, maxBitrate: null, audioBitrate: null };
  const node = {
    id: 'o',
    state: 'ticketed',
    name: 'As sold',
    expiresAt: 'later',
    rights: { ...rights, tier },
  };
  const nodes = [
    { ...node, offer },
    { ...node, offer: { ...offer, categoryId: null } },
    { ...node, state: 'cancelled', offer },
  ];
  const orders = { edges: nodes.map((each) => ({ node: each })) };
  const { api } = apiAnswering({ data: { me: { orders } } });
  expect(await api.openOrders()).toEqual([
    { id: 'o', offer: { ...offer, name: 'As sold', rights }, expiresAt: 'later' },
  ]);
});

test('a catalog of several pages is read to its end', async () => {
  const pages = [
    { edges: [{ node: { ...TITLE, id: '1' } }], pageInfo: { hasNextPage: true, endCursor: 'c' } },
    { edges: [{ node: { ...TITLE, id: '2' } }], pageInfo: { hasNextPage: false, endCursor: null } },
  ];
  const cursors: unknown[] = [];
  const api = createApi(async (_input, init) => {
    cursors.push(bodyOf(init).variables.after);
    return Response.json({ data: { catalog: pages.shift() } });
  });
  expect((await api.catalog()).map(({ id }) => id)).toEqual(['1', '2']);
  expect(cursors).toEqual([null, 'c']);
});

describe('a failure has a code', () => {
  test('of the server', async () => {
    const { api } = apiAnswering({ data: null, errors: [{ extensions: { code: 'funds_insufficient' } }] });
    await expect(api.me()).rejects.toMatchObject({ code: 'funds_insufficient' });
  });

  test('shop_unreachable when there is no answer', async () => {
    const api = createApi(async () => Promise.reject(new TypeError('Failed to fetch')));
    await expect(api.me()).rejects.toMatchObject({ code: 'shop_unreachable' });
  });

  test('shop_unreachable when something else answers', async () => {
    const api = createApi(async () => new Response('<h1>Bad gateway</h1>', { status: 502 }));
    await expect(api.me()).rejects.toMatchObject({ code: 'shop_unreachable' });
  });
});

test('a limit that comes before GraphQL is told by its own name, with the time to wait', async () => {
  const api = createApi(async () =>
    Response.json(
      { code: 'rate_limited', title: 'too many requests' },
      { status: 429, headers: { 'content-type': 'application/problem+json', 'retry-after': '7' } },
    ),
  );
  await expect(api.me()).rejects.toMatchObject({ code: 'rate_limited', retryAfterSeconds: 7 });
});
