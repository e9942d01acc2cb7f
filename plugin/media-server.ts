/** A whole streaming server: node-media-server and mediasoup with the gate in front. The plugin's composition root. */
import { randomBytes } from 'node:crypto';
import { createServer as createHttpServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createAdaptorServer } from '@hono/node-server';
import * as mediasoup from 'mediasoup';
import type { types } from 'mediasoup';
import { createStage, type Stage } from './adapters/mediasoup.ts';
import { guardNodeMediaServer } from './adapters/node-media-server.ts';
import { createWhep } from './adapters/whep.ts';
import { systemClock as clock } from './clock.ts';
import type { MediaConfig } from './config.ts';
import { Denial, problemResponse } from './errors.ts';
import { createGate, type Gate } from './gate.ts';
import { listen, requireFreePort } from './listen.ts';
import { createLiveFeed } from './media/live.ts';
import { createMediaMetrics } from './metrics.ts';
import { createOrderServer } from './order-server.ts';
import { peerAddress } from './peer.ts';
import type { Log } from './ports.ts';
import { createOutbox } from './receipts/outbox.ts';
import { createReports } from './reports.ts';
import { createRevocationFeed } from './revocations/feed.ts';
import { loadOrCreateServerKeys } from './server-keys.ts';
import { createNonces, createReplayMemory, openSharedReplay } from './ticket/index.ts';
import { hostOf, loadTls } from './tls.ts';
import { mediaKeyVault, trustOrderServer } from './trusted-order-server.ts';

export interface MediaServer {
  readonly url: string;
  readonly gate: Gate;
  readonly stage: Stage;
  /** Resolves when mediasoup's worker has died: no more media, the process should be started anew. */
  readonly died: Promise<void>;
  /** Ends every session with a final receipt, delivers the receipts, closes every port: within about 1.5 s. */
  close(): Promise<void>;
}

const LAST_RECEIPTS_WITHIN_MS = 1000;
/** Slow requests: the whole header, and the whole request, must have come within these. */
const HEADERS_WITHIN_MS = 10_000;
const REQUEST_WITHIN_MS = 15_000;
const MAX_HEADER_BYTES = 16 * 1024;

interface Host {
  run(): Promise<void>;
  stop(): Promise<void>;
}

/** node-media-server: CommonJS, no types, and its logger's level is set to "debug" by its constructor. */
function createHost(config: MediaConfig): Host {
  const require = createRequire(import.meta.url);
  const NodeMediaServer = require('node-media-server') as new (settings: object) => Host;
  const logger = require('node-media-server/src/core/logger.js') as { level: string };
  Object.defineProperty(logger, 'level', { get: () => 'error', set: () => undefined });
  return new NodeMediaServer({
    bind: config.USHER_MEDIA_HOST,
    rtmp: { port: config.USHER_RTMP_PORT },
    http: { port: config.USHER_NMS_HTTP_PORT },
    webadmin: { enable: false },
    record: { auto: false },
    store: { path: join(config.USHER_MEDIA_DATA, 'node-media-server') },
    auth: { play: false, publish: false },
  });
}

async function requireFreePorts(config: MediaConfig): Promise<void> {
  const { USHER_MEDIA_HOST: host, USHER_RTC_IP: rtcIp } = config;
  // All of them before anything starts: what fails later would leave a worker process for a moment.
  await requireFreePort(config.USHER_MEDIA_PORT, host, 'USHER_MEDIA_PORT');
  await requireFreePort(config.USHER_RTMP_PORT, host, 'USHER_RTMP_PORT');
  await requireFreePort(config.USHER_NMS_HTTP_PORT, host, 'USHER_NMS_HTTP_PORT');
  await requireFreePort(config.USHER_RTC_PORT, rtcIp, 'USHER_RTC_PORT');
}

function warnAboutWorker(config: MediaConfig, log: Log): void {
  if (config.USHER_WORKER_ORIGIN !== 'prebuilt') return;
  log.warn(
    {},
    "mediasoup's prebuilt worker draws ICE passwords from a generator that can be predicted; for production run `npm run worker:build`",
  );
}

async function startWorker(): Promise<types.Worker> {
  try {
    return await mediasoup.createWorker({ logLevel: 'warn' });
  } catch (cause) {
    throw new Error(
      "mediasoup's worker does not start; name one in MEDIASOUP_WORKER_BIN, or build it: npm run worker:build",
      { cause },
    );
  }
}

/**
 * Starts the media server.
 * @throws Error with one clear line, when a port is taken, a file cannot be read or the worker does not start
 */
export async function startMediaServer(config: MediaConfig, log: Log): Promise<MediaServer> {
  warnAboutWorker(config, log);
  const [serverKeys, tls] = await Promise.all([
    loadOrCreateServerKeys(
      config.USHER_MEDIA_DATA,
      config.USHER_SERVER_ID,
      config.publicUrl,
      mediaKeyVault(config),
    ),
    loadTls({
      mode: config.USHER_TLS,
      certFile: config.USHER_TLS_CERT,
      keyFile: config.USHER_TLS_KEY,
      dataDir: config.USHER_MEDIA_DATA,
      hosts: [hostOf(config.publicUrl)],
    }),
    requireFreePorts(config),
  ]);

  const keys = await trustOrderServer({ config, serverKeys, clock, log });
  const orderServer = createOrderServer({
    url: config.USHER_ORDER_SERVER_URL,
    serverId: config.USHER_SERVER_ID,
    signingKey: () => serverKeys.signing,
    clock,
  });
  const outbox = createOutbox({ delivery: orderServer, log });
  const worker = await startWorker();
  const death = Promise.withResolvers<undefined>();
  const stage = await createStage({
    workers: [worker],
    onWorkerDied: () => death.resolve(undefined),
    listen: {
      ip: config.USHER_RTC_IP,
      port: config.USHER_RTC_PORT,
      ...(config.USHER_RTC_ANNOUNCED_ADDRESS === undefined
        ? {}
        : { announcedAddress: config.USHER_RTC_ANNOUNCED_ADDRESS }),
    },
    clock,
    log,
  });
  const shared =
    config.USHER_REPLAY_MEMORY === 'shared'
      ? openSharedReplay({ directory: join(config.USHER_MEDIA_DATA, 'replay'), clock })
      : null;
  const revocations = createRevocationFeed({ source: orderServer, clock, log });
  const metrics = createMediaMetrics({
    sessions: () => gate.sessions().length,
    liveStreams: () => stage.stats().streams,
    receiptsWaiting: () => outbox.waiting(),
    revocationFeed: () => revocations.stats(),
  });
  const gate = createGate({
    serverId: config.USHER_SERVER_ID,
    keys,
    unsealKeys: serverKeys.unsealKeys,
    // Fresh with each start, as a process' own replay memory is: what was used before cannot be used after it.
    nonces: createNonces({ secret: shared?.secret ?? randomBytes(32), clock }),
    replay: shared?.replay ?? createReplayMemory({ clock }),
    redemptions: orderServer,
    revocations,
    reports: createReports({ send: orderServer.reportReplay, clock, log }),
    streamKeys: orderServer,
    sink: outbox,
    clock,
    log,
    observe: metrics.observe,
  });

  const host = createHost(config);
  const guard = guardNodeMediaServer(host, gate, {
    log,
    onPublisher: (path) => createLiveFeed({ path, stage, clock, log, ffmpegPath: config.USHER_FFMPEG }),
  });
  await host.run();

  const whep = createWhep({ gate, stage, publicUrl: new URL(config.publicUrl), log, clock });
  const server = createAdaptorServer({
    fetch: (request, env) => {
      const { incoming } = env as { incoming: IncomingMessage };
      const forwardedFor = request.headers.get('x-forwarded-for');
      const peer = peerAddress(incoming.socket.remoteAddress, forwardedFor, config.USHER_TRUSTED_PROXIES);
      return route(request, peer);
    },
    ...(tls === null ? { createServer: createHttpServer } : { createServer: createHttpsServer }),
    serverOptions: {
      headersTimeout: HEADERS_WITHIN_MS,
      requestTimeout: REQUEST_WITHIN_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      ...tls,
    },
  }) as Server;

  async function route(request: Request, peer: string): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === '/healthz') return new Response('ok\n');
    if (pathname === '/readyz') {
      return worker.closed ? problemResponse(new Denial('overloaded')) : new Response('ok\n');
    }
    if (pathname === '/metrics') return metrics.response();
    return whep.fetch(request, { peer });
  }

  await listen(server, config.USHER_MEDIA_PORT, config.USHER_MEDIA_HOST, 'USHER_MEDIA_PORT');
  log.info({ url: config.publicUrl, server: config.USHER_SERVER_ID }, 'media server ready');

  const unwatchKeys = serverKeys.watch(log);
  let closing: Promise<void> | undefined;
  async function shutDown(): Promise<void> {
    server.close();
    unwatchKeys();
    revocations.close();
    await gate.close('server_stopped');
    guard.close();
    stage.close();
    worker.close();
    shared?.close();
    const [lost] = await Promise.all([outbox.close(LAST_RECEIPTS_WITHIN_MS), host.stop()]);
    if (lost > 0) log.error({ receipts: lost }, 'receipts could not be delivered before the end');
    server.closeAllConnections();
  }

  return {
    url: config.publicUrl,
    gate,
    stage,
    died: death.promise,
    close: () => (closing ??= shutDown()),
  };
}
