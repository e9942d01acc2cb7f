/** Viewers that keep nothing of what they get but the stamps of its pictures, so that there can be many of them. */
import { once } from 'node:events';
import { connect } from 'node:net';
import WebSocket from 'ws';
import {
  connectCommand,
  createStreamCommand,
  streamCommand,
} from '../plugin/adapters/node-media-server/rtmp-client.ts';
import { createFlvParser, createRtmpParser, type MediaMessage } from './media-parsers.ts';
import { readStamp, type Stamp } from './stamped-source.ts';

export const LIGHT_KINDS = ['http-flv', 'rtmp', 'ws-flv'] as const;
export type LightKind = (typeof LIGHT_KINDS)[number];

export interface LightViewer {
  pause(): void;
  resume(): void;
  destroy(): void;
}

export interface LightAsk {
  readonly ports: { readonly http: number; readonly rtmp: number };
  readonly path: string;
  readonly pass: string;
  /** Reads no faster than this. */
  readonly bytesPerSecond?: number;
  readonly onStamp: (stamp: Stamp) => void;
}

const HANDSHAKE_BYTES = 3073;

/** Holds a reader to a rate; answers what to call with the bytes that it read. */
function createBrake(
  bytesPerSecond: number | undefined,
  viewer: Pick<LightViewer, 'pause' | 'resume'>,
): (bytes: number) => void {
  if (bytesPerSecond === undefined) return () => undefined;
  const startMs = performance.now();
  let readBytes = 0;
  return (bytes) => {
    readBytes += bytes;
    const aheadMs = (readBytes / bytesPerSecond) * 1000 - (performance.now() - startMs);
    if (aheadMs <= 0) return;
    viewer.pause();
    setTimeout(() => viewer.resume(), aheadMs);
  };
}

function openHttp(
  { ports, path, pass, bytesPerSecond }: LightAsk,
  onTag: (tag: MediaMessage) => void,
): LightViewer {
  const socket = connect(ports.http, '127.0.0.1').on('error', () => undefined);
  const viewer = {
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    destroy: () => void socket.destroy(),
  };
  const brake = createBrake(bytesPerSecond, viewer);
  const parse = createFlvParser(onTag);
  let head: Buffer | undefined = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    brake(chunk.length);
    if (head === undefined) return parse(chunk);
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end === -1) return;
    const rest = head.subarray(end + 4);
    head = undefined;
    parse(rest);
  });
  socket.write(`GET ${path}.flv?pass=${pass} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  return viewer;
}

function openWebSocket(
  { ports, path, pass, bytesPerSecond }: LightAsk,
  onTag: (tag: MediaMessage) => void,
): LightViewer {
  const socket = new WebSocket(`ws://127.0.0.1:${String(ports.http)}${path}.flv?pass=${pass}`, {
    perMessageDeflate: false,
  });
  const viewer = {
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    destroy: () => socket.terminate(),
  };
  const brake = createBrake(bytesPerSecond, viewer);
  const parse = createFlvParser(onTag);
  socket
    .on('error', () => undefined)
    .on('message', (data: Buffer) => {
      brake(data.length);
      parse(data);
    });
  return viewer;
}

function openRtmp(
  { ports, path, pass, bytesPerSecond }: LightAsk,
  onTag: (tag: MediaMessage) => void,
): LightViewer {
  const [, app = '', name = ''] = path.split('/');
  const socket = connect(ports.rtmp, '127.0.0.1').on('error', () => undefined);
  const viewer = {
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    destroy: () => void socket.destroy(),
  };
  const brake = createBrake(bytesPerSecond, viewer);
  const parse = createRtmpParser(onTag);
  let handshake: Buffer | undefined = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    brake(chunk.length);
    if (handshake === undefined) return parse(chunk);
    handshake = Buffer.concat([handshake, chunk]);
    if (handshake.length < HANDSHAKE_BYTES) return;
    const rest = handshake.subarray(HANDSHAKE_BYTES);
    handshake = undefined;
    const play = streamCommand('play', `${name}?pass=${pass}`);
    socket.write(Buffer.concat([Buffer.alloc(1536, 9), connectCommand(app), createStreamCommand(), play]));
    parse(rest);
  });
  const hello = Buffer.alloc(1537, 7);
  hello[0] = 3;
  socket.write(hello);
  return viewer;
}

/** Connects; resolves with the viewer once it has got a picture. */
export async function openLightViewer(kind: LightKind, ask: LightAsk): Promise<LightViewer> {
  const first = Promise.withResolvers<undefined>();
  const onTag = ({ type, payload }: MediaMessage): void => {
    const stamp = type === 9 ? readStamp(payload) : undefined;
    if (stamp === undefined) return;
    first.resolve(undefined);
    ask.onStamp(stamp);
  };
  const open = { 'http-flv': openHttp, 'ws-flv': openWebSocket, rtmp: openRtmp }[kind];
  const viewer = open(ask, onTag);
  const late = once(AbortSignal.timeout(10_000), 'abort').then(() =>
    Promise.reject(new Error(`no picture over ${kind}`)),
  );
  await Promise.race([first.promise, late]);
  late.catch(() => undefined);
  return viewer;
}
