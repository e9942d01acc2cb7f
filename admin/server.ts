/** The order server, put together: database, keys, routes, sockets. */
import { createAdaptorServer } from '@hono/node-server';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { systemClock } from '../plugin/clock.ts';
import { listen } from '../plugin/listen.ts';
import type { Clock, Log } from '../plugin/ports.ts';
import { createRefusalDelay } from '../plugin/refusal-delay.ts';
import { hostOf, loadTls } from '../plugin/tls.ts';
import { pruneSessions } from './accounts/sessions.ts';
import type { Config } from './config.ts';
import type { Services } from './context.ts';
import { openDatabase, type Database } from './db/connect.ts';
import { createApp } from './http/app.ts';
import { errorFields } from './http/error-fields.ts';
import { createMetrics } from './http/metrics.ts';
import { createRevocationsEndpoint } from './http/revocations.ts';
import { createThrottle } from './http/throttle.ts';
import { createRevocationFeed } from './revocations/feed.ts';
import { createMessageReader, pruneMessages } from './trust/messages.ts';
import { keyVaultOf, loadAuthority } from './trust/signing-keys.ts';

export interface OrderServer {
  /** Where it listens. */
  readonly url: string;
  readonly db: Database;
  /** Finishes running requests (for 1 s at most), then closes the database. Idempotent. */
  close(): Promise<void>;
}

/** Slow requests: the whole header, and the whole request, must have come within these. */
const HEADERS_WITHIN_MS = 10_000;
const REQUEST_WITHIN_MS = 15_000;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_CONNECTIONS = 1000;
const CLOSE_WITHIN_MS = 1000;
const PRUNE_EVERY_MS = 60_000;
/** Another process may have rotated the signing keys. */
const REFRESH_KEYS_EVERY_MS = 10_000;

const SERVER_OPTIONS = {
  headersTimeout: HEADERS_WITHIN_MS,
  requestTimeout: REQUEST_WITHIN_MS,
  /** Streaming servers keep their connection: an admission should not wait for a handshake. */
  keepAliveTimeout: 30_000,
  connectionsCheckingInterval: 1000,
  maxHeaderSize: MAX_HEADER_BYTES,
};

function servicesOf(config: Config, db: Database, log: Log, clock: Clock): Omit<Services, 'authority'> {
  const nowMs = () => clock.monotonicMs();
  return {
    db,
    clock,
    log,
    messages: createMessageReader(db, config.publicUrl, clock),
    metrics: createMetrics(),
    demo: config.demo,
    secureCookies: config.publicUrl.startsWith('https:'),
    feed: createRevocationFeed(db, clock, {
      failed: (error) => {
        log.error(errorFields(error), 'the revocation feed cannot be read');
      },
      recovered: () => {
        log.info({}, 'the revocation feed can be read again');
      },
    }),
    delayRefusal: createRefusalDelay(),
    throttles: {
      requests: createThrottle({ burst: 1000, refillSeconds: 0.02 }, nowMs),
      accountRequests: createThrottle({ burst: 600, refillSeconds: 0.05 }, nowMs),
      logins: createThrottle({ burst: 60, refillSeconds: 2 }, nowMs),
      login: createThrottle({ burst: 10, refillSeconds: 30 }, nowMs),
      // Wide: who knows an address could else keep its owner out.
      loginTarget: createThrottle({ burst: 50, refillSeconds: 5 }, nowMs),
      orders: createThrottle({ burst: 400, refillSeconds: 1 }, nowMs),
      reports: createThrottle({ burst: 60, refillSeconds: 1 }, nowMs),
      anonymousOrders: createThrottle({ burst: 60, refillSeconds: 2 }, nowMs),
      enrolments: createThrottle({ burst: 10, refillSeconds: 30 }, nowMs),
    },
  };
}

/**
 * Starts the order server.
 * @throws Error when the port is taken, or the database can't be opened.
 */
export async function createOrderServer(
  config: Config,
  log: Log,
  clock: Clock = systemClock,
): Promise<OrderServer> {
  const dataDirectory = resolve(config.dataDir);
  const tls = await loadTls({
    mode: config.tls,
    certFile: config.tlsCertFile,
    keyFile: config.tlsKeyFile,
    dataDir: dataDirectory,
    hosts: [hostOf(config.publicUrl)],
  });
  const database = await openDatabase(
    config.databaseUrl === undefined
      ? { kind: 'pglite', dataDirectory }
      : { kind: 'postgres', url: config.databaseUrl },
  );
  try {
    const base = servicesOf(config, database.db, log, clock);
    const authority = await loadAuthority(database.db, {
      issuer: config.publicUrl,
      clock,
      vault: keyVaultOf(config),
      demo: config.demo,
      log,
    });
    const services = { ...base, authority };
    const revocations = createRevocationsEndpoint(services);
    const app = createApp(services, { ...config, revocations });
    const server = createAdaptorServer({
      fetch: app.fetch,
      ...(tls === null
        ? { createServer: createHttpServer, serverOptions: SERVER_OPTIONS }
        : { createServer: createHttpsServer, serverOptions: { ...SERVER_OPTIONS, ...tls } }),
    }) as Server;
    server.maxConnections = MAX_CONNECTIONS;
    await listen(server, config.port, config.host, 'USHER_PORT');
    const pruning = setInterval(() => {
      const nowMs = clock.nowMs();
      Promise.all([pruneSessions(database.db, new Date(nowMs)), pruneMessages(database.db, nowMs)]).catch(
        (error: unknown) => {
          log.warn(errorFields(error), 'what has expired was not removed');
        },
      );
    }, PRUNE_EVERY_MS);
    const refreshing = setInterval(() => void authority.refresh(), REFRESH_KEYS_EVERY_MS);
    const { port } = server.address() as AddressInfo;
    const host = config.host.includes(':') ? `[${config.host}]` : config.host;
    let closing: Promise<void> | undefined;
    return {
      url: `${tls === null ? 'http' : 'https'}://${host}:${port}`,
      db: database.db,
      close: () => {
        clearInterval(refreshing);
        // Answers without an end of their own.
        base.feed.close();
        revocations.close();
        return (closing ??= closeAll(server, pruning, () => database.close()));
      },
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function closeAll(
  server: Server,
  pruning: NodeJS.Timeout,
  closeDatabase: () => Promise<void>,
): Promise<void> {
  clearInterval(pruning);
  const closed = new Promise((done) => server.close(done));
  server.closeIdleConnections();
  const timer = setTimeout(() => {
    server.closeAllConnections();
  }, CLOSE_WITHIN_MS);
  await closed;
  clearTimeout(timer);
  await closeDatabase();
}
