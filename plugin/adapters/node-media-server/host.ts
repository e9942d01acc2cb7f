/** What we touch of node-media-server 4, which brings no types; read from its source, checked when the guard starts. */
import type { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';

/** A parsed media message. */
export interface HostPacket {
  /** Milliseconds modulo 2^32. The host adds an offset of its own, one per track, when a publisher resumes. */
  readonly dts: number;
  readonly size: number;
  readonly data: Buffer;
  /** Type of the RTMP message or FLV tag. */
  readonly codec_type: number;
  /** 0 and 2 configuration of audio and video, 1 sound, 3 a keyframe, 4 another picture. */
  flags: number;
}

/** What `publish` and `play` name; whatever the peer sent, unchecked. */
export interface HostConnectRequest {
  readonly app: unknown;
  readonly name: unknown;
  readonly host?: unknown;
  readonly query: Readonly<Record<string, unknown>>;
}

/** The RTMP parser of one connection. All of these are properties of the instance or methods that it calls on itself. */
export interface HostRtmp {
  streamId?: number;
  streamQuery?: object;
  inPackets: Map<number, unknown>;
  parserPacket: { readonly header: { readonly length: number } };
  onConnectCallback: (request: HostConnectRequest) => void;
  onPushCallback: () => void;
  onPlayCallback: () => void;
  onPacketCallback: (packet: HostPacket) => void;
  respondPublish: () => void;
  respondPlay: () => void;
  /** Makes room for the message that starts. */
  packetAlloc: () => void;
  sendStatusMessage: (streamId: number, level: string, code: string, description: string) => void;
}

/** The FLV parser of one publisher over HTTP or WebSocket. */
export interface HostFlv {
  onPacketCallback: (packet: HostPacket) => void;
  /** Makes room for the tag that starts. */
  parserTagAlloc: (sizeBytes: number) => void;
  /** Answers what is wrong, or `null`. */
  parserData(chunk: Buffer): string | null;
}

export interface HostSubscriber {
  readonly id: string;
  /** Empty: the host counts it among its own, not as a player. */
  readonly ip: string;
  readonly protocol: string;
  sendBuffer: (tag: Buffer) => void;
  close: () => void;
}

export interface HostBroadcast {
  readonly publisher: unknown;
  readonly subscribers: Map<string, HostSubscriber>;
  readonly flvGopCache: Set<Buffer> | null;
  readonly rtmpGopCache: Set<Buffer> | null;
  /** Since 4.3, which gives publishers half a minute to come back. */
  getPublishStatus?(): 'publishing' | 'reconnecting' | 'idle';
  /** Sends what is cached and subscribes; answers why not, or `null` or nothing. */
  postPlay(session: HostSession): string | null | undefined;
  donePlay(session: HostSession): void;
  postPublish(session: HostSession): string | null;
  donePublish(session: HostSession): void;
  broadcastMessage(packet: HostPacket): void;
}

/** What the host knows of a connection; its admin API, webhooks and history read these. */
export interface HostSession extends HostSubscriber {
  ip: string;
  protocol: string;
  isPublisher: boolean;
  streamHost: string;
  streamApp: string;
  streamName: string;
  streamPath: string;
  streamQuery: Readonly<Record<string, unknown>>;
  inBytes: number;
  outBytes: number;
}

export interface HostRtmpSession extends HostSession {
  readonly socket: Socket;
  readonly rtmp: HostRtmp;
  readonly broadcast: HostBroadcast;
  readonly onData: (chunk: Buffer) => void;
  readonly onClose: () => void;
  run(): void;
}

/** The host's one table of everything (`src/core/context.js`). */
export interface HostContext {
  readonly sessions: Map<string, unknown>;
  readonly broadcasts: Map<string, HostBroadcast>;
  readonly store?: unknown;
  readonly config: {
    readonly auth?: { readonly publish?: boolean; readonly play?: boolean };
    readonly http?: { readonly port?: number };
    readonly https?: { readonly port?: number };
    readonly rtmp?: { readonly port?: number };
    readonly rtmps?: { readonly port?: number };
  };
  readonly eventEmitter: EventEmitter;
  /** Since 4.3. */
  readonly networkStats?: { inBytes: number; outBytes: number };
}

export interface HostServers {
  readonly httpServer: { readonly httpServer?: EventEmitter; readonly httpsServer?: EventEmitter };
  readonly rtmpServer: { readonly tcpServer?: EventEmitter; readonly tlsServer?: EventEmitter };
  readonly store?: unknown;
}

export interface Host {
  readonly servers: HostServers;
  readonly context: HostContext;
  readonly version: string;
  createSession(): HostSession;
  /** The session of an RTMP connection, where the host does not put it into `context.sessions` itself (before 4.2). */
  readonly createRtmpSession: ((socket: Socket) => HostRtmpSession) | undefined;
  createFlvParser(): HostFlv;
  createBroadcast(path: string): HostBroadcast;
}

/** The versions whose insides this adapter knows, as npm writes ranges. */
export const TESTED_VERSIONS = '>=4.0.21 <4.5';
const TESTED = /^4\.(?:0\.(?:2[1-9]|[3-9]\d|\d{3,})|[1-4]\.\d+)$/;
const RTMP_METHODS = [
  'onConnectCallback',
  'onPushCallback',
  'onPlayCallback',
  'onPacketCallback',
  'respondPublish',
  'respondPlay',
  'packetAlloc',
  'sendStatusMessage',
] as const;
const PACKAGE = 'node-media-server';
/** These have no table of sessions. */
const WITHOUT_SESSIONS = /^4\.[01]\./;

/** True for the tested versions; pre-releases are not. */
export function isTestedVersion(version: string): boolean {
  return TESTED.test(version);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isHost(nms: object): nms is HostServers {
  const { httpServer, rtmpServer } = nms as Partial<HostServers>;
  return isObject(httpServer) && isObject(rtmpServer);
}

/** True if `session` is an RTMP session of the shape that the guard relies on. */
export function isRtmpSession(session: unknown): session is HostRtmpSession {
  if (!isObject(session) || !isObject(session['rtmp'])) return false;
  const { rtmp } = session;
  return (
    typeof session['onData'] === 'function' &&
    typeof session['onClose'] === 'function' &&
    RTMP_METHODS.every((name) => typeof rtmp[name] === 'function') &&
    rtmp['inPackets'] instanceof Map
  );
}

/** True while packets of a publisher may come; false in the time that he has to return. */
export function isOnAir(broadcast: HostBroadcast | undefined): broadcast is HostBroadcast {
  if (broadcast === undefined) return false;
  if (broadcast.getPublishStatus !== undefined) return broadcast.getPublishStatus() === 'publishing';
  return broadcast.publisher !== null;
}

/** `require` of the copy of the package that made `nms`: as we find it, or as the program that was started does. */
function requireOfHost(nms: object): NodeJS.Require {
  const candidates = [import.meta.url, ...(process.argv[1] === undefined ? [] : [process.argv[1]])];
  for (const from of candidates) {
    const require = createRequire(from);
    try {
      const NodeMediaServer = require(PACKAGE) as new () => object;
      if (nms instanceof NodeMediaServer) return require;
    } catch {
      // Not installed there.
    }
  }
  throw new Error(
    'this is no node-media-server, or it was loaded from another copy of the package than ours',
  );
}

/**
 * The host behind `nms`.
 * @throws Error when the version is outside `TESTED_VERSIONS` and not forced, when `nms` was loaded from another copy
 *   of the package than ours, or when its own `auth.publish` or `auth.play` is on, which would refuse whom we admit
 */
export function openHost(nms: object, allowUntestedVersion: boolean): Host {
  const require = requireOfHost(nms);
  const { version } = require(`${PACKAGE}/package.json`) as { version: string };
  if (!isTestedVersion(version) && !allowUntestedVersion) {
    throw new Error(
      `node-media-server ${version} is not among the tested versions (${TESTED_VERSIONS}); allowUntestedVersion goes on with it`,
    );
  }
  if (!isHost(nms)) throw new TypeError('not a node-media-server instance');
  const context = require(`${PACKAGE}/src/core/context.js`) as HostContext;
  if (context.store !== nms.store) throw new Error('this node-media-server is not the latest instance');
  for (const name of ['publish', 'play'] as const) {
    if (context.config.auth?.[name] === true) {
      throw new Error(`switch node-media-server's auth.${name} off: tickets and stream keys take its place`);
    }
  }
  const BaseSession = require(`${PACKAGE}/src/session/base_session.js`) as new () => HostSession;
  const RtmpSession = require(`${PACKAGE}/src/session/rtmp_session.js`) as new (
    socket: Socket,
  ) => HostRtmpSession;
  const Flv = require(`${PACKAGE}/src/protocol/flv.js`) as new () => HostFlv;
  const Broadcast = require(`${PACKAGE}/src/server/broadcast_server.js`) as new (
    path: string,
  ) => HostBroadcast;
  return {
    servers: nms,
    context,
    version,
    createSession: () => new BaseSession(),
    createRtmpSession: WITHOUT_SESSIONS.test(version)
      ? (socket) => {
          const session = new RtmpSession(socket);
          session.run();
          return session;
        }
      : undefined,
    createFlvParser: () => new Flv(),
    createBroadcast: (path) => new Broadcast(path),
  };
}
