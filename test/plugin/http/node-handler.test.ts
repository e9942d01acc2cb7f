import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { createNodeHandler, type NodeHandler } from '../../../plugin/http/node-handler.ts';

const closing: (() => unknown)[] = [];
afterEach(() => closing.splice(0).forEach((close) => close()));

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

async function serve(listener: Listener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  closing.push(() => server.close().closeAllConnections());
  await once(server, 'listening');
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

/** Answers what it was asked, and by whom. */
const handler: NodeHandler = createNodeHandler({
  fetch: async (request, client) =>
    Response.json(
      { method: request.method, path: new URL(request.url).pathname, body: await request.text(), ...client },
      { status: 201, headers: { location: '/media/session/1' } },
    ),
  owns: (path) => path.startsWith('/media/whep/'),
  trustedProxies: 1,
});

/** As Express does it: what is mounted at a path does not see the path. */
const mountedAt =
  (path: string): Listener =>
  (request, response) => {
    const { url = '' } = request;
    Object.assign(request, { originalUrl: url, url: url.slice(path.length) });
    handler(request, response, () => response.writeHead(418).end());
  };

it('answers as a listener of node:http, body and client included', async () => {
  const base = await serve(handler);
  const response = await fetch(`${base}/media/whep/live/a`, {
    method: 'POST',
    body: 'offer',
    headers: { 'x-forwarded-for': '192.0.2.7', 'x-forwarded-proto': 'https' },
  });
  expect([response.status, response.headers.get('location')]).toEqual([201, '/media/session/1']);
  expect(await response.json()).toEqual({
    method: 'POST',
    path: '/media/whep/live/a',
    body: 'offer',
    peer: '192.0.2.7',
    confidential: true,
  });
});

it('as a listener it has what is not its own answered too: there it is a 404 for `fetch` to say', async () => {
  const response = await fetch(`${await serve(handler)}/elsewhere`);
  expect(await response.json()).toMatchObject({ path: '/elsewhere' });
});

it.each(['/media', ''])(
  'mounted at %j it sees the whole path, and leaves others to the next',
  async (path) => {
    const base = await serve(mountedAt(path));
    const response = await fetch(`${base}/media/whep/live/a?x=1`);
    expect(await response.json()).toMatchObject({ path: '/media/whep/live/a' });
    expect((await fetch(`${base}/media/other`)).status).toBe(418);
  },
);

it('leaves the process its Request and Response', async () => {
  const before = [globalThis.Request, globalThis.Response];
  await fetch(`${await serve(handler)}/media/whep/live/a`);
  expect([globalThis.Request, globalThis.Response]).toEqual(before);
});
