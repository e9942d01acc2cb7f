import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { connect, type AddressInfo } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import WebSocket from 'ws';
import type { FlvDesk } from '../../../../plugin/adapters/node-media-server/flv-desk.ts';
import type { FlvTarget } from '../../../../plugin/adapters/node-media-server/flv-request.ts';
import { guardHttp, type HttpGateOptions } from '../../../../plugin/adapters/node-media-server/http-gate.ts';
import { Denial } from '../../../../plugin/errors.ts';
import { silentLog } from '../../../support/doubles.ts';

const NONCE = 'insecure-test-nonce';

interface House {
  readonly origin: string;
  readonly port: number;
  readonly server: Server;
  readonly asked: {
    protocol: string;
    /** As the proof must name it; `null` for publishers, who need none. */
    baseUrl: string | null;
    target: FlvTarget;
    peer: string;
    confidential: boolean;
    authorization: string | null;
  }[];
  readonly settled: number[];
  restore(): void;
}

/** A listener of which every path answers `host`, with the gate in front; the desk admits nobody. */
async function setUp(
  options: Partial<HttpGateOptions> = {},
  server = createServer((_, response) => response.end('host')),
): Promise<House> {
  const asked: House['asked'] = [];
  const settled: number[] = [];
  const desk: FlvDesk = {
    admit(protocol, target, { baseUrl, headers }, { peer, confidential }) {
      asked.push({
        protocol,
        baseUrl,
        target,
        peer,
        confidential,
        authorization: headers.headers.get('authorization'),
      });
      return Promise.reject(new Denial(target.pass === 'away' ? 'stream_offline' : 'ticket_missing'));
    },
    join: () => undefined,
    publish(target, { peer, confidential }) {
      asked.push({ protocol: 'publish', baseUrl: null, target, peer, confidential, authorization: null });
      return Promise.reject(new Denial('stream_key_invalid'));
    },
  };
  const restore = guardHttp(server, {
    desk,
    gate: { nonce: () => NONCE, mintPass: () => Promise.reject(new Denial('ticket_untrusted')) },
    publicUrl: new URL('http://media.example'),
    endpoints: () => ({}),
    nmsAdminApi: true,
    trustedProxies: 0,
    corsOrigins: '*',
    metrics: undefined,
    log: silentLog,
    reset: (socket) => void socket.destroy(),
    onAsked: ({ remotePort }) => void settled.push(remotePort ?? 0),
    ...options,
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    // Not there over HTTP/2.
    (server as Partial<Server>).closeAllConnections?.();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { origin: `http://127.0.0.1:${port}`, port, server, asked, settled, restore };
}

/** Sends a path as it is: `fetch` would tidy it up. */
async function raw(
  port: number,
  method: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string; headers: Record<string, unknown> }> {
  const request = httpRequest({ host: '127.0.0.1', port, method, path, headers });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await once(response, 'end');
  return { status: response.statusCode ?? 0, text, headers: response.headers };
}

async function codeOf(port: number, method: string, path: string): Promise<string> {
  const { text } = await raw(port, method, path);
  return text === 'host' ? 'host' : text === '' ? 'empty' : (JSON.parse(text) as { code: string }).code;
}

test('under a base path it answers there, and nowhere else', async () => {
  const publicUrl = new URL('https://media.example/usher/flv');
  const { port, asked } = await setUp({ publicUrl });
  expect(await codeOf(port, 'GET', '/usher/flv/live/a.flv')).toBe('ticket_missing');
  expect(await codeOf(port, 'POST', '/usher/flv/live/a.flv?key=x')).toBe('stream_key_invalid');
  expect(await codeOf(port, 'POST', '/usher/flv/pass')).toBe('unsupported_media_type');
  expect(await codeOf(port, 'GET', '/live/a.flv')).toBe('not_found');
  expect(await codeOf(port, 'POST', '/pass')).toBe('not_found');
  expect(asked.map(({ protocol, baseUrl }) => [protocol, baseUrl])).toEqual([
    ['http-flv', 'https://media.example/usher/flv'],
    ['publish', null],
  ]);
  const webSocket = new WebSocket(`ws://127.0.0.1:${port}/usher/flv/live/a.flv`);
  const [code] = (await once(webSocket, 'close')) as [number];
  expect(code).toBe(4401);
  expect(asked.at(-1)).toMatchObject({ protocol: 'ws-flv', baseUrl: 'https://media.example/usher/flv' });
});

test.each([
  ['GET', '/live/a.flv', 'ticket_missing'],
  ['GET', '/live/a.flv?pass=away', 'stream_offline'],
  ['POST', '/live/a.flv?key=x', 'stream_key_invalid'],
  ['PUT', '/live/a.flv', 'method_not_allowed'],
  ['DELETE', '/live/a.flv', 'method_not_allowed'],
  ['TRACE', '/live/a.flv', 'method_not_allowed'],
  ['HEAD', '/live/a.flv', 'empty'],
  ['OPTIONS', '/live/a.flv', 'empty'],
  ['GET', '/a%20b/c.flv', 'request_malformed'],
  ['GET', '/live/a.FLV', 'request_malformed'],
  ['GET', '//live/a.flv', 'request_malformed'],
  ['GET', 'http://host/live/a.flv', 'request_malformed'],
  ['OPTIONS', '*', 'request_malformed'],
  ['GET', `/live/${'a'.repeat(3000)}`, 'request_malformed'],
  ['GET', '/', 'not_found'],
  ['GET', '/pass/', 'not_found'],
  ['GET', '/metrics', 'not_found'],
  ['GET', '/static/index.html', 'not_found'],
])('%s %s: %s', async (method, path, code) => {
  const { port, settled } = await setUp();
  expect(await codeOf(port, method, path)).toBe(code);
  expect(settled).toHaveLength(1);
});

test.each([
  ['/admin', 'host', 'not_found'],
  ['/admin/', 'host', 'not_found'],
  ['/admin/index.html', 'host', 'not_found'],
  ['/api/v1/streams?token=x', 'host', 'not_found'],
  ['/api/v1/streams/live/a', 'host', 'not_found'],
  ['/admin/x.flv', 'ticket_missing', 'ticket_missing'],
  ['/admin/x.FLV/', 'request_malformed', 'request_malformed'],
  ['/api/v1/x.flv', 'request_malformed', 'request_malformed'],
  ['/admin/..%2flive/a.flv', 'request_malformed', 'request_malformed'],
  ['/admin/../live/a.flv', 'request_malformed', 'request_malformed'],
  ['/admin?x=.flv', 'not_found', 'not_found'],
  ['/ADMIN/', 'not_found', 'not_found'],
  ['/administrator/', 'not_found', 'not_found'],
  ['/api/v1%2fstreams', 'not_found', 'not_found'],
  ['/api/v2/', 'not_found', 'not_found'],
  [`/admin/${'a'.repeat(3000)}`, 'request_malformed', 'request_malformed'],
])('%s goes to: %s; with the admin API closed: %s', async (path, open, closed) => {
  expect(await codeOf((await setUp()).port, 'GET', path)).toBe(open);
  expect(await codeOf((await setUp({ nmsAdminApi: false })).port, 'GET', path)).toBe(closed);
});

test('a refusal is a problem document with a challenge, a nonce, for pages of any origin, and ends the connection', async () => {
  const { port } = await setUp();
  const { status, headers, text } = await raw(port, 'GET', '/live/a.flv', { origin: 'https://shop.example' });
  expect([status, JSON.parse(text)]).toEqual([
    401,
    expect.objectContaining({ code: 'ticket_missing', status: 401 }),
  ]);
  expect(headers).toMatchObject({
    'content-type': 'application/problem+json',
    'www-authenticate': expect.stringContaining('DPoP'),
    'dpop-nonce': NONCE,
    'cache-control': 'no-store',
    'access-control-allow-origin': '*',
    connection: 'close',
  });
  const away = await raw(port, 'GET', '/live/a.flv?pass=away');
  expect([away.status, away.headers['retry-after']]).toEqual([409, '3']);
});

test('OPTIONS of a page is answered without a ticket', async () => {
  const { port, asked } = await setUp();
  const { status, headers } = await raw(port, 'OPTIONS', '/live/a.flv', { origin: 'https://shop.example' });
  expect([status, headers.allow, asked.length]).toEqual([200, 'GET, POST, OPTIONS', 0]);
  expect(String(headers['access-control-allow-headers'])).toContain('DPoP');
});

test('a pass is asked for here, and only by POST', async () => {
  const { port } = await setUp();
  expect(await codeOf(port, 'POST', '/pass')).not.toBe('not_found');
  expect(await codeOf(port, 'GET', '/pass')).toBe('method_not_allowed');
});

test('metrics are for this machine, and not for what a proxy on it passes on', async () => {
  const metrics = { response: () => Promise.resolve(new Response('usher_sessions 0\n')) };
  const { port } = await setUp({ metrics });
  expect((await raw(port, 'GET', '/metrics')).text).toBe('usher_sessions 0\n');
  expect(await codeOf(port, 'POST', '/metrics')).toBe('not_found');
  for (const name of ['x-forwarded-for', 'forwarded']) {
    expect((await raw(port, 'GET', '/metrics', { [name]: '192.0.2.1' })).status).toBe(404);
  }
});

test('the client is who the trusted proxies say, and nobody else’s word counts', async () => {
  const forwarded = { 'x-forwarded-for': '192.0.2.9', 'x-forwarded-proto': 'http' };
  const direct = await setUp();
  await raw(direct.port, 'GET', '/live/a.flv', forwarded);
  expect(direct.asked).toMatchObject([{ peer: '127.0.0.1', confidential: true }]);
  const behind = await setUp({ trustedProxies: 1 });
  await raw(behind.port, 'GET', '/live/a.flv', forwarded);
  expect(behind.asked).toMatchObject([{ peer: '192.0.2.9', confidential: false }]);
});

test('a WebSocket without header fields is told by a close code and a reason, one with them by a status', async () => {
  const { port, asked } = await setUp();
  const page = new WebSocket(`ws://127.0.0.1:${port}/live/a.flv?pass=away`);
  const [code, reason] = (await once(page, 'close')) as [number, Buffer];
  expect([code, String(reason)]).toEqual([4409, expect.stringMatching(/^stream_offline: /)]);
  const client = new WebSocket(`ws://127.0.0.1:${port}/live/a.flv`, { headers: { authorization: 'DPoP x' } });
  client.on('error', () => undefined);
  const [, response] = (await once(client, 'unexpected-response')) as [unknown, IncomingMessage];
  expect([response.statusCode, response.headers['dpop-nonce']]).toEqual([401, NONCE]);
  client.terminate();
  expect(asked.map(({ protocol, authorization }) => [protocol, authorization])).toEqual([
    ['ws-flv', null],
    ['ws-flv', 'DPoP x'],
  ]);
});

test.each(['post', 'publisher', 'flv, PUBLISHER'])(
  'a WebSocket of subprotocol %s publishes',
  async (protocols) => {
    const { port, asked } = await setUp();
    const socket = new WebSocket(`ws://127.0.0.1:${port}/live/a.flv?key=x`, protocols.split(', '));
    const [code] = (await once(socket, 'close')) as [number];
    expect([code, asked[0]?.protocol]).toEqual([4403, 'publish']);
  },
);

test.each([
  ['/live/a%20b/c.flv', 400],
  ['/a%20b/c.flv', 400],
  ['/live/a.flv?sign=1&sign=2', 400],
  ['/', 404],
  ['/admin/', 404],
  ['/api/v1/events', 404],
])('a WebSocket on %s gets none: %i', async (path, status) => {
  const { port, asked } = await setUp();
  const socket = connect(port, '127.0.0.1');
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}\r\n\r\n`,
  );
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  await once(socket, 'close');
  expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(asked).toEqual([]);
});

test('an upgrade to something else ends without a session', async () => {
  const { port } = await setUp();
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined).resume();
  socket.write('GET /live/a.flv HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
  await once(socket, 'close');
});

test.each(['/pass', '/api/v1/streams'])(
  'a body to %s of which a byte comes now and then has half a minute',
  async (path) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { port, server } = await setUp({}, createServer());
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined).resume();
    const closed = once(socket, 'close');
    const fields =
      'Host: x\r\nContent-Type: application/json\r\nAuthorization: DPoP x\r\nContent-Length: 99\r\n';
    socket.write(`POST ${path} HTTP/1.1\r\n${fields}\r\n{`);
    await once(server, 'request');
    await vi.advanceTimersByTimeAsync(5000);
    expect(socket.closed).toBe(false);
    socket.write('"');
    await vi.advanceTimersByTimeAsync(25_000);
    await closed;
  },
);

test('a body that goes on after a refusal over HTTP/2 ends its stream, and not the connection', async () => {
  const server = createHttp2Server();
  const { origin } = await setUp({}, server as unknown as Server);
  const client = connectHttp2(origin);
  onTestFinished(() => client.destroy());
  const stream = client.request({ ':method': 'POST', ':path': '/live/a.flv?key=x' }, { endStream: false });
  stream.on('error', () => undefined).resume();
  const dripping = setInterval(() => stream.write('x'), 50);
  const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
  expect(headers[':status']).toBe(403);
  await once(stream, 'close');
  clearInterval(dripping);
  expect(client.closed).toBe(false);
});

test('the operator’s program keeps its Request and Response', async () => {
  const before = [globalThis.Request, globalThis.Response];
  const { port } = await setUp();
  await codeOf(port, 'POST', '/pass');
  expect([globalThis.Request, globalThis.Response]).toEqual(before);
  expect(globalThis.Request).toBe(before[0]);
});

test('afterwards the listener is the host’s again', async () => {
  const { port, server, restore } = await setUp();
  restore();
  expect(await codeOf(port, 'GET', '/live/a.flv')).toBe('host');
  expect([
    server.listenerCount('request'),
    server.listenerCount('upgrade'),
    server.listenerCount('session'),
  ]).toEqual([1, 0, 0]);
});
