/**
 * node-media-server with the gate in front, on every protocol that it speaks: RTMP(S), FLV over HTTP(S) and HTTP/2, and
 * over WebSocket. Media goes to and comes from whom the gate has admitted, and to nobody else. Its files and prototypes
 * are left as they are.
 */
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { systemClock } from '../clock.ts';
import type { StreamStatus } from '../contract.ts';
import type { Gate } from '../gate.ts';
import type { CorsOrigins } from '../http/cors.ts';
import type { Clock, Log } from '../ports.ts';
import { isBaseUrl, playEndpoints, type PublicUrls } from '../public-urls.ts';
import { createBoxOffice } from './node-media-server/box-office.ts';
import { createFlvDesk } from './node-media-server/flv-desk.ts';
import { openHost, type HostContext, type HostSession } from './node-media-server/host.ts';
import { guardHttp } from './node-media-server/http-gate.ts';
import { flvFormat } from './node-media-server/media-kind.ts';
import { guardRtmpConnection } from './node-media-server/rtmp-gate.ts';
import { guardRtmpServer } from './node-media-server/rtmp-servers.ts';
import { watchConnections } from './node-media-server/sockets.ts';
import { createStreams, type PublisherTap, type Streams } from './node-media-server/streams.ts';

export type { PublicUrls } from '../public-urls.ts';
export { TESTED_VERSIONS } from './node-media-server/host.ts';
export type { PublisherTap } from './node-media-server/streams.ts';

/** The gate as this adapter sees it. */
export type NodeMediaServerGate = Pick<Gate, 'admit' | 'mintPass' | 'authorizePublish' | 'nonce'>;

export interface NodeMediaServerGuardOptions {
  readonly log: Log;
  readonly clock?: Clock;
  /** Default: the host's ports on `localhost`. */
  readonly publicUrls?: PublicUrls;
  /** Reverse proxies in front of the HTTP listeners that set X-Forwarded-For and X-Forwarded-Proto. Default 0. */
  readonly trustedProxies?: number;
  /** Pages that may play; default `*`: tickets and passes are no cookies. */
  readonly corsOrigins?: CorsOrigins;
  /** Called for each stream that goes on air; the tap gets its FLV tags until it is closed. */
  readonly onPublisher?: (path: string) => PublisherTap;
  /** Is given what is on the air, and told of each change: the order server and the metrics want to know. */
  readonly reportStreams?: (read: () => readonly StreamStatus[]) => { changed(): void };
  /** Prometheus' text format, served as `GET /metrics` of the HTTP listeners to this machine only. */
  readonly metrics?: { response(): Promise<Response> };
  /** Seconds that a stream waits for its publisher's return. Default 30. */
  readonly graceSeconds?: number;
  /** Seconds from connecting to a whole request. Default 10. */
  readonly askWithinSeconds?: number;
  /** Seconds of silence after which a publisher has gone. Default 10. */
  readonly idleSeconds?: number;
  /** Seconds without taking anything after which a viewer is ended with `viewer_stalled`. Default 10. */
  readonly stalledAfterSeconds?: number;
  /** Connections that have asked for nothing yet, at most. Default 256. */
  readonly maxWaitingConnections?: number;
  /**
   * Leaves `/admin` and `/api/v1` to node-media-server. Default true: its API has tokens of its own (and is there only
   * with `auth.jwt`). Whoever holds one can pull in streams and download recordings past the gate.
   */
  readonly nmsAdminApi?: boolean;
  /** Goes on with a version outside `TESTED_VERSIONS`. Default false. */
  readonly allowUntestedVersion?: boolean;
}

export interface NodeMediaServerGuard {
  /** What is on the air, who watches it, and how its publisher is doing. */
  streams(): StreamStatus[];
  /** Ends the connections and the taps, and gives the listeners back. Idempotent. */
  close(): void;
}

interface HttpTimeouts {
  requestTimeout: number;
}

function defaultUrls({ http, https, rtmp, rtmps }: HostContext['config']): PublicUrls {
  const url = (scheme: string, listener: { readonly port?: number } | undefined): string | undefined =>
    listener?.port === undefined ? undefined : `${scheme}://localhost:${String(listener.port)}`;
  return {
    http: url('http', http),
    https: url('https', https),
    rtmp: url('rtmp', rtmp),
    rtmps: url('rtmps', rtmps),
  };
}

/** @throws TypeError for what is not the base of a listener */
function parseBase(name: string, base: string): URL {
  if (!isBaseUrl(base)) {
    throw new TypeError(`publicUrls.${name} is not a URL with a plain path and without a query`);
  }
  return new URL(base);
}

/**
 * Publishers that the host makes itself, when it pulls a stream (relay): they are the operator's, and get their place on
 * the air as those do that came through the gate.
 */
function adoptRelays(context: HostContext, streams: Streams): () => void {
  const claims = new Map<string, ReturnType<Streams['claim']>>();
  function onPublish(session: HostSession): void {
    // At this moment a second publisher of a stream has not been refused yet.
    queueMicrotask(() => {
      const broadcast = context.broadcasts.get(session.streamPath);
      if (broadcast?.publisher !== session || !streams.isFree(session.streamPath)) return;
      const claim = streams.claim(session.streamPath);
      claims.set(session.streamPath, claim);
      claim.listen(broadcast, flvFormat.timeOf);
    });
  }
  function onDone({ streamPath }: HostSession): void {
    claims.get(streamPath)?.leave();
    claims.delete(streamPath);
  }
  context.eventEmitter.on('postPublish', onPublish).on('donePublish', onDone);
  return () => void context.eventEmitter.off('postPublish', onPublish).off('donePublish', onDone);
}

/**
 * Puts the gate in front of a node-media-server. To be called after its constructor and before its `run()`.
 * @throws Error for a version that was not tested, another copy of the package, or `auth.publish` or `auth.play`
 *   switched on; TypeError for `publicUrls` that are none
 */
export function guardNodeMediaServer(
  nms: object,
  gate: NodeMediaServerGate,
  options: NodeMediaServerGuardOptions,
): NodeMediaServerGuard {
  const { log, clock = systemClock, trustedProxies = 0, corsOrigins = '*' } = options;
  const host = openHost(nms, options.allowUntestedVersion ?? false);
  const { context, servers } = host;
  const { httpServer, httpsServer } = servers.httpServer;
  const { tcpServer, tlsServer } = servers.rtmpServer;
  const urls: PublicUrls = { ...defaultUrls(context.config), ...options.publicUrls };
  const publisherIdleMs = (options.idleSeconds ?? 10) * 1000;
  const streams = createStreams({
    onPublisher: options.onPublisher,
    graceMs: (options.graceSeconds ?? 30) * 1000,
    onChange: () => report?.changed(),
    clock,
    log,
  });
  const report = options.reportStreams?.(() => streams.statuses());
  const stalledAfterMs =
    options.stalledAfterSeconds === undefined ? undefined : options.stalledAfterSeconds * 1000;
  const boxOffice = createBoxOffice({ host, gate, streams, stalledAfterMs, clock });
  const desk = createFlvDesk({ host, gate, boxOffice, streams, publisherIdleMs, log });
  const connections = watchConnections(
    {
      maxWaiting: options.maxWaitingConnections ?? 256,
      askWithinMs: (options.askWithinSeconds ?? 10) * 1000,
    },
    log,
  );
  const { reset, settle } = connections;
  const endpoints = (uri: string): ReturnType<typeof playEndpoints> => playEndpoints(urls, uri);
  const undo = [adoptRelays(context, streams)];

  function guardConnection(socket: Socket, session: Parameters<typeof guardRtmpConnection>[1]): void {
    const onSettled = (): void => settle(socket);
    const rtmpOptions = { context, gate, boxOffice, streams, idleMs: publisherIdleMs, log, reset, onSettled };
    guardRtmpConnection(socket, session, rtmpOptions);
  }

  function takeRtmp(server: EventEmitter | undefined, event: 'connection' | 'secureConnection'): void {
    if (server === undefined) return;
    undo.push(guardRtmpServer(server, event, { host, log, guardConnection }));
    connections.watch(server);
  }

  function takeHttp(server: EventEmitter | undefined, name: 'http' | 'https'): void {
    if (server === undefined) return;
    const publicUrl = parseBase(name, urls[name] ?? `${name}://localhost`);
    const { metrics } = options;
    const nmsAdminApi = options.nmsAdminApi ?? true;
    const common = { desk, gate, log, reset, trustedProxies, corsOrigins, metrics, nmsAdminApi };
    undo.push(
      guardHttp(server, { ...common, publicUrl, endpoints, onAsked: settle }),
      relaxTimeouts(server as EventEmitter & HttpTimeouts),
    );
    connections.watch(server);
  }

  takeRtmp(tcpServer, 'connection');
  takeRtmp(tlsServer, 'secureConnection');
  takeHttp(httpServer, 'http');
  takeHttp(httpsServer, 'https');
  log.info({ version: host.version, ...urls }, 'node-media-server is guarded');

  let closed = false;
  return {
    streams: () => streams.statuses(),
    close() {
      if (closed) return;
      closed = true;
      for (const restore of undo) restore();
      streams.closeAll();
      connections.close();
    },
  };
}

/** A publisher's POST never ends, which node:http would take for a request that comes too slowly (5 minutes). */
function relaxTimeouts(server: EventEmitter & HttpTimeouts): () => void {
  const { requestTimeout } = server;
  server.requestTimeout = 0;
  return () => void (server.requestTimeout = requestTimeout);
}
