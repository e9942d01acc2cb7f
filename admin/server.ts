/** The order server, put together: database, keys, routes, sockets. */
import { createAdaptorServer } from '@hono/node-server';
import { randomBytes } from 'node:crypto';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { systemClock } from '../plugin/clock.ts';
import { listen } from '../plugin/listen.ts';
import type { Clock, Log } from '../plugin/ports.ts';
import { createRefusalDelay } from '../plugin/refusal-delay.ts';
import { hostOf, loadTls } from '../plugin/tls.ts';
import { prunePasswordResets } from './accounts/credentials.ts';
import { pruneSessions } from './accounts/sessions.ts';
import type { Config } from './config.ts';
import type { Services } from './context.ts';
import { openDatabase, type Database } from './db/connect.ts';
import { createSeats } from './events/follow.ts';
import { createEventPort } from './events/port.ts';
import { createApp } from './http/app.ts';
import { errorFields } from './http/error-fields.ts';
import { createMetrics } from './http/metrics.ts';
import { createRevocationsEndpoint } from './http/revocations.ts';
import { createThrottle } from './http/throttle.ts';
import { createOutbox } from './mail/outbox.ts';
import { openMailTransport } from './mail/transport.ts';
import { createOrderDesk, type OrderDesk } from './orders/desk.ts';
import { startSweeper } from './orders/sweeper.ts';
import { createTestCardProvider } from './payments/test-card.ts';
import { watchSilence } from './receipts/silence-watch.ts';
import { createRevocationFeed } from './revocations/feed.ts';
import { prunePreviews } from './pricing/previews.ts';
import { createMessageReader, pruneMessages } from './trust/messages.ts';
import { keyVaultOf, loadAuthority } from './trust/signing-keys.ts';

export interface OrderServer {
  /** Where it listens. */
  readonly url: string;
  readonly db: Database;
  /**
   * Says at /readyz that it ends, waits for as long as the settings say, finishes running requests (for 1 s at most), and
   * closes the database. Idempotent.
   */
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

function servicesOf(
  config: Config,
  { db, ...ends }: Pick<Services, 'db' | 'events' | 'draining' | 'closing'>,
  log: Log,
  clock: Clock,
): Omit<Services, 'authority' | 'desk'> {
  const nowMs = () => clock.monotonicMs();
  const seats = createSeats();
  return {
    db,
    clock,
    log,
    messages: createMessageReader(db, config.publicUrl, clock),
    ...ends,
    seats,
    metrics: createMetrics(() => seats.taken()),
    publicUrl: config.publicUrl,
    outbox: createOutbox(
      openMailTransport({
        smtpUrl: config.smtpUrl,
        from: config.mailFrom,
        directory: join(config.dataDir, 'mail'),
      }),
      log,
    ),
    countryHeader: config.countryHeader ?? null,
    demo: config.demo,
    testCards: config.demo || config.testCardSecret !== undefined,
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
      resets: createThrottle({ burst: 3, refillSeconds: 20 * 60 }, nowMs),
      orders: createThrottle({ burst: 400, refillSeconds: 1 }, nowMs),
      // Each is kept by every streaming server until the ticket would have expired.
      ownRevocations: createThrottle({ burst: 20, refillSeconds: 300 }, nowMs),
      // Promotion codes are words: as many as people mistype, and not a dictionary.
      codes: createThrottle({ burst: 20, refillSeconds: 30 }, nowMs),
      reports: createThrottle({ burst: 60, refillSeconds: 1 }, nowMs),
      anonymousOrders: createThrottle({ burst: 60, refillSeconds: 2 }, nowMs),
      enrolments: createThrottle({ burst: 10, refillSeconds: 30 }, nowMs),
    },
  };
}

/** The order desk, with the payment providers that the settings name. */
function openDesk(
  config: Config,
  { db, authority, clock, log, events }: Pick<Services, 'db' | 'authority' | 'clock' | 'log' | 'events'>,
): OrderDesk {
  // The demo's webhooks come from this process alone.
  const secret = config.testCardSecret ?? (config.demo ? randomBytes(32).toString('base64url') : undefined);
  const test_card =
    secret === undefined
      ? undefined
      : createTestCardProvider({
          secret,
          clock,
          deliver: (signature, body) => desk.takeWebhook('test_card', signature, body),
        });
  const desk = createOrderDesk({
    db,
    authority,
    clock,
    log,
    failed: (error, fields, message) => {
      log.error({ ...errorFields(error), ...fields }, message);
    },
    providers: test_card === undefined ? {} : { test_card },
    charged: (id) => {
      events.publish([{ kind: 'charge', id }]);
    },
  });
  return desk;
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
    const [draining, closing] = [new AbortController(), new AbortController()];
    const events = await createEventPort(database.channel, log);
    const base = servicesOf(
      config,
      { db: database.db, events, draining: draining.signal, closing: closing.signal },
      log,
      clock,
    );
    if (config.smtpUrl === undefined && !config.demo) {
      log.warn({}, 'USHER_SMTP_URL is not set: mail is written into files under USHER_DATA/mail');
    }
    const authority = await loadAuthority(database.db, {
      issuer: config.publicUrl,
      clock,
      vault: keyVaultOf(config),
      demo: config.demo,
      log,
    });
    const desk = openDesk(config, { db: database.db, authority, clock, log, events });
    const services = { ...base, authority, desk };
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
      const now = new Date(nowMs);
      Promise.all([
        pruneSessions(database.db, now),
        prunePasswordResets(database.db, now),
        pruneMessages(database.db, nowMs),
        prunePreviews(database.db, nowMs),
      ]).catch((error: unknown) => {
        log.warn(errorFields(error), 'what has expired was not removed');
      });
    }, PRUNE_EVERY_MS);
    const sweeper = startSweeper(desk, (error) => {
      log.error(errorFields(error), 'orders that are due cannot be read');
    });
    const silence = watchSilence(services);
    const refreshing = setInterval(() => void authority.refresh(), REFRESH_KEYS_EVERY_MS);
    const { port } = server.address() as AddressInfo;
    const host = config.host.includes(':') ? `[${config.host}]` : config.host;
    const shutDown = async (): Promise<void> => {
      draining.abort();
      // Load balancers look at /readyz every few seconds, and go on sending until they have seen it.
      if (config.drainSeconds > 0) await setTimeout(config.drainSeconds * 1000);
      clearInterval(pruning);
      clearInterval(refreshing);
      await Promise.all([sweeper.stop(), silence.stop()]);
      // Answers without an end of their own.
      closing.abort();
      base.feed.close();
      revocations.close();
      await finishRequests(server);
      await desk.close();
      // What is being mailed reads the database.
      await base.outbox.close();
      await database.close();
    };
    let closed: Promise<void> | undefined;
    return {
      url: `${tls === null ? 'http' : 'https'}://${host}:${port}`,
      db: database.db,
      close: () => (closed ??= shutDown()),
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** Takes no more connections, and lets the requests that run finish, for 1 s at most. */
async function finishRequests(server: Server): Promise<void> {
  const finished = new Promise((done) => server.close(done));
  server.closeIdleConnections();
  const giveUp = new AbortController();
  setTimeout(CLOSE_WITHIN_MS, undefined, { signal: giveUp.signal, ref: false }).then(
    () => {
      server.closeAllConnections();
    },
    () => undefined,
  );
  await finished;
  giveUp.abort();
}
