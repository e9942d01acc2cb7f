/** FLV over WebSocket. A browser's page sees of a failed handshake nothing, so a refusal is a close code with a reason. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { asDenial, type Denial, refusalOf, webSocketCloseCode } from '../../errors.ts';
import { answer, type EndpointOptions } from '../../http/endpoint.ts';
import type { Log } from '../../ports.ts';
import type { Client, FlvDesk } from './flv-desk.ts';
import { parseFlvUrl, type FlvTarget } from './flv-request.ts';
import { webSocketOutlet, type ConnectionName, type Reset } from './outlets.ts';
import { MAX_MESSAGE_BYTES } from './packet-guard.ts';
import { toWebRequest } from './web-request.ts';

export interface WebSocketGateOptions {
  readonly desk: FlvDesk;
  /** Of this listener as viewers see it, without a trailing slash: path alone, and the whole. */
  readonly basePath: string;
  readonly baseUrl: string;
  readonly endpoint: EndpointOptions;
  readonly findClient: (request: IncomingMessage) => Client;
  readonly log: Log;
  readonly reset: Reset;
  readonly onAsked: (socket: ConnectionName) => void;
}

const FLUSH_WITHIN_MS = 1000;
const KEEP_ALIVE_MS = 15_000;
/** A viewer has nothing to say. */
const MAX_VIEWER_MESSAGE_BYTES = 1024;
/** Subprotocols that the host takes for a publisher. */
const PUBLISHERS: ReadonlySet<string> = new Set(['post', 'publisher']);

const isPublisher = ({ headers }: IncomingMessage): boolean =>
  (headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .some((name) => PUBLISHERS.has(name.trim().toLowerCase()));

/** Answers `upgrade`. */
export function createWebSocketGate(
  options: WebSocketGateOptions,
): (request: IncomingMessage, socket: Socket, head: Buffer) => void {
  const { desk, basePath, baseUrl, endpoint, findClient, reset } = options;
  const common = { noServer: true, clientTracking: false, perMessageDeflate: false, autoPong: false };
  const forViewers = new WebSocketServer({ ...common, maxPayload: MAX_VIEWER_MESSAGE_BYTES });
  const forPublishers = new WebSocketServer({ ...common, maxPayload: 2 * MAX_MESSAGE_BYTES });

  function accept(
    server: WebSocketServer,
    request: IncomingMessage,
    socket: Socket,
    head: Buffer,
  ): Promise<WebSocket> {
    return new Promise((resolve, reject) => {
      socket.once('close', () => reject(new Error('the peer has gone')));
      server.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.on('error', () => webSocket.terminate());
        // Who reads nothing must not fill the memory with answers to his pings.
        webSocket.on('ping', (data) => {
          if (!socket.writableNeedDrain) webSocket.pong(data);
        });
        resolve(webSocket);
      });
    });
  }

  async function play(
    request: IncomingMessage,
    socket: Socket,
    head: Buffer,
    target: FlvTarget,
  ): Promise<void> {
    const client = findClient(request);
    const credentials = { baseUrl, headers: toWebRequest(request) };
    const admitted = await desk.admit('ws-flv', target, credentials, client);
    const { viewer } = admitted;
    if (socket.destroyed) return viewer.gone('viewer_left');
    socket.on('close', () => viewer.gone('viewer_left'));
    const webSocket = await accept(forViewers, request, socket, head);
    webSocket.on('close', () => viewer.gone('viewer_left'));
    socket.on('drain', viewer.drain).setKeepAlive(true, KEEP_ALIVE_MS);
    try {
      desk.join(admitted, target, client, webSocketOutlet(webSocket, socket, reset), () => undefined);
    } catch (error) {
      close(webSocket, socket, asDenial(error));
    }
  }

  async function publish(
    request: IncomingMessage,
    socket: Socket,
    head: Buffer,
    target: FlvTarget,
  ): Promise<void> {
    const start = await desk.publish(target, findClient(request), () => socket.destroy());
    const webSocket = await accept(forPublishers, request, socket, head);
    if (socket.destroyed) return;
    let publisher;
    try {
      publisher = start();
    } catch (error) {
      return close(webSocket, socket, asDenial(error));
    }
    socket.on('close', publisher.leave);
    const { push } = publisher;
    // Fragments and ArrayBuffers are not asked for: `nodebuffer` is what a message comes as.
    webSocket.on('message', (data: Buffer) => push(data));
  }

  function close(webSocket: WebSocket, socket: Socket, { code }: Denial): void {
    webSocket.close(webSocketCloseCode(code), `${code}: ${refusalOf(code).title}`.slice(0, 120));
    setTimeout(() => socket.destroy(), FLUSH_WITHIN_MS).unref();
  }

  /** A client that sends header fields reads them too, and needs the nonce; what is no media path gets no WebSocket. */
  async function refuse(
    request: IncomingMessage,
    socket: Socket,
    head: Buffer,
    error: unknown,
  ): Promise<void> {
    const denial = asDenial(error);
    const web = toWebRequest(request);
    const isPlain = !web.headers.has('authorization') && isMediaUrl(request.url ?? '', basePath);
    if (isPlain) return close(await accept(forViewers, request, socket, head), socket, denial);
    const reply = await answer(endpoint, web, () => Promise.reject(denial));
    const body = await reply.text();
    reply.headers.set('connection', 'close');
    reply.headers.set('content-length', String(Buffer.byteLength(body)));
    const fields = [...reply.headers].map(([name, value]) => `${name}: ${value}\r\n`).join('');
    setTimeout(() => socket.destroy(), FLUSH_WITHIN_MS).unref();
    socket.end(`HTTP/1.1 ${reply.status} Refused\r\n${fields}\r\n${body}`, () => socket.destroy());
  }

  return (request, socket, head) => {
    options.onAsked(socket);
    socket.on('error', () => socket.destroy());
    async function handle(): Promise<void> {
      const target = parseFlvUrl(request.url ?? '', basePath);
      await (isPublisher(request) ? publish : play)(request, socket, head, target);
    }
    handle().catch((error: unknown) => {
      if (socket.destroyed) return;
      refuse(request, socket, head, error).catch(() => socket.destroy());
    });
  };
}

function isMediaUrl(url: string, basePath: string): boolean {
  try {
    parseFlvUrl(url, basePath);
    return true;
  } catch {
    return false;
  }
}
