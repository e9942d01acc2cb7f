/** What hostile clients send to the two servers: a clear refusal each, and the processes go on. */
import { connect } from 'node:net';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEMO_PATH, startStack, type Stack } from '../support/stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(async () => {
  await stack.stop();
});

const portOf = (url: string): number => Number(new URL(url).port);

/** Sends raw bytes; answers what came back until the server closed, or nothing more came for `quietMs`. */
async function raw(port: number, chunks: readonly (string | Buffer)[], quietMs = 500): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.setTimeout(quietMs, () => socket.destroy());
  socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  for (const chunk of chunks) socket.write(chunk);
  await closed;
  return answer;
}

interface Bad {
  readonly path: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly status: number;
  readonly code: string;
}

const SDP = { 'content-type': 'application/sdp', authorization: 'DPoP a.b.c' };
const JSON_TYPE = { 'content-type': 'application/json' };
const JOSE = { 'content-type': 'application/jose' };
const WHEP = `/whep${DEMO_PATH}`;

const MEDIA: [string, Bad][] = [
  [
    'an offer that is no SDP',
    { path: WHEP, headers: SDP, body: 'hello', status: 400, code: 'sdp_malformed' },
  ],
  ['an empty offer', { path: WHEP, headers: SDP, body: '', status: 400, code: 'sdp_malformed' }],
  [
    'an offer of one long line',
    { path: WHEP, headers: SDP, body: `v=${'0'.repeat(60_000)}`, status: 400, code: 'sdp_malformed' },
  ],
  [
    'an oversized offer',
    { path: WHEP, headers: SDP, body: 'a=x\r\n'.repeat(20_000), status: 413, code: 'body_too_large' },
  ],
  [
    'an offer as JSON',
    {
      path: WHEP,
      headers: { ...SDP, ...JSON_TYPE },
      body: '{}',
      status: 415,
      code: 'unsupported_media_type',
    },
  ],
  ['a query', { path: `${WHEP}?a=1`, headers: SDP, body: 'v=0', status: 400, code: 'request_malformed' }],
  [
    'a query with a parameter twice',
    { path: `${WHEP}?a=1&a=2`, headers: SDP, body: 'v=0', status: 400, code: 'request_malformed' },
  ],
  [
    'an encoded slash',
    { path: '/whep/live%2Fdemo', headers: SDP, body: 'v=0', status: 404, code: 'not_found' },
  ],
  [
    'an encoded letter',
    { path: '/whep/live/%64emo', headers: SDP, body: 'v=0', status: 404, code: 'not_found' },
  ],
  [
    'an empty segment',
    { path: '/whep/live//demo', headers: SDP, body: 'v=0', status: 404, code: 'not_found' },
  ],
  [
    'a path of one segment',
    { path: '/whep/live', headers: SDP, body: 'v=0', status: 404, code: 'not_found' },
  ],
  ['a PUT on the endpoint', { path: WHEP, method: 'PUT', status: 405, code: 'method_not_allowed' }],
  [
    'a session that is not there',
    { path: '/session/0123456789abcdef012345', method: 'DELETE', status: 404, code: 'session_ended' },
  ],
  ['a path of its own', { path: '/admin', method: 'GET', status: 404, code: 'not_found' }],
];

const ORDERS: [string, Bad][] = [
  [
    'GraphQL that is no JSON',
    { path: '/graphql', headers: JSON_TYPE, body: '{', status: 400, code: 'request_malformed' },
  ],
  [
    'GraphQL as a form',
    {
      path: '/graphql',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'query={me{id}}',
      status: 415,
      code: 'unsupported_media_type',
    },
  ],
  [
    'oversized GraphQL',
    {
      path: '/graphql',
      headers: JSON_TYPE,
      body: `{"query":"${'a'.repeat(200_000)}"}`,
      status: 413,
      code: 'body_too_large',
    },
  ],
  [
    'GraphQL from another site',
    {
      path: '/graphql',
      headers: { ...JSON_TYPE, origin: 'https://evil.example' },
      body: '{"query":"{me{id}}"}',
      status: 403,
      code: 'forbidden',
    },
  ],
  [
    'a redemption that is no JWS',
    { path: '/v1/redemptions', headers: JOSE, body: 'x', status: 400, code: 'request_malformed' },
  ],
  [
    'a redemption as JSON',
    { path: '/v1/redemptions', headers: JSON_TYPE, body: '{}', status: 415, code: 'unsupported_media_type' },
  ],
  [
    'an oversized redemption',
    { path: '/v1/redemptions', headers: JOSE, body: 'a'.repeat(20_000), status: 413, code: 'body_too_large' },
  ],
  [
    'a receipt batch that is no JWS',
    { path: '/v1/receipts', headers: JOSE, body: 'a.b.c', status: 400, code: 'request_malformed' },
  ],
  ['a GET of receipts', { path: '/v1/receipts', method: 'GET', status: 405, code: 'method_not_allowed' }],
  [
    'a path that climbs',
    { path: '/..%2f..%2fetc/passwd', method: 'GET', status: 400, code: 'request_malformed' },
  ],
  ['a query parameter twice', { path: '/?a=1&a=2', method: 'GET', status: 400, code: 'request_malformed' }],
  ['a file that is not there', { path: '/secret.txt', method: 'GET', status: 404, code: 'not_found' }],
];

/** By raw HTTP, so that no client tidies the path up. */
async function send(
  port: number,
  { path, method = 'POST', headers = {}, body = '' }: Bad,
): Promise<{ status: number; code: string }> {
  const all = {
    host: `127.0.0.1:${String(port)}`,
    connection: 'close',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  };
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const answer = await raw(port, [`${method} ${path} HTTP/1.1\r\n${head.join('')}\r\n`, body], 5000);
  const json = /\{.*\}/s.exec(answer)?.[0] ?? '{}';
  const parsed = JSON.parse(json) as { code?: string; errors?: { extensions?: { code?: string } }[] };
  return {
    status: Number(answer.slice(9, 12)),
    code: parsed.code ?? parsed.errors?.[0]?.extensions?.code ?? '',
  };
}

describe('the media server', () => {
  it.each(MEDIA)('refuses %s', async (_name, bad) => {
    expect(await send(portOf(stack.mediaUrl), bad)).toEqual({ status: bad.status, code: bad.code });
  });
});

describe('the order server', () => {
  it.each(ORDERS)('refuses %s', async (_name, bad) => {
    expect(await send(portOf(stack.orderUrl), bad)).toEqual({ status: bad.status, code: bad.code });
  });
});

describe('every port', () => {
  it('survives bytes that are not its protocol', async () => {
    const ports = [stack.rtmpPort, stack.httpFlvPort, portOf(stack.mediaUrl), portOf(stack.orderUrl)];
    const garbage = [randomBytes(5000), Buffer.alloc(100_000, 0xff), Buffer.from('\x03' + '\0'.repeat(3000))];
    for (const port of ports) for (const bytes of garbage) await raw(port, [bytes], 200);
    expect(await (await fetch(`${stack.mediaUrl}/readyz`)).text()).toContain('ok');
    expect((await fetch(`${stack.orderUrl}/readyz`)).status).toBe(200);
  });

  it('survives a thousand connections that say nothing and go', async () => {
    const ports = [stack.rtmpPort, stack.httpFlvPort, portOf(stack.mediaUrl), portOf(stack.orderUrl)];
    for (let round = 0; round < 25; round++) {
      const sockets = ports.flatMap((port) => Array.from({ length: 10 }, () => connect(port, '127.0.0.1')));
      await Promise.all(
        sockets.map(async (socket) => {
          socket.on('error', () => undefined);
          await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
          socket.destroy();
        }),
      );
    }
    expect((await fetch(`${stack.mediaUrl}/readyz`)).status).toBe(200);
    expect((await fetch(`${stack.orderUrl}/readyz`)).status).toBe(200);
    expect([stack.media.child.exitCode, stack.order.child.exitCode]).toEqual([null, null]);
  });

  it('cuts off a header that never ends', async () => {
    for (const port of [portOf(stack.mediaUrl), portOf(stack.orderUrl)]) {
      const answer = await raw(port, [`GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(40_000)}`], 5000);
      expect(answer).toMatch(/^HTTP\/1.1 431/);
    }
  });
});
