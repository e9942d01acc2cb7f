/** In front of one of the host's HTTP listeners: FLV for ticket holders, passes, and what is left to the host. */
import type { EventEmitter } from 'node:events';
import { getRequestListener } from '@hono/node-server';
import { asDenial, Denial } from '../../errors.ts';
import type { Gate } from '../../gate.ts';
import { corsHeaders, type CorsOrigins } from '../../http/cors.ts';
import { answer, methodNotAllowed, optionsReply } from '../../http/endpoint.ts';
import { createPassDesk, type PassDeskOptions } from '../../http/pass.ts';
import { clientOf, isLoopback } from '../../peer.ts';
import type { Log } from '../../ports.ts';
import { basePathOf } from '../../public-urls.ts';
import type { Client, FlvDesk } from './flv-desk.ts';
import { parseFlvUrl, type FlvTarget } from './flv-request.ts';
import { closeIdleSessions } from './http2-sessions.ts';
import { http2Outlet, httpOutlet, type ConnectionName, type Reset } from './outlets.ts';
import { sendReply, toWebRequest, writeHead, type HostRequest, type HostResponse } from './web-request.ts';
import { createWebSocketGate } from './web-socket-gate.ts';

export interface HttpGateOptions {
  readonly desk: FlvDesk;
  readonly gate: Pick<Gate, 'mintPass' | 'nonce'>;
  /** Base of this listener as viewers see it, which may have a path; proofs are checked against it, never against Host. */
  readonly publicUrl: URL;
  /** Where a stream can be played with a pass. */
  readonly endpoints: PassDeskOptions['endpoints'];
  /** Leaves `/admin` and `/api/v1` to the host. */
  readonly nmsAdminApi: boolean;
  readonly trustedProxies: number;
  readonly corsOrigins: CorsOrigins;
  /** Prometheus' text format, for `GET /metrics` from this machine. */
  readonly metrics: { response(): Promise<Response> } | undefined;
  readonly log: Log;
  readonly reset: Reset;
  /** The connection has asked for something. */
  readonly onAsked: (socket: ConnectionName) => void;
}

const METHODS = 'GET, POST, OPTIONS';
const MAX_URL_CHARS = 2048;
const ADMIN_PATH = /^\/(?:admin|api\/v1)(?:\/|$)/;
const KEEP_ALIVE_MS = 15_000;
const BODY_WITHIN_MS = 30_000;
type Listener = (...args: unknown[]) => void;

/** Anything with `.flv` in it is media to the host, wherever it lies; the rest under these prefixes is not. */
function isAdminUrl(url: string): boolean {
  return url.length <= MAX_URL_CHARS && ADMIN_PATH.test(url.split('?', 1)[0] ?? '') && !/\.flv/i.test(url);
}

/** For all but publishers: for their sake node:http's own limit is off. */
function limitBodyTime(request: HostRequest): void {
  const timer = setTimeout(() => {
    const isWhole = 'stream' in request ? request.stream.endAfterHeaders : request.complete;
    if (!isWhole && !request.readableEnded) request.socket.destroy();
  }, BODY_WITHIN_MS);
  timer.unref();
  request.on('close', () => clearTimeout(timer));
}

/** Not for whoever comes through a proxy on this machine. */
function isFromThisMachine({ socket, headers }: HostRequest): boolean {
  const isForwarded = 'x-forwarded-for' in headers || 'forwarded' in headers;
  return !isForwarded && isLoopback(socket.remoteAddress ?? '');
}

/** Takes the place of the server's `request` and `upgrade` listeners; returns what puts them back. */
export function guardHttp(server: EventEmitter, options: HttpGateOptions): () => void {
  const { desk, gate, log, publicUrl, trustedProxies, corsOrigins, metrics, reset } = options;
  const endpoint = { nonce: () => gate.nonce(), corsOrigins, log };
  const basePath = basePathOf(publicUrl);
  const baseUrl = publicUrl.origin + basePath;
  const passDesk = createPassDesk({ gate, publicUrl, endpoints: options.endpoints, log, corsOrigins });
  const answerPass = getRequestListener(
    (request, env) => passDesk.fetch(request, clientOf(env.incoming, trustedProxies)),
    // The operator's own Request and Response stay what they are.
    { overrideGlobalObjects: false },
  );
  const hostListeners = {
    request: server.listeners('request') as Listener[],
    upgrade: server.listeners('upgrade') as Listener[],
  };

  function findClient(request: HostRequest): Client {
    const { remotePort } = request.socket;
    return { ...clientOf(request, trustedProxies), port: remotePort ?? 0 };
  }

  async function play(request: HostRequest, response: HostResponse, target: FlvTarget): Promise<void> {
    const client = findClient(request);
    const headers = toWebRequest(request);
    const { socket } = request;
    // Behind another request's reply on its connection, a stream without an end has no place.
    if (response.socket === null) throw new Denial('request_malformed', { detail: 'pipelined' });
    const admitted = await desk.admit('http-flv', target, { baseUrl, headers }, client);
    const { viewer } = admitted;
    if (response.destroyed || socket.destroyed) return viewer.gone('viewer_left');
    response.on('close', () => viewer.gone('viewer_left'));
    const outlet = 'stream' in response ? http2Outlet(response.stream, reset) : httpOutlet(socket, reset);
    ('stream' in response ? response.stream : socket).on('drain', viewer.drain);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    desk.join(admitted, target, client, outlet, () => {
      // Not in chunks: the body ends with the connection.
      if (!('stream' in response)) response.removeHeader('transfer-encoding');
      writeHead(response, 200, {
        'content-type': 'video/x-flv',
        'cache-control': 'no-store',
        ...corsHeaders(corsOrigins, headers.headers.get('origin')),
      });
    });
  }

  async function publish(request: HostRequest, response: HostResponse, target: FlvTarget): Promise<void> {
    // Destroying a request of HTTP/2 leaves its stream as it is.
    function cut(): void {
      if ('stream' in request) request.stream.destroy();
      else request.destroy();
    }
    const start = await desk.publish(target, findClient(request), cut);
    if (request.destroyed) return;
    const publisher = start();
    response.on('close', publisher.leave);
    request.on('data', publisher.push);
    request.on('end', () => {
      publisher.leave();
      writeHead(response, 200, { 'content-length': '0' });
      response.end();
    });
  }

  async function flv(request: HostRequest, response: HostResponse): Promise<void> {
    const target = parseFlvUrl(request.url ?? '', basePath);
    if (request.method === 'GET') return play(request, response, target);
    if (request.method === 'POST') return publish(request, response, target);
    const other = request.method === 'OPTIONS' ? optionsReply(METHODS, {}) : methodNotAllowed(METHODS);
    const reply = await answer(endpoint, toWebRequest(request), () => Promise.resolve(other));
    return sendReply(request, response, reply);
  }

  async function handle(request: HostRequest, response: HostResponse): Promise<void> {
    const { method, url } = request;
    if (url === `${basePath}/pass`) {
      limitBodyTime(request);
      return answerPass(request, response);
    }
    if (url === '/metrics' && method === 'GET' && metrics !== undefined && isFromThisMachine(request)) {
      return sendReply(request, response, await metrics.response());
    }
    return flv(request, response);
  }

  async function refuse(request: HostRequest, response: HostResponse, error: unknown): Promise<void> {
    if (response.headersSent || response.destroyed) return void response.destroy();
    const denial = asDenial(error);
    const reply = await answer(endpoint, toWebRequest(request), () => Promise.reject(denial));
    await sendReply(request, response, reply);
  }

  function onRequest(request: HostRequest, response: HostResponse): void {
    options.onAsked(request.socket);
    if (options.nmsAdminApi && isAdminUrl(request.url ?? '')) {
      limitBodyTime(request);
      for (const listener of hostListeners.request) listener.call(server, request, response);
      return;
    }
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    handle(request, response).catch((error: unknown) =>
      refuse(request, response, error).catch(() => response.destroy()),
    );
  }

  const onUpgrade = createWebSocketGate({ ...options, endpoint, findClient, basePath, baseUrl });
  server.removeAllListeners('request').removeAllListeners('upgrade');
  server.on('request', onRequest).on('upgrade', onUpgrade);
  const leaveSessions = closeIdleSessions(server);
  return () => {
    leaveSessions();
    server.off('request', onRequest).off('upgrade', onUpgrade);
    for (const event of ['request', 'upgrade'] as const) {
      for (const listener of hostListeners[event]) server.on(event, listener);
    }
  };
}
