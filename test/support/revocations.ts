/** Revocation feeds to test with: one in memory, and an order server's that speaks HTTP. */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Revocation } from '../../plugin/contract.ts';
import { listen } from '../../plugin/listen.ts';
import type { RevocationSource } from '../../plugin/ports.ts';

export const FAR_SECONDS = 8_000_000_000;

type EventName = 'revocation' | 'heartbeat' | 'snapshot' | 'snapshot-part';

export const sse = (event: EventName, data: { seq: number }): string =>
  `event: ${event}\nid: ${String(data.seq)}\ndata: ${JSON.stringify(data)}\n\n`;

/** An entry of the feed; `until` is far away. */
export function revocationOf(kind: Revocation['kind'], value: string, seq = 1): Revocation {
  const action = kind === 'session' ? 'kick' : 'revoke';
  return { seq, kind, value, action, until: FAR_SECONDS } as Revocation;
}

export interface FeedConnection {
  readonly after: number;
  readonly signal: AbortSignal;
  send(event: EventName, data: { seq: number }): void;
  write(text: string): void;
  end(): void;
}

/** A source whose connections the test holds in its hands. */
export function fakeSource(): RevocationSource & {
  /** The next connection that is opened, or was and has not been taken yet. */
  next(): Promise<FeedConnection>;
  opened: number;
  /** Overwrite to refuse. */
  refuse: () => void;
} {
  const waiting: FeedConnection[] = [];
  let taker: ((connection: FeedConnection) => void) | undefined;
  const source = {
    opened: 0,
    refuse: (): void => undefined,
    next: () =>
      new Promise<FeedConnection>((resolve) => {
        const first = waiting.shift();
        if (first === undefined) taker = resolve;
        else resolve(first);
      }),
    async openRevocations(after: number, signal: AbortSignal) {
      source.opened += 1;
      source.refuse();
      const stream = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, {
        highWaterMark: 1000,
      });
      const writer = stream.writable.getWriter();
      signal.addEventListener('abort', () => void writer.abort(signal.reason).catch(() => undefined));
      const write = (text: string): void => void writer.write(Buffer.from(text)).catch(() => undefined);
      const connection: FeedConnection = {
        after,
        signal,
        write,
        send: (event, data) => write(sse(event, data)),
        end: () => void writer.close().catch(() => undefined),
      };
      if (taker === undefined) waiting.push(connection);
      else taker(connection);
      taker = undefined;
      return stream.readable as unknown as AsyncIterable<Uint8Array>;
    },
  };
  return source;
}

/** Answers a request for the feed of an order server that has never revoked anything. */
export function answerWithEmptyFeed(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(sse('snapshot', { seq: 0, revocations: [] } as { seq: number }));
  const timer = setInterval(() => response.write(sse('heartbeat', { seq: 0 })), 1000);
  response.on('close', () => clearInterval(timer));
}

export interface FeedServer {
  readonly url: string;
  /** The authorization header and path of every request. */
  readonly requests: { path: string; authorization: string | undefined }[];
  /** Takes it down in one transaction, and tells everybody who is connected. */
  revoke(kind: Revocation['kind'], value: string): void;
  /** Takes it down, and tells nobody: the next heartbeat shows a gap. */
  revokeSilently(kind: Revocation['kind'], value: string): void;
  connections(): number;
  /** Breaks all connections. */
  cut(): void;
  /** No port, no connections, until `start`; what was revoked is kept. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Forgets what came before, as an order server does with what is old: who has only that gets a snapshot. */
  forgetHistory(): void;
}

/** An order server with nothing but the feed. */
export async function startFeedServer(heartbeatMs = 200): Promise<FeedServer> {
  const log: Revocation[] = [];
  const open = new Set<ServerResponse>();
  let oldest = 0;
  let server: Server | undefined;
  let port = 0;
  let timer: NodeJS.Timeout | undefined;
  const latest = (): number => log.at(-1)?.seq ?? 0;

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://feed');
    feed.requests.push({ path: request.url ?? '', authorization: request.headers.authorization });
    if (url.pathname !== '/v1/revocations') {
      response.writeHead(404).end('{}');
      return;
    }
    const after = Number(url.searchParams.get('after') ?? -1);
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    if (after < oldest || after > latest()) {
      response.write(sse('snapshot', { seq: latest(), revocations: log } as { seq: number }));
    } else {
      for (const entry of log) if (entry.seq > after) response.write(sse('revocation', entry));
      response.write(sse('heartbeat', { seq: latest() }));
    }
    open.add(response);
    response.on('close', () => open.delete(response));
  }

  function add(kind: Revocation['kind'], value: string): Revocation {
    const entry = revocationOf(kind, value, latest() + 1);
    log.push(entry);
    return entry;
  }

  const feed: FeedServer & { url: string } = {
    url: '',
    requests: [],
    revoke(kind, value) {
      const text = sse('revocation', add(kind, value));
      for (const response of open) response.write(text);
    },
    revokeSilently: (kind, value) => void add(kind, value),
    connections: () => open.size,
    cut: () => server?.closeAllConnections(),
    forgetHistory: () => void (oldest = latest() + 1),
    async stop() {
      clearInterval(timer);
      server?.closeAllConnections();
      await new Promise<void>((done) => void server?.close(() => done()));
    },
    async start() {
      server = createServer(answer);
      await listen(server, port, '127.0.0.1', 'port');
      port = (server.address() as AddressInfo).port;
      feed.url = `http://127.0.0.1:${String(port)}`;
      timer = setInterval(() => {
        for (const response of open) response.write(sse('heartbeat', { seq: latest() }));
      }, heartbeatMs);
    },
  };
  add('subject', randomUUID());
  await feed.start();
  return feed;
}
