/** A whole streaming server: node-media-server and mediasoup with the gate in front. The plugin's composition root. */
import { lookup } from 'node:dns/promises';
import { createServer as createHttpServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createAdaptorServer } from '@hono/node-server';
import * as mediasoup from 'mediasoup';
import type { types } from 'mediasoup';
import type { Stage } from './adapters/mediasoup.ts';
import { guardNodeMediaServer } from './adapters/node-media-server.ts';
import { openRtsp } from './adapters/rtsp.ts';
import type { MediaConfig } from './config.ts';
import { Denial, problemResponse } from './errors.ts';
import type { Gate } from './gate.ts';
import { createPassDesk } from './http/pass.ts';
import { listen, requireFreePort, requireFreeUdpPort } from './listen.ts';
import { createLiveFeed } from './media/live.ts';
import { openGateFor } from './open-gate.ts';
import { openStage } from './open-stage.ts';
import { clientOf } from './peer.ts';
import type { Log } from './ports.ts';
import { playEndpoints } from './public-urls.ts';
import { hostOf, loadTls, tlsFiles, type TlsOptions } from './tls.ts';

export interface MediaServer {
  readonly url: string;
  readonly gate: Gate;
  readonly stage: Stage;
  /** Ends every session with a final receipt, delivers the receipts, closes every port: within about 1.5 s. */
  close(): Promise<void>;
}

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
  const files = tlsFiles(tlsOptions(config));
  const require = createRequire(import.meta.url);
  const NodeMediaServer = require('node-media-server') as new (settings: object) => Host;
  const logger = require('node-media-server/src/core/logger.js') as { level: string };
  Object.defineProperty(logger, 'level', { get: () => 'error', set: () => undefined });
  return new NodeMediaServer({
    bind: config.USHER_MEDIA_HOST,
    rtmp: { port: config.USHER_RTMP_PORT },
    http: { port: config.USHER_NMS_HTTP_PORT },
    ...(files === null
      ? {}
      : {
          rtmps: { port: config.USHER_RTMPS_PORT, ...files },
          https: { port: config.USHER_NMS_HTTPS_PORT, ...files },
        }),
    webadmin: { enable: false },
    record: { auto: false },
    store: { path: join(config.USHER_MEDIA_DATA, 'node-media-server') },
    auth: { play: false, publish: false },
  });
}

function tlsOptions(config: MediaConfig): TlsOptions {
  const { http, https, rtmp, rtmps } = config.playUrls;
  const { rtsp, rtsps } = config.rtspUrls;
  const urls = [config.publicUrl, http, https, rtmp, rtmps, rtsp, rtsps].filter((url) => url !== undefined);
  return {
    mode: config.USHER_TLS,
    certFile: config.USHER_TLS_CERT,
    keyFile: config.USHER_TLS_KEY,
    dataDir: config.USHER_MEDIA_DATA,
    hosts: [...new Set(urls.map(hostOf))],
  };
}

async function requireFreePorts(config: MediaConfig): Promise<void> {
  const { USHER_MEDIA_HOST: host } = config;
  // All of them before anything starts: what fails later would leave a worker process for a moment.
  await requireFreePort(config.USHER_MEDIA_PORT, host, 'USHER_MEDIA_PORT');
  await requireFreePort(config.USHER_RTMP_PORT, host, 'USHER_RTMP_PORT');
  await requireFreePort(config.USHER_NMS_HTTP_PORT, host, 'USHER_NMS_HTTP_PORT');
  await requireFreePort(config.USHER_RTSP_PORT, host, 'USHER_RTSP_PORT');
  if (config.USHER_TLS !== 'off') {
    await requireFreePort(config.USHER_RTMPS_PORT, host, 'USHER_RTMPS_PORT');
    await requireFreePort(config.USHER_NMS_HTTPS_PORT, host, 'USHER_NMS_HTTPS_PORT');
    await requireFreePort(config.USHER_RTSPS_PORT, host, 'USHER_RTSPS_PORT');
  }
  const { USHER_RTSP_UDP: rtspUdp, USHER_RTSP_UDP_PORT: rtspUdpPort } = config;
  if (rtspUdp === 'on' && rtspUdpPort !== 0) {
    const { address } = await lookup(host);
    for (const at of [rtspUdpPort, rtspUdpPort + 1])
      await requireFreeUdpPort(at, address, 'USHER_RTSP_UDP_PORT');
  }
  for (const { ip } of config.rtcAddresses) {
    for (let worker = 0; worker < config.USHER_WORKERS; worker++) {
      await requireFreePort(config.USHER_RTC_PORT + worker, ip, 'USHER_RTC_PORT');
      await requireFreeUdpPort(config.USHER_RTC_PORT + worker, ip, 'USHER_RTC_PORT');
    }
  }
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
  const [usher, tls] = await Promise.all([
    openGateFor(config, log, () => stage.stats().streams),
    loadTls(tlsOptions(config)),
    requireFreePorts(config),
  ]);
  const { gate, metrics, clock, publicUrl } = usher;
  const workers = await Promise.all(Array.from({ length: config.USHER_WORKERS }, startWorker));
  const stage = await openStage(usher, { workers, createWorker: startWorker });
  const host = createHost(config);
  const guard = guardNodeMediaServer(host, gate, {
    ...usher,
    onPublisher: (path) =>
      createLiveFeed({
        path,
        stage,
        clock,
        log,
        ffmpegPath: config.USHER_FFMPEG,
        reencode: config.USHER_REENCODE,
        maxReencodedBits: config.USHER_REENCODE_MAX_BITRATE,
      }),
  });
  await host.run();

  const { rtsp: rtspUrl, rtsps: rtspsUrl } = config.rtspUrls;
  const rtsp = await openRtsp({
    gate,
    stage,
    host: config.USHER_MEDIA_HOST,
    rtsp: { port: config.USHER_RTSP_PORT, publicUrl: rtspUrl },
    rtsps:
      tls === null || rtspsUrl === undefined
        ? undefined
        : { port: config.USHER_RTSPS_PORT, publicUrl: rtspsUrl, ...tls },
    udpPort: config.USHER_RTSP_UDP === 'on' ? config.USHER_RTSP_UDP_PORT : undefined,
    clock,
    log,
    signReceipts: usher.signReceipts,
  });
  const endpoints = (uri: string) => ({
    ...playEndpoints(config.playUrls, uri),
    rtsp: `${rtspsUrl ?? rtspUrl}${uri}`,
  });
  const passDesk = createPassDesk({ gate, publicUrl, endpoints, log });
  const passPath = `${publicUrl.pathname.replace(/\/$/, '')}/pass`;
  const server = createAdaptorServer({
    fetch: (request, env) => {
      const { incoming } = env as { incoming: IncomingMessage };
      return route(request, clientOf(incoming, config.USHER_TRUSTED_PROXIES));
    },
    ...(tls === null ? { createServer: createHttpServer } : { createServer: createHttpsServer }),
    serverOptions: {
      headersTimeout: HEADERS_WITHIN_MS,
      requestTimeout: REQUEST_WITHIN_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      ...tls,
    },
  }) as Server;

  async function route(request: Request, client: ReturnType<typeof clientOf>): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === '/healthz') return new Response('ok\n');
    if (pathname === '/readyz') {
      return stage.stats().workers === 0 ? problemResponse(new Denial('overloaded')) : new Response('ok\n');
    }
    if (pathname === '/metrics') return metrics.response();
    if (pathname === passPath) return passDesk.fetch(request, client);
    return stage.fetch(request, client);
  }

  await listen(server, config.USHER_MEDIA_PORT, config.USHER_MEDIA_HOST, 'USHER_MEDIA_PORT');
  log.info({ url: config.publicUrl, server: config.USHER_SERVER_ID }, 'media server ready');

  let closing: Promise<void> | undefined;
  async function shutDown(): Promise<void> {
    server.close();
    await gate.close('server_stopped');
    guard.close();
    rtsp.close();
    stage.close();
    for (const worker of workers) worker.close();
    await Promise.all([usher.close(), host.stop()]);
    server.closeAllConnections();
  }

  return {
    url: config.publicUrl,
    gate,
    stage,
    close: () => (closing ??= shutDown()),
  };
}
