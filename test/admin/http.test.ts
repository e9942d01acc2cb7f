import { connect } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isOtherLoopbackName } from '../../admin/http/app.ts';
import { startOrderServer, type TestOrderServer } from '../support/order-server.ts';

let server: TestOrderServer;
beforeAll(async () => {
  server = await startOrderServer();
});
afterAll(() => server.close());

const JSON_TYPE = { 'content-type': 'application/json' };
const JOSE_TYPE = { 'content-type': 'application/jose' };

async function post(path: string, headers: Record<string, string>, body: RequestInit['body']) {
  const response = await fetch(server.url + path, { method: 'POST', headers, body: body ?? null });
  const answer = (await response.json()) as { code?: string; errors?: { extensions: { code: string } }[] };
  return { status: response.status, code: answer.code ?? answer.errors?.[0]?.extensions.code };
}

/** What the server says to a request that fetch would not send. */
async function raw(text: string): Promise<string> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  socket.setEncoding('utf8');
  let answer = '';
  socket.on('data', (chunk: string) => (answer += chunk));
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

describe('bodies', () => {
  it.each<[string, string, Record<string, string>, string, number, string]>([
    ['no JSON', '/graphql', JSON_TYPE, '{"query":', 400, 'request_malformed'],
    ['JSON that is no object', '/graphql', JSON_TYPE, '"{me{id}}"', 400, 'request_malformed'],
    ['a batch', '/graphql', JSON_TYPE, '[{"query":"{me{id}}"}]', 400, 'request_malformed'],
    ['an unknown member', '/graphql', JSON_TYPE, '{"query":"{me{id}}","x":1}', 400, 'request_malformed'],
    ['no query', '/graphql', JSON_TYPE, '{}', 400, 'request_malformed'],
    [
      'variables that are no object',
      '/graphql',
      JSON_TYPE,
      '{"query":"{me{id}}","variables":[]}',
      400,
      'request_malformed',
    ],
    ['GraphQL that does not parse', '/graphql', JSON_TYPE, '{"query":"{me{"}', 400, 'request_malformed'],
    ['an empty document', '/graphql', JSON_TYPE, '{"query":""}', 400, 'request_malformed'],
    ['a field that is not there', '/graphql', JSON_TYPE, '{"query":"{nothing}"}', 400, 'request_malformed'],
    [
      'an operation that is not there',
      '/graphql',
      JSON_TYPE,
      '{"query":"query a{me{id}}","operationName":"b"}',
      400,
      'request_malformed',
    ],
    [
      'text',
      '/graphql',
      { 'content-type': 'text/plain' },
      '{"query":"{me{id}}"}',
      415,
      'unsupported_media_type',
    ],
    [
      'a form',
      '/graphql',
      { 'content-type': 'application/x-www-form-urlencoded' },
      'query={me{id}}',
      415,
      'unsupported_media_type',
    ],
    [
      'multipart',
      '/graphql',
      { 'content-type': 'multipart/form-data; boundary=x' },
      '--x--',
      415,
      'unsupported_media_type',
    ],
    [
      'another charset',
      '/graphql',
      { 'content-type': 'application/json; charset=utf-16' },
      '{}',
      415,
      'unsupported_media_type',
    ],
    [
      'a large body',
      '/graphql',
      JSON_TYPE,
      JSON.stringify({ query: ' '.repeat(110_000) }),
      413,
      'body_too_large',
    ],
    ['JSON', '/v1/redemptions', JSON_TYPE, '{}', 415, 'unsupported_media_type'],
    ['no JWS', '/v1/redemptions', JOSE_TYPE, 'not a token', 400, 'request_malformed'],
    ['dots', '/v1/redemptions', JOSE_TYPE, '..', 400, 'request_malformed'],
    ['an unsigned JWS', '/v1/redemptions', JOSE_TYPE, 'eyJhbGciOiJub25lIn0.e30.', 400, 'request_malformed'],
    ['nothing', '/v1/redemptions', JOSE_TYPE, '', 400, 'request_malformed'],
    ['a large body', '/v1/redemptions', JOSE_TYPE, 'a'.repeat(9000), 413, 'body_too_large'],
    ['a large body', '/v1/receipts', JOSE_TYPE, 'a'.repeat(530_000), 413, 'body_too_large'],
    ['no JWS', '/v1/receipts', JOSE_TYPE, 'a.b.c', 400, 'request_malformed'],
  ])('refuses %s at %s', async (_what, path, headers, body, status, code) => {
    expect(await post(path, headers, body)).toEqual({ status, code });
  });

  it('refuses a body that is not UTF-8', async () => {
    expect(await post('/graphql', JSON_TYPE, new Uint8Array([0x22, 0xff, 0x22]))).toEqual({
      status: 400,
      code: 'request_malformed',
    });
  });

  it('stops reading a chunked body at the limit', async () => {
    const chunk = `4000\r\n${'a'.repeat(0x4000)}\r\n`;
    const answer = await raw(
      `POST /graphql HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${chunk.repeat(8)}0\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toContain('body_too_large');
  });

  it('takes JSON with a UTF-8 charset', async () => {
    const headers = { 'content-type': 'Application/JSON; charset="UTF-8"' };
    expect((await post('/graphql', headers, '{"query":"{me{id}}"}')).status).toBe(200);
  });
});

describe('requests', () => {
  it.each([
    ['GET', '/nothing', 404, 'not_found'],
    ['POST', '/', 405, 'method_not_allowed'],
    ['DELETE', '/graphql', 405, 'method_not_allowed'],
    ['GET', '/graphql', 405, 'method_not_allowed'],
    ['GET', '/v1/redemptions', 405, 'method_not_allowed'],
    ['PUT', '/v1/receipts', 405, 'method_not_allowed'],
    ['POST', '/nothing', 404, 'not_found'],
    ['GET', '/healthz?a=1&a=2', 400, 'request_malformed'],
    ['GET', '/healthz/', 404, 'not_found'],
    ['GET', '/%68ealthz', 400, 'request_malformed'],
    ['GET', '/a%2f..%2fb', 400, 'request_malformed'],
    ['GET', '/a//b', 400, 'request_malformed'],
    ['GET', '/app.js;x=1', 400, 'request_malformed'],
    ['GET', '/.env', 404, 'not_found'],
    ['GET', '/constructor', 404, 'not_found'],
    ['GET', '/__proto__', 404, 'not_found'],
    ['GET', '/package.json', 404, 'not_found'],
  ])('answers %s %s with %i %s', async (method, path, status, code) => {
    const response = await fetch(server.url + path, { method });
    expect({ status: response.status, code: ((await response.json()) as { code: string }).code }).toEqual({
      status,
      code,
    });
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    if (status === 405 && path !== '/graphql') expect(response.headers.get('allow')).toMatch(/GET|POST/);
  });

  it.each([
    ['a path that climbs', 'GET /../../etc/passwd HTTP/1.1\r\nhost: x'],
    ['an absolute URL', 'GET http://other.example/nothing HTTP/1.1\r\nhost: x'],
    ['a host that is none', 'GET /nothing HTTP/1.1\r\nhost: a b'],
    ['no host', 'GET /healthz HTTP/1.1'],
    ['a header that is too long', `GET /healthz HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(17_000)}`],
    ['what is not HTTP', 'HELLO'],
  ])('answers %s with a 4xx and lives on', async (_what, head) => {
    expect(await raw(`${head}\r\nconnection: close\r\n\r\n`)).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  });

  it('refuses a GraphQL request that another site makes', async () => {
    const ask = (origin: string) => post('/graphql', { ...JSON_TYPE, origin }, '{"query":"{me{id}}"}');
    expect(await ask('https://evil.example')).toEqual({ status: 403, code: 'forbidden' });
    expect(await ask('null')).toEqual({ status: 403, code: 'forbidden' });
    expect((await ask('http://localhost:4000')).status).toBe(200);
  });
});

describe('what it serves', () => {
  it.each(['/healthz', '/readyz', '/metrics', '/.well-known/jwks.json'])(
    '%s, with safe headers',
    async (path) => {
      const response = await fetch(server.url + path);
      expect(response.status).toBe(200);
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
      expect(response.headers.get('referrer-policy')).toBe('no-referrer');
      expect(response.headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
      await response.body?.cancel();
    },
  );

  it('public keys only, cacheable', async () => {
    const response = await fetch(`${server.url}/.well-known/jwks.json`);
    const { keys } = (await response.json()) as { keys: object[] };
    expect(keys).toHaveLength(1);
    expect(keys[0]).toMatchObject({ kty: 'OKP', crv: 'Ed25519', alg: 'Ed25519', use: 'sig' });
    expect(keys[0]).not.toHaveProperty('d');
    expect(response.headers.get('cache-control')).toContain('max-age');
  });

  it('GraphiQL that asks no other server for anything', async () => {
    const response = await fetch(`${server.url}/graphql`, { headers: { accept: 'text/html' } });
    const html = await response.text();
    const policy = response.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("connect-src 'self'");
    expect(policy).not.toMatch(/https?:/);
    const outsideOfScript = html
      .replace(/<script>[\s\S]*<\/script>/, '')
      .replace(/<style>[\s\S]*<\/style>/, '');
    expect(outsideOfScript).not.toMatch(/(?:src|href)\s*=\s*["']?(?:https?:)?\/\//i);
    expect(html).not.toMatch(/@import|url\(\s*["']?(?:https?:)?\/\//i);
  });

  it('the player may connect to the registered streaming servers and nowhere else', async () => {
    const response = await fetch(`${server.url}/`);
    // Without a build of the player the answer says what to run.
    if (response.status === 503) {
      expect(await response.text()).toContain('player-demo/build.ts');
      return;
    }
    const policy = response.headers.get('content-security-policy');
    expect(policy).toContain("connect-src 'self' http://localhost:4001;");
    expect(policy).not.toContain('unsafe');
    await response.body?.cancel();
  });

  it('metrics with outcomes and without anything of a request', async () => {
    await post('/v1/redemptions', JOSE_TYPE, 'secret-looking.text.here');
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain('usher_redemptions_total{op="unknown",outcome="request_malformed"}');
    expect(metrics).not.toContain('secret-looking');
  });
});

it.each([
  ['127.0.0.1:4000', 'http://localhost:4000', true],
  ['[::1]:4000', 'http://localhost:4000', true],
  ['localhost:4000', 'http://localhost:4000', false],
  ['127.0.0.1:4010', 'http://localhost:4000', false],
  ['127.0.0.1:4000', 'https://shop.example', false],
  ['evil.example', 'http://localhost:4000', false],
  ['localhost.evil.example:4000', 'http://127.0.0.1:4000', false],
  [undefined, 'http://localhost:4000', false],
])('a page asked for at %s is sent on to %s: %s', (host, publicUrl, sentOn) => {
  expect(isOtherLoopbackName(host, publicUrl)).toBe(sentOn);
});
