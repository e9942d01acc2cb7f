import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  createStreamKey,
  generateSealingKey,
  generateSigningKey,
  hashStreamKey,
  signServerMessage,
  type SigningKeyPair,
} from '../../plugin/ticket/index.ts';
import { PUBLIC_URL, SERVER_ID, startOrderServer, type TestOrderServer } from '../support/order-server.ts';

let server: TestOrderServer;
let otherKey: SigningKeyPair;
beforeAll(async () => {
  [server, otherKey] = await Promise.all([startOrderServer(), generateSigningKey()]);
});
afterAll(() => server.close());

const clock = { nowMs: () => Date.now() };
const release = () => ({ op: 'release', session: randomUUID() });

async function sendText(jws: string) {
  const response = await fetch(`${server.url}/v1/redemptions`, {
    method: 'POST',
    headers: { 'content-type': 'application/jose' },
    body: jws,
  });
  return { status: response.status, code: ((await response.json()) as { code?: string }).code };
}

const sign = (changes: Partial<Parameters<typeof signServerMessage>[0]> = {}) =>
  signServerMessage({
    typ: 'redemption+jwt',
    payload: release(),
    iss: SERVER_ID,
    aud: PUBLIC_URL,
    key: server.serverKey,
    clock,
    ...changes,
  });

it.each<[string, () => Promise<string>, string]>([
  ['of a server that is not registered', () => sign({ iss: 'nobody' }), 'server_untrusted'],
  ['signed with a key that is not registered', () => sign({ key: otherKey }), 'server_untrusted'],
  [
    "signed with another key under the registered one's id",
    () => sign({ key: { ...otherKey, kid: server.serverKey.kid } }),
    'server_untrusted',
  ],
  ['for another order server', () => sign({ aud: 'https://other.example' }), 'server_untrusted'],
  ['that is too old', () => sign({ clock: { nowMs: () => Date.now() - 66_000 } }), 'server_untrusted'],
  ['from the future', () => sign({ clock: { nowMs: () => Date.now() + 10_000 } }), 'server_untrusted'],
  ['of another kind', () => sign({ typ: 'receipts+jwt' }), 'request_malformed'],
  [
    'with an operation that is not there',
    () => sign({ payload: { op: 'refund', session: randomUUID() } }),
    'request_malformed',
  ],
  ['with an unknown member', () => sign({ payload: { ...release(), extra: 1 } }), 'request_malformed'],
  [
    'with a session that is no id',
    () => sign({ payload: { op: 'commit', session: 'x' } }),
    'request_malformed',
  ],
  ['about a session that is not there', () => sign(), 'session_ended'],
  [
    'with a ticket that is none',
    () => sign({ payload: { op: 'reserve', session: randomUUID(), attempt: null, ticket: 'a.b.c' } }),
    'ticket_malformed',
  ],
])('refuses a message %s', async (_what, make, code) => {
  expect((await sendText(await make())).code).toBe(code);
});

it('takes a message once', async () => {
  const keyHash = hashStreamKey(server.demo.streamKey);
  const jws = await sign({ payload: { op: 'publish', session: randomUUID(), uri: '/live/demo', keyHash } });
  expect(await sendText(jws)).toEqual({ status: 200, code: undefined });
  expect(await sendText(jws)).toEqual({ status: 409, code: 'message_replayed' });
});

it('takes one of 10 copies that arrive at once', async () => {
  const keyHash = hashStreamKey(server.demo.streamKey);
  const jws = await sign({ payload: { op: 'publish', session: randomUUID(), uri: '/live/demo', keyHash } });
  const answers = await Promise.all(Array.from({ length: 10 }, () => sendText(jws)));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
});

it.each([
  ['the right key for the stream', '/live/demo', () => server.demo.streamKey, 200],
  ['the right key for another stream', '/live/late', () => server.demo.streamKey, 403],
  ['a key that is not known', '/live/demo', createStreamKey, 403],
])('publishing with %s: %s', async (_what, uri, key, status) => {
  const payload = { op: 'publish', session: randomUUID(), uri, keyHash: hashStreamKey(key()) };
  const response = await server.send('/v1/redemptions', 'redemption+jwt', payload);
  expect(response.status).toBe(status);
  if (status === 200) expect(await response.json()).toEqual({});
  else expect(await response.json()).toMatchObject({ code: 'stream_key_invalid' });
});

it('lets one of 20 servers processes have the last access, over HTTP', async () => {
  const [proof, seal] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  const members = ({ kty, crv, x }: { kty?: unknown; crv?: unknown; x?: unknown }) => ({ kty, crv, x });
  const { data } = await server.graphql(`query { title(path: "/live/demo") { offers { id name } } }`);
  const offers = data!['title']!['offers'] as unknown as { id: string; name: string }[];
  const order = await server.graphql(
    'mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { ticket } }',
    {
      input: {
        offerId: offers.find(({ name }) => name === 'Preview')!.id,
        proofKey: members(proof.publicJwk),
        sealKey: members(seal.publicJwk),
        idempotencyKey: randomUUID(),
      },
    },
  );
  const ticket = order.data!['placeOrder']!['ticket'];
  const answers = await Promise.all(
    Array.from({ length: 20 }, () =>
      server.send('/v1/redemptions', 'redemption+jwt', {
        op: 'reserve',
        session: randomUUID(),
        attempt: null,
        ticket,
      }),
    ),
  );
  const statuses = answers.map(({ status }) => status);
  expect(statuses.filter((status) => status === 200)).toHaveLength(1);
  expect(statuses.filter((status) => status === 403)).toHaveLength(19);
});
