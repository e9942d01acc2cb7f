/** A raw RTMP client that does as it is told, well-behaved or not. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const CHUNK_BYTES = 128;

function amfString(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([2, bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

function amfNumber(value: number): Buffer {
  const bytes = Buffer.alloc(9);
  bytes.writeDoubleBE(value, 1);
  return bytes;
}

function amfStrings(texts: readonly string[]): Buffer {
  const head = Buffer.from([10, 0, 0, 0, texts.length]);
  return Buffer.concat([head, ...texts.map(amfString)]);
}

function amfObject(members: Record<string, string | readonly string[]>): Buffer {
  const parts = Object.entries(members).flatMap(([name, value]) => [
    amfString(name).subarray(1),
    typeof value === 'string' ? amfString(value) : amfStrings(value),
  ]);
  return Buffer.concat([Buffer.from([3]), ...parts, Buffer.from([0, 0, 9])]);
}

const AMF_NULL = Buffer.from([5]);

/** One message in chunks of 128 bytes, with a timestamp below 2^24 - 1. */
export function message(
  chunkStream: number,
  type: number,
  streamId: number,
  payload: Buffer,
  timeMs = 0,
): Buffer {
  const head = Buffer.alloc(12);
  head[0] = chunkStream;
  head.writeUIntBE(timeMs, 1, 3);
  head.writeUIntBE(payload.length, 4, 3);
  head[7] = type;
  head.writeUInt32LE(streamId, 8);
  const parts: Buffer[] = [head, payload.subarray(0, CHUNK_BYTES)];
  for (let offset = CHUNK_BYTES; offset < payload.length; offset += CHUNK_BYTES) {
    parts.push(Buffer.from([0xc0 | chunkStream]), payload.subarray(offset, offset + CHUNK_BYTES));
  }
  return Buffer.concat(parts);
}

/** @param fourCcs codecs beyond the classic ones, as encoders of Enhanced RTMP state them */
export function connectCommand(app: string, fourCcs: readonly string[] = []): Buffer {
  const enhanced = fourCcs.length === 0 ? {} : { fourCcList: fourCcs };
  const args = amfObject({ app, tcUrl: `rtmp://127.0.0.1/${app}`, ...enhanced });
  return message(3, 20, 0, Buffer.concat([amfString('connect'), amfNumber(1), args]));
}

export function createStreamCommand(): Buffer {
  return message(3, 20, 0, Buffer.concat([amfString('createStream'), amfNumber(2), AMF_NULL]));
}

export function streamCommand(name: 'publish' | 'play', stream: string): Buffer {
  const parts = [amfString(name), amfNumber(3), AMF_NULL, amfString(stream)];
  return message(3, 20, 1, Buffer.concat(parts));
}

export interface RtmpClient {
  readonly socket: Socket;
  /** Everything that came after the handshake. */
  received(): Buffer;
  send(bytes: Buffer): void;
  /** The next onStatus code that matches. */
  status(pattern?: RegExp): Promise<string>;
  /** Resolves when the server has ended the connection. */
  readonly ended: Promise<void>;
}

/** Connects without a handshake. */
export function openSocket(port: number): { socket: Socket; ended: Promise<void> } {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  return { socket, ended };
}

/** Connects and shakes hands. */
export async function openRtmp(
  port: number,
  on: Pick<ReturnType<typeof openSocket>, 'socket' | 'ended'> = openSocket(port),
): Promise<RtmpClient> {
  const { socket, ended } = on;
  let received: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => (received = Buffer.concat([received, chunk])));
  const hello = Buffer.alloc(1537, 7);
  hello[0] = 3;
  socket.write(hello);
  while (received.length < 3073)
    await Promise.race([once(socket, 'data'), ended.then(() => Promise.reject(new Error('closed')))]);
  received = received.subarray(3073);
  socket.write(Buffer.alloc(1536, 9));
  return {
    socket,
    ended,
    received: () => received,
    send: (bytes) => void socket.write(bytes),
    async status(pattern = /NetStream\.[A-Za-z]+\.[A-Za-z]+/) {
      for (;;) {
        const found = pattern.exec(received.toString('latin1'));
        if (found !== null) return found[0];
        const before = received.length;
        await Promise.race([once(socket, 'data'), ended]);
        if (socket.destroyed && received.length === before) throw new Error('ended without a status');
      }
    },
  };
}

/** Connects and asks to publish or play `/app/name?query`. */
export async function request(
  port: number,
  name: 'publish' | 'play',
  app: string,
  stream: string,
): Promise<RtmpClient> {
  const client = await openRtmp(port);
  client.send(Buffer.concat([connectCommand(app), createStreamCommand(), streamCommand(name, stream)]));
  return client;
}
