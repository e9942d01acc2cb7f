/** Registration and key rotation over HTTP, with the streaming server's own client. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { enrol, rotateServerKeys } from '../../plugin/enrolment.ts';
import { asDenial } from '../../plugin/errors.ts';
import { createKeyVault } from '../../plugin/key-vault.ts';
import { loadPins } from '../../plugin/order-server-pins.ts';
import { loadOrCreateServerKeys, type ServerKeys } from '../../plugin/server-keys.ts';
import {
  createRemoteKeySource,
  generateSealingKey,
  generateSigningKey,
  openTicket,
  signServerMessage,
} from '../../plugin/ticket/index.ts';
import { selfSignedCertFile } from '../../plugin/tls.ts';
import { PUBLIC_URL, startOrderServer, type TestOrderServer } from '../support/order-server.ts';

const clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() };
const vault = createKeyVault({ setting: 'USHER_MEDIA_MASTER_KEY' });

let server: TestOrderServer;
beforeAll(async () => {
  server = await startOrderServer({ trustedProxies: 1 });
});
afterAll(() => server.close());

let dataDir: string;
let serverId: string;
let keys: ServerKeys;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'usher-enrol-'));
  serverId = `ss-${randomUUID()}`;
  keys = await loadOrCreateServerKeys(dataDir, serverId, 'https://media.example');
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

/** The order server goes by its public URL; here it is reached elsewhere. */
const reach = (url: string, init: RequestInit) => fetch(url.replace(PUBLIC_URL, server.url), init);
const via = (headers: Record<string, string>) => (url: string, init: RequestInit) =>
  reach(url, { ...init, headers: { ...(init.headers as Record<string, string>), ...headers } });
const account = () => ({ orderServerUrl: PUBLIC_URL, serverId, clock, dataDir });
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ok',
    (error: unknown) => asDenial(error).code,
  );

const REGISTER = 'mutation ($id: String!) { registerStreamingServer(id: $id) { serverId code expiresAt } }';
async function newCode(): Promise<string> {
  const { data } = await server.graphql(REGISTER, { id: serverId }, await server.tokenOf('staff'));
  return String(data?.['registerStreamingServer']?.['code']);
}

async function enrolNow(code?: string, fetch: typeof reach = reach) {
  return enrol({ ...account(), code: code ?? (await newCode()), keys, fetch });
}

/** What the order server says to a message of this server, signed with the keys of now. */
async function send(key = keys.signing): Promise<string> {
  const body = await signServerMessage({
    typ: 'redemption+jwt',
    payload: { op: 'commit', session: randomUUID() },
    ...{ iss: serverId, aud: PUBLIC_URL, key, clock },
  });
  const headers = { 'content-type': 'application/jose' };
  const response = await fetch(`${server.url}/v1/redemptions`, { method: 'POST', headers, body });
  return ((await response.json()) as { code: string }).code;
}
const TAKEN = 'session_ended';

describe('enrolling over HTTP', () => {
  it('makes a server known, whose messages are taken from then on, and pins the key set', async () => {
    expect(await send()).toBe('server_untrusted');
    const pins = await enrolNow();
    expect(await send()).toBe(TAKEN);
    const jwks = (await (await fetch(`${server.url}/.well-known/jwks.json`)).json()) as {
      keys: { kid: string }[];
    };
    expect(pins).toEqual({ issuer: PUBLIC_URL, fingerprints: jwks.keys.map(({ kid }) => kid) });
    expect(await loadPins(dataDir)).toEqual(pins);
  });

  it('neither the code nor a key is logged', async () => {
    const code = await newCode();
    await enrolNow(code);
    const log = JSON.stringify(server.logged);
    expect(log).toContain('a streaming server has enrolled');
    expect(log).not.toContain(code);
    expect(log).not.toContain(keys.signing.privateJwk.d);
  });

  it.each<[string, Record<string, string>, string]>([
    ['from this machine', {}, 'ok'],
    [
      'over TLS that a proxy of ours ends',
      { 'x-forwarded-for': '203.0.113.7', 'x-forwarded-proto': 'https' },
      'ok',
    ],
    [
      'over http from outside',
      { 'x-forwarded-for': '203.0.113.7', 'x-forwarded-proto': 'http' },
      'tls_required',
    ],
    ['over http by a proxy that does not say so', { 'x-forwarded-for': '203.0.113.7' }, 'tls_required'],
    [
      'over http, with a claim of its own in front',
      { 'x-forwarded-for': '203.0.113.7', 'x-forwarded-proto': 'https, http' },
      'tls_required',
    ],
  ])('%s: %s', async (_name, headers, expected) => {
    expect(await codeOf(enrolNow(undefined, via(headers)))).toBe(expected);
  });

  it('an address that guesses is made to wait', async () => {
    const headers = { 'x-forwarded-for': '198.51.100.9', 'x-forwarded-proto': 'https' };
    const codes: string[] = [];
    for (let count = 0; count < 11; count++)
      codes.push(await codeOf(enrolNow(`ec_${'A'.repeat(22)}`, via(headers))));
    expect(codes.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 'enrolment_refused'));
    expect(codes[10]).toBe('rate_limited');
  });

  it.each(['', 'a.b.c', 'x'.repeat(5000)])('a body that is no enrolment is refused', async (body) => {
    const headers = {
      'content-type': 'application/jose',
      'x-forwarded-for': '198.51.100.10',
      'x-forwarded-proto': 'https',
    };
    const response = await fetch(`${server.url}/v1/enrolments`, { method: 'POST', headers, body });
    expect([400, 413]).toContain(response.status);
  });
});

it('enrolling over TLS that ends here needs no word of a proxy', async () => {
  const secure = await startOrderServer({ trustedProxies: 1, tls: 'self-signed' });
  try {
    const ca = await readFile(selfSignedCertFile(secure.dataDir));
    const post = (headers: Record<string, string>) =>
      new Promise<string>((resolve, reject) => {
        const request = httpsRequest(`${secure.url}/v1/enrolments`, { method: 'POST', ca, headers });
        request.on('error', reject);
        request.on('response', (response) => void text(response).then(resolve, reject));
        request.end('a.b.c');
      });
    const headers = { 'content-type': 'application/jose', 'x-forwarded-for': '203.0.113.7' };
    expect(JSON.parse(await post(headers))).toMatchObject({ code: 'request_malformed' });
  } finally {
    await secure.close();
  }
});

describe('a registered server over HTTP', () => {
  const settle = () => Promise.resolve();
  const rotate = () => rotateServerKeys({ ...account(), vault, settle, fetch: reach });

  it('changes its keys with an overlap, and goes on under both', async () => {
    await enrolNow();
    const before = keys.signing;
    await rotate();
    expect(await send(before)).toBe(TAKEN);
    await keys.reload();
    expect(keys.signing.kid).not.toBe(before.kid);
    expect(await send()).toBe(TAKEN);
    await rotate();
    await keys.reload();
    expect(await send()).toBe(TAKEN);
  });

  it('cannot change the keys of another one', async () => {
    await enrolNow();
    const other = { ...account(), serverId: 'ss-1' };
    expect(await codeOf(rotateServerKeys({ ...other, vault, settle, fetch: reach }))).toBe(
      'server_untrusted',
    );
  });

  it('opens tickets that were sold before it changed its keys', async () => {
    await enrolNow();
    const [proof, seal] = await Promise.all([generateSigningKey(), generateSealingKey()]);
    const members = ({ kty, crv, x }: { kty?: unknown; crv?: unknown; x?: unknown }) => ({ kty, crv, x });
    const { data } = await server.graphql('{ title(path: "/live/demo") { offers { id name } } }');
    const offers = data!['title']!['offers'] as unknown as { id: string; name: string }[];
    const buy = async () => {
      const order = await server.graphql(
        'mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { ticket } }',
        {
          input: {
            offerId: offers.find(({ name }) => name === 'Preview')!.id,
            ...{ proofKey: members(proof.publicJwk), sealKey: members(seal.publicJwk) },
            idempotencyKey: randomUUID(),
          },
        },
      );
      return String(order.data!['placeOrder']!['ticket']);
    };
    // Only this server: a ticket has room for eight.
    const others = await server.graphql(
      '{ streamingServers { id active } }',
      {},
      await server.tokenOf('staff'),
    );
    const listed = others.data!['streamingServers'] as unknown as { id: string; active: boolean }[];
    for (const { id, active } of listed) {
      if (!active || id === serverId) continue;
      const deactivate = 'mutation ($id: String!) { deactivateStreamingServer(id: $id) { active } }';
      await server.graphql(deactivate, { id }, await server.tokenOf('staff'));
    }
    const sources = createRemoteKeySource({
      issuers: [{ issuer: PUBLIC_URL, jwksUrl: `${PUBLIC_URL}/.well-known/jwks.json` }],
      clock,
      fetch: reach,
    });
    const open = (ticket: string) =>
      openTicket(ticket, {
        keys: sources,
        unsealKeys: keys.unsealKeys,
        ...{ serverId, uri: '/live/demo', nowSeconds: Math.floor(Date.now() / 1000) },
      });
    const sold = await buy();
    await rotate();
    const afterwards = await buy();
    await keys.reload();
    await expect(open(sold)).resolves.toMatchObject({ claims: { aud: [serverId] } });
    await expect(open(afterwards)).resolves.toMatchObject({ claims: { aud: [serverId] } });
  });

  it('is not listened to from the moment on that staff deactivates it', async () => {
    await enrolNow();
    expect(await send()).toBe(TAKEN);
    const { data } = await server.graphql(
      'mutation ($id: String!) { deactivateStreamingServer(id: $id) { id active } }',
      { id: serverId },
      await server.tokenOf('staff'),
    );
    expect(data?.['deactivateStreamingServer']).toEqual({ id: serverId, active: false });
    expect(await send()).toBe('server_untrusted');
    expect(await codeOf(rotate())).toBe('server_untrusted');
    await enrolNow();
    expect(await send()).toBe(TAKEN);
  });
});

describe('staff', () => {
  it.each(['', '../x', 'a b', 'x'.repeat(65)])('makes no code for %j, which is no id', async (id) => {
    const { codes } = await server.graphql(REGISTER, { id }, await server.tokenOf('staff'));
    expect(codes).toEqual(['input_invalid']);
  });

  it('sees the servers, with their fingerprints', async () => {
    await enrolNow();
    const { data } = await server.graphql(
      '{ streamingServers { id active publicUrl signingKey { fingerprint } } }',
      {},
      await server.tokenOf('staff'),
    );
    expect(data?.['streamingServers']).toContainEqual({
      id: serverId,
      active: true,
      publicUrl: 'https://media.example',
      signingKey: { fingerprint: keys.signing.kid },
    });
  });

  it('rotates the signing key: the new one is in the key set at once, which caches keep for a minute', async () => {
    const staff = await server.tokenOf('staff');
    const rotated = await server.graphql(
      'mutation { rotateSigningKey(alg: ES256) { kid alg state } }',
      {},
      staff,
    );
    const made = rotated.data?.['rotateSigningKey'] as unknown as { kid: string };
    expect(made).toMatchObject({ alg: 'ES256', state: 'NEXT' });
    const response = await fetch(`${server.url}/.well-known/jwks.json`);
    expect(response.headers.get('cache-control')).toBe('public, max-age=60');
    const { keys: set } = (await response.json()) as { keys: { kid: string; endorsement?: string }[] };
    expect(set.map(({ kid }) => kid)).toContain(made.kid);
    const listed = await server.graphql('{ signingKeys { kid state retiresAt } }', {}, staff);
    expect(listed.data?.['signingKeys']).toMatchObject([
      { kid: made.kid, state: 'NEXT' },
      { state: 'CURRENT', retiresAt: null },
    ]);
    const again = await server.graphql('mutation { rotateSigningKey { kid } }', {}, staff);
    expect(again.codes).toEqual(['conflict']);
  });
});
