/** What we touch of node-media-server 4.4, which brings no types; read from its source, checked when the guard starts. */
import type { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';

/** A parsed RTMP media message. */
export interface HostPacket {
  /** Milliseconds modulo 2^32. The host adds an offset of its own, one per track, when a publisher resumes. */
  readonly dts: number;
  readonly size: number;
  readonly data: Buffer;
  /** 3 is a keyframe. */
  readonly flags: number;
}

/** What `publish` and `play` name; whatever the peer sent, unchecked. */
export interface HostConnectRequest {
  readonly app: unknown;
  readonly name: unknown;
  readonly query: Readonly<Record<string, unknown>>;
}

/** The RTMP parser of one connection. All of these are properties of the instance or methods that it calls on itself. */
export interface HostRtmp {
  streamId?: number;
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

export interface HostSubscriber {
  readonly id: string;
  /** Empty: the host counts it among its own, not as a player. */
  readonly ip: '';
  readonly protocol: 'flv';
  sendBuffer(tag: Buffer): void;
  close(): void;
}

export interface HostBroadcast {
  readonly publisher: unknown;
  readonly subscribers: Map<string, HostSubscriber>;
  readonly flvGopCache: Set<Buffer> | null;
  readonly rtmpGopCache: Set<Buffer> | null;
  getPublishStatus(): 'publishing' | 'reconnecting' | 'idle';
}

export interface HostSession {
  readonly id: string;
  readonly socket: Socket;
  readonly rtmp: HostRtmp;
  readonly streamPath: string;
  readonly broadcast: HostBroadcast;
  readonly onData: (chunk: Buffer) => void;
  readonly onClose: () => void;
}

/** The host's one table of everything (`src/core/context.js`). */
export interface HostContext {
  readonly sessions: Map<string, unknown>;
  readonly broadcasts: Map<string, HostBroadcast>;
  readonly store: unknown;
  readonly config: { readonly auth?: { readonly publish?: boolean } };
}

export interface Host {
  readonly httpServer: { readonly httpServer?: EventEmitter; readonly httpsServer?: EventEmitter };
  readonly rtmpServer: { readonly tcpServer?: EventEmitter; readonly tlsServer?: EventEmitter };
  readonly store: unknown;
}

const TESTED = /^4\.(?:[4-9]|\d{2,})\.\d+$/;
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

/** True for the versions whose insides this adapter knows: >=4.4.0 <5, no pre-releases. */
export function isTestedVersion(version: string): boolean {
  return TESTED.test(version);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isHost(nms: object): nms is Host {
  const { httpServer, rtmpServer } = nms as Partial<Host>;
  return isObject(httpServer) && isObject(rtmpServer);
}

/** True if `session` is an RTMP session of the shape that the guard relies on. */
export function isRtmpSession(session: unknown): session is HostSession {
  if (!isObject(session) || !isObject(session['rtmp'])) return false;
  const { rtmp } = session;
  return (
    typeof session['onData'] === 'function' &&
    typeof session['onClose'] === 'function' &&
    RTMP_METHODS.every((name) => typeof rtmp[name] === 'function') &&
    rtmp['inPackets'] instanceof Map
  );
}

/**
 * The host behind `nms` and its context.
 * @throws Error when the version is outside >=4.4.0 <5 and not forced, when `nms` was loaded from another copy of the
 *   package than ours, or when its own `auth.publish` is on, which would refuse every stream key
 */
export function openHost(nms: object, allowUntestedVersion: boolean): { host: Host; context: HostContext } {
  const require = createRequire(import.meta.url);
  const { version } = require('node-media-server/package.json') as { version: string };
  if (!isTestedVersion(version) && !allowUntestedVersion) {
    throw new Error(`node-media-server ${version} is not among the tested versions (>=4.4.0 <5)`);
  }
  if (!isHost(nms)) throw new TypeError('not a node-media-server instance');
  const context = require('node-media-server/src/core/context.js') as HostContext;
  if (nms.store === undefined || context.store !== nms.store) {
    throw new Error(
      'this node-media-server was loaded from another copy of the package, or is not the latest instance',
    );
  }
  if (context.config.auth?.publish === true) {
    throw new Error("switch node-media-server's auth.publish off: stream keys take its place");
  }
  return { host: nms, context };
}
