/** In front of the host's HTTP listeners: playing and publishing FLV over HTTP and WebSocket is closed. */
import type { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Denial, problemResponse } from '../../errors.ts';
import { isStreamPath } from '../../rights/index.ts';

export interface HttpGateOptions {
  /** Leaves `/admin` and `/api/v1` to the host. */
  readonly nmsAdminApi: boolean;
}

const MAX_URL_CHARS = 2048;
const FLUSH_WITHIN_MS = 1000;
const ADMIN_PATH = /^\/(?:admin|api\/v1)(?:\/|$)/;
type Listener = (...args: unknown[]) => void;

/** What a request that is not the host's business gets. */
export function refusalOfRequest(method: string, url: string): Denial {
  if (url.length > MAX_URL_CHARS || !url.startsWith('/')) return new Denial('request_malformed');
  const path = url.split('?', 1)[0] ?? '';
  if (!/\.flv/i.test(path)) return new Denial('not_found');
  if (!path.endsWith('.flv') || !isStreamPath(path.slice(0, -'.flv'.length))) {
    return new Denial('request_malformed');
  }
  return new Denial(method === 'GET' || method === 'HEAD' ? 'play_closed' : 'method_not_allowed');
}

/** Anything with `.flv` in it is media to the host, wherever it lies; the rest under these prefixes is not. */
function isAdminUrl(url: string): boolean {
  return url.length <= MAX_URL_CHARS && ADMIN_PATH.test(url.split('?', 1)[0] ?? '') && !/\.flv/i.test(url);
}

async function refuseRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const problem = problemResponse(refusalOfRequest(request.method ?? '', request.url ?? ''));
  // A body that nobody reads must not keep the connection; HTTP/2 has streams for that and knows no such header.
  if (request.httpVersionMajor === 1) problem.headers.set('connection', 'close');
  response.writeHead(problem.status, Object.fromEntries(problem.headers));
  response.end(request.method === 'HEAD' ? undefined : await problem.text());
}

async function refuseUpgrade(request: IncomingMessage, socket: Duplex): Promise<void> {
  socket.on('error', () => socket.destroy());
  const problem = problemResponse(refusalOfRequest(request.method ?? '', request.url ?? ''));
  const body = await problem.text();
  problem.headers.set('connection', 'close');
  problem.headers.set('content-length', String(Buffer.byteLength(body)));
  const headers = [...problem.headers].map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const timer = setTimeout(() => socket.destroy(), FLUSH_WITHIN_MS);
  socket.end(`HTTP/1.1 ${problem.status} Refused\r\n${headers}\r\n${body}`, () => {
    clearTimeout(timer);
    socket.destroy();
  });
}

/** Takes the place of the server's `request` and `upgrade` listeners; returns what puts them back. */
export function guardHttp(server: EventEmitter, options: HttpGateOptions): () => void {
  const hostListeners = {
    request: server.listeners('request') as Listener[],
    upgrade: server.listeners('upgrade') as Listener[],
  };
  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    if (options.nmsAdminApi && isAdminUrl(request.url ?? '')) {
      for (const listener of hostListeners.request) listener.call(server, request, response);
      return;
    }
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    refuseRequest(request, response).catch(() => response.destroy());
  }
  function onUpgrade(request: IncomingMessage, socket: Duplex): void {
    refuseUpgrade(request, socket).catch(() => socket.destroy());
  }
  server.removeAllListeners('request').removeAllListeners('upgrade');
  server.on('request', onRequest).on('upgrade', onUpgrade);
  return () => {
    server.off('request', onRequest).off('upgrade', onUpgrade);
    for (const event of ['request', 'upgrade'] as const) {
      for (const listener of hostListeners[event]) server.on(event, listener);
    }
  };
}
