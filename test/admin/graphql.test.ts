import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { generateSealingKey, generateSigningKey } from '../../plugin/ticket/index.ts';
import { receiptHash } from '../../plugin/receipts/chain.ts';
import { startOrderServer, type TestOrderServer } from '../support/order-server.ts';

let server: TestOrderServer;
beforeAll(async () => {
  server = await startOrderServer();
});
afterAll(() => server.close());

const SIGN_IN =
  'mutation ($email: String!, $password: String!) { signIn(email: $email, password: $password) { token account { email } } }';
const PLACE_ORDER = `mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) {
  order { id price { amountMinor } } ticket clientPart endpoints { whep } replayed expiresAt } }`;
const ME = '{ me { email role balance { amountMinor currency } } }';

const members = ({ kty, crv, x }: { kty?: unknown; crv?: unknown; x?: unknown }) => ({ kty, crv, x });

async function orderInput(offerId: string) {
  const [proof, seal] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  return {
    offerId,
    proofKey: members(proof.publicJwk),
    sealKey: members(seal.publicJwk),
    idempotencyKey: randomUUID(),
  };
}

async function offerId(path: string, name: string): Promise<string> {
  const { data } = await server.graphql(
    'query ($path: String) { title(path: $path) { offers { id name } } }',
    { path },
  );
  const offers = data!['title']!['offers'] as unknown as { id: string; name: string }[];
  return offers.find((offer) => offer.name === name)!.id;
}

describe('accounts', () => {
  it('signs up, knows the session by token and by cookie, and forgets it at sign-out', async () => {
    const email = `New.${randomUUID()}@Example.com`;
    const { data } = await server.graphql(
      'mutation ($email: String!) { signUp(email: $email, password: "a long password", name: "New") { token } }',
      { email },
    );
    const token = String(data!['signUp']!['token']);
    const seen = await server.graphql(ME, {}, token);
    expect(seen.data).toEqual({
      me: { email: email.toLowerCase(), role: 'VIEWER', balance: { amountMinor: 0, currency: 'EUR' } },
    });
    const byCookie = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', cookie: `usher_session=${token}` },
      body: JSON.stringify({ query: ME }),
    });
    expect(await byCookie.json()).toMatchObject({ data: { me: { email: email.toLowerCase() } } });
    expect((await server.graphql('mutation { signOut }', {}, token)).data).toEqual({ signOut: true });
    expect((await server.graphql(ME, {}, token)).data).toEqual({ me: null });
  });

  it('sets a cookie that scripts and other sites cannot use', async () => {
    const { email, password } = DEMO_LOGINS[0]!;
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: SIGN_IN, variables: { email, password } }),
    });
    const cookie = response.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/^usher_session=[A-Za-z0-9_-]{43}; /);
    for (const part of ['HttpOnly', 'SameSite=Strict', 'Path=/']) expect(cookie).toContain(part);
    await response.body?.cancel();
  });

  it('ends a session after 30 days', async () => {
    const { email, password } = DEMO_LOGINS[1]!;
    const { data } = await server.graphql(SIGN_IN, { email, password });
    const token = String(data!['signIn']!['token']);
    server.advance(29 * 24 * 3600 * 1000);
    expect((await server.graphql(ME, {}, token)).data).toMatchObject({ me: { email } });
    server.advance(24 * 3600 * 1000);
    expect((await server.graphql(ME, {}, token)).data).toEqual({ me: null });
    server.advance(-30 * 24 * 3600 * 1000);
  });

  it('does not tell whether an address has an account', async () => {
    const known = await server.graphql(SIGN_IN, { email: 'viewer@example.com', password: 'wrong password' });
    const unknown = await server.graphql(SIGN_IN, {
      email: 'nobody@example.com',
      password: 'wrong password',
    });
    const impossible = await server.graphql(SIGN_IN, { email: 'no address', password: 'x' });
    expect(known).toEqual(unknown);
    expect(known).toEqual(impossible);
    expect(known.codes).toEqual(['credentials_invalid']);
  });

  it('refuses an address twice, a short password, and what is no address', async () => {
    const signUp = async (email: string, password: string) =>
      (
        await server.graphql(
          'mutation ($email: String!, $password: String!) { signUp(email: $email, password: $password, name: "x") { token } }',
          { email, password },
        )
      ).codes;
    expect(await signUp('VIEWER@example.com', 'a long password')).toEqual(['conflict']);
    expect(await signUp('short@example.com', 'short')).toEqual(['input_invalid']);
    expect(await signUp('no address', 'a long password')).toEqual(['input_invalid']);
  });

  it('lets an address try 10 passwords, then one each 30 s', async () => {
    const attempt = async () =>
      (await server.graphql(SIGN_IN, { email: 'target@example.com', password: 'x' })).codes[0];
    const codes = [];
    for (let count = 0; count < 12; count++) codes.push(await attempt());
    expect(codes.filter((code) => code === 'credentials_invalid')).toHaveLength(10);
    expect(codes.slice(10)).toEqual(['rate_limited', 'rate_limited']);
    server.advance(30_000);
    expect(await attempt()).toBe('credentials_invalid');
    expect(await attempt()).toBe('rate_limited');
  });

  it('stores neither passwords nor session tokens as they are', async () => {
    const token = await server.tokenOf('viewer');
    const rows = JSON.stringify([
      await server.db.query.accounts.findMany(),
      await server.db.query.sessions.findMany(),
    ]);
    expect(rows).toContain('$argon2id$v=19$m=19456,p=1,t=2$');
    expect(rows).not.toContain(token);
    expect(rows).not.toContain('demo-viewer-1');
  });
});

describe('orders', () => {
  it("does not show an account another's order", async () => {
    const input = await orderInput(await offerId('/live/demo', 'Preview'));
    const { data } = await server.graphql(PLACE_ORDER, { input }, await server.tokenOf('viewer'));
    const query = 'query ($id: ID!) { order(id: $id) { id title { name } offer { name } sessions { id } } }';
    const variables = { id: data!['placeOrder']!['order']!['id'] };
    const own = await server.graphql(query, variables, await server.tokenOf('viewer'));
    expect(own.data).toMatchObject({ order: { title: { name: 'Usher One' }, offer: { name: 'Preview' } } });
    const others = await server.graphql(query, variables, await server.tokenOf('second'));
    expect(others.data).toEqual({ order: null });
  });

  it('sells the priced offer from the balance and answers a retry alike', async () => {
    const token = await server.tokenOf('second');
    const input = await orderInput(await offerId('/live/demo', '24 hours'));
    const first = await server.graphql(PLACE_ORDER, { input }, token);
    const again = await server.graphql(PLACE_ORDER, { input }, token);
    expect(first.data).toMatchObject({
      placeOrder: { replayed: false, endpoints: [{ whep: 'http://localhost:4001/whep/live/demo' }] },
    });
    expect(again.data).toEqual({ placeOrder: { ...first.data!['placeOrder'], replayed: true } });
    expect((await server.graphql(ME, {}, token)).data).toMatchObject({
      me: { balance: { amountMinor: 4701 } },
    });
  });

  it('sells the preview to anyone and the rest to accounts', async () => {
    const preview = { input: await orderInput(await offerId('/live/demo', 'Preview')) };
    expect((await server.graphql(PLACE_ORDER, preview)).codes).toEqual([]);
    const priced = { input: await orderInput(await offerId('/live/demo', '24 hours')) };
    expect((await server.graphql(PLACE_ORDER, priced)).codes).toEqual(['unauthenticated']);
  });

  it.each([
    [
      'a private member',
      { proofKey: { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43), d: 'A'.repeat(43) } },
      'request_malformed',
    ],
    [
      'a proof key that agrees and does not sign',
      { proofKey: { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) } },
      'input_invalid',
    ],
    [
      'a seal key that signs',
      { sealKey: { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43) } },
      'input_invalid',
    ],
    [
      'a key of another size',
      { proofKey: { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(42) } },
      'input_invalid',
    ],
    ['RSA', { proofKey: { kty: 'RSA', crv: 'x', x: 'x' } }, 'input_invalid'],
    ['a short idempotency key', { idempotencyKey: 'short' }, 'input_invalid'],
    ['an idempotency key with spaces', { idempotencyKey: 'not one printable word' }, 'input_invalid'],
    ['an id that is none', { offerId: "'; drop table offers" }, 'input_invalid'],
    ['an offer that is not there', { offerId: randomUUID() }, 'not_found'],
  ])('refuses %s', async (_what, changes, code) => {
    const input = { ...(await orderInput(await offerId('/live/demo', 'Preview'))), ...changes };
    expect((await server.graphql(PLACE_ORDER, { input })).codes).toEqual([code]);
  });

  it('tops up play money once per key', async () => {
    const token = await server.tokenOf('viewer');
    const topUp =
      'mutation { topUp(amountMinor: 100, currency: "EUR", idempotencyKey: "top-up-0001") { balance { amountMinor } } }';
    const [first, second] = [await server.graphql(topUp, {}, token), await server.graphql(topUp, {}, token)];
    expect(first.data).toEqual({ topUp: { balance: { amountMinor: 5100 } } });
    expect(second.data).toEqual(first.data);
  });
});

describe('staff', () => {
  it('makes a title and an offer, changes them, and takes them off sale', async () => {
    const token = await server.tokenOf('staff');
    const path = `/live/${randomUUID()}`;
    const title = await server.graphql(
      'mutation ($path: String!) { createTitle(input: { path: $path, name: "New" }) { id published } }',
      { path },
      token,
    );
    const titleId = title.data!['createTitle']!['id'];
    const offer = await server.graphql(
      `mutation ($titleId: ID!) { createOffer(input: { titleId: $titleId, name: "A", priceMinor: 100, currency: "EUR",
        validSeconds: 3600, rights: { accesses: 3, tier: { maxHeight: 720 } } }) { id charging allowClearTransport rights { accesses seconds tier { maxHeight } } } }`,
      { titleId },
      token,
    );
    expect(offer.data).toMatchObject({
      createOffer: {
        charging: 'prepaid',
        allowClearTransport: false,
        rights: { accesses: 3, seconds: null, tier: { maxHeight: 720 } },
      },
    });
    const changed = await server.graphql(
      'mutation ($id: ID!) { updateOffer(id: $id, input: { priceMinor: 0, active: false, allowClearTransport: true }) { charging active name allowClearTransport } }',
      { id: offer.data!['createOffer']!['id'] },
      token,
    );
    expect(changed.data).toEqual({
      updateOffer: { charging: 'free', active: false, name: 'A', allowClearTransport: true },
    });
    const hidden = await server.graphql(
      'mutation ($id: ID!) { updateTitle(id: $id, input: { published: false }) { published offers { id } } }',
      { id: titleId },
      token,
    );
    expect(hidden.data).toEqual({ updateTitle: { published: false, offers: [] } });
    const find = 'query ($path: String) { title(path: $path) { name } }';
    expect((await server.graphql(find, { path })).data).toEqual({ title: null });
    expect((await server.graphql(find, { path }, token)).data).toEqual({ title: { name: 'New' } });
  });

  it.each([
    ['a right that grants nothing', 'rights: { accesses: 0 }'],
    ['a negative limit', 'rights: { seconds: -1 }'],
    ['a control twice', 'rights: { controls: ["pause", "pause"] }'],
    ['a control that is none', 'rights: { controls: ["record"] }'],
    ['a currency in small letters', 'rights: {}, currency: "eur"'],
  ])('cannot save %s', async (_what, part) => {
    const currency = part.includes('currency') ? '' : 'currency: "EUR",';
    const { codes } = await server.graphql(
      `mutation { createOffer(input: { titleId: "${randomUUID()}", name: "A", priceMinor: 1, ${currency} validSeconds: 60, ${part} }) { id } }`,
      {},
      await server.tokenOf('staff'),
    );
    expect(codes).toEqual(['input_invalid']);
  });
});

describe('usage', () => {
  it('shows what the streaming server stated, once', async () => {
    const token = await server.tokenOf('second');
    const input = await orderInput(await offerId('/live/late', 'Tonight'));
    server.advance(1000);
    const { data } = await server.graphql(PLACE_ORDER, { input }, token);
    const ticket = JSON.parse(
      Buffer.from(String(data!['placeOrder']!['ticket']).split('.')[1]!, 'base64url').toString(),
    );
    const [session, startedAt] = [randomUUID(), ticket.iat];
    const reserved = await server.send('/v1/redemptions', 'redemption+jwt', {
      op: 'reserve',
      session,
      attempt: randomUUID(),
      ticket: data!['placeOrder']!['ticket'],
    });
    expect(await reserved.json()).toEqual({
      session,
      expiresAt: null,
      mediaMsLeft: null,
      bytesLeft: null,
      leaseSeconds: 30,
    });
    expect((await server.send('/v1/redemptions', 'redemption+jwt', { op: 'commit', session })).status).toBe(
      200,
    );
    const first = {
      session,
      ticket: ticket.jti,
      uri: '/live/late',
      seq: 0,
      prev: null,
      startedAt,
      at: startedAt,
      mediaMs: 1500,
      bytes: 1000,
      state: 'progress' as const,
      reason: null,
    };
    const last = {
      ...first,
      seq: 1,
      prev: receiptHash(first),
      mediaMs: 2500,
      bytes: 2000,
      state: 'final' as const,
      reason: 'viewer_left' as const,
    };
    for (let times = 0; times < 2; times++) {
      const stored = await server.send('/v1/receipts', 'receipts+jwt', { receipts: [first, last] });
      expect(await stored.json()).toEqual({ stored: 2, refused: [] });
    }
    const usage = await server.graphql(
      '{ me { receipts { edges { node { id titleName mediaMs bytes seq hash reason } } } } }',
      {},
      token,
    );
    expect(usage.data).toEqual({
      me: {
        receipts: {
          edges: [
            {
              node: {
                id: session,
                titleName: 'Evening show',
                mediaMs: 2500,
                bytes: 2000,
                seq: 1,
                hash: receiptHash(last),
                reason: 'viewer_left',
              },
            },
          ],
        },
      },
    });
  });

  it('pages through orders in both directions', async () => {
    const token = await server.tokenOf('viewer');
    const preview = await offerId('/live/demo', 'Preview');
    for (let count = 0; count < 3; count++) {
      expect((await server.graphql(PLACE_ORDER, { input: await orderInput(preview) }, token)).codes).toEqual(
        [],
      );
    }
    type Page = { edges: { node: { id: string } }[]; pageInfo: { endCursor: string; hasNextPage: boolean } };
    const page = async (args: string) => {
      const { data } = await server.graphql(
        `{ me { orders(${args}) { edges { node { id } } pageInfo { endCursor hasNextPage } } } }`,
        {},
        token,
      );
      return data!['me']!['orders'] as unknown as Page;
    };
    const all = (await page('first: 100')).edges.map(({ node }) => node.id);
    expect(all).toEqual([...all].sort().reverse());
    const one = await page('first: 2');
    expect(one.pageInfo.hasNextPage).toBe(true);
    const two = await page(`first: 100, after: "${one.pageInfo.endCursor}"`);
    expect([...one.edges, ...two.edges].map(({ node }) => node.id)).toEqual(all);
    expect((await page('last: 1')).edges.map(({ node }) => node.id)).toEqual(all.slice(-1));
    expect((await server.graphql('{ catalog(first: 5, after: "x") { edges { cursor } } }')).codes).toEqual([
      'input_invalid',
    ]);
  });
});
