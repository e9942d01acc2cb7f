/** Parsers of what players receive: FLV files and RTMP chunks as they come, cut anywhere. */

/** One audio, video or data message. */
export interface MediaMessage {
  /** 8 audio, 9 video, 18 data. */
  readonly type: number;
  readonly timeMs: number;
  readonly payload: Buffer;
  /** Bytes on the wire, headers included. */
  readonly wireBytes: number;
}

const FLV_HEADER_BYTES = 9;
const TAG_HEADER_BYTES = 11;
const TAG_SIZE_BYTES = 4;

/** Takes an FLV file in pieces; `onTag` gets each whole tag. @throws Error for what is not FLV */
export function createFlvParser(onTag: (tag: MediaMessage) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  let isInside = false;
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    if (!isInside) {
      if (rest.length < FLV_HEADER_BYTES + TAG_SIZE_BYTES) return;
      if (rest.toString('latin1', 0, 3) !== 'FLV') throw new Error('not FLV');
      rest = rest.subarray(FLV_HEADER_BYTES + TAG_SIZE_BYTES);
      isInside = true;
    }
    while (rest.length >= TAG_HEADER_BYTES) {
      const wireBytes = TAG_HEADER_BYTES + rest.readUIntBE(1, 3) + TAG_SIZE_BYTES;
      if (rest.length < wireBytes) return;
      const timeMs = (((rest[7] ?? 0) << 24) | rest.readUIntBE(4, 3)) >>> 0;
      const payload = rest.subarray(TAG_HEADER_BYTES, wireBytes - TAG_SIZE_BYTES);
      onTag({ type: rest[0] ?? 0, timeMs, payload, wireBytes });
      rest = rest.subarray(wireBytes);
    }
  };
}

interface ChunkStream {
  timeMs: number;
  length: number;
  type: number;
  parts: Buffer[];
  gotBytes: number;
  wireBytes: number;
}

const SET_CHUNK_SIZE = 1;
const MESSAGE_HEADER_BYTES = [11, 7, 3, 0] as const;
const EXTENDED = 0xff_ff_ff;

/** Takes what follows the handshake in pieces (RTMP 1.0 section 5.3); `onMessage` gets each whole message. */
export function createRtmpParser(onMessage: (message: MediaMessage) => void): (chunk: Buffer) => void {
  const streams = new Map<number, ChunkStream>();
  let rest: Buffer = Buffer.alloc(0);
  let chunkBytes = 128;

  function readHeader(stream: ChunkStream, format: number, at: number): number {
    if (format === 3) return at;
    const time = rest.readUIntBE(at, 3);
    let end = at + (MESSAGE_HEADER_BYTES[format] ?? 0);
    if (format < 2) {
      stream.length = rest.readUIntBE(at + 3, 3);
      stream.type = rest[at + 6] ?? 0;
    }
    const given = time === EXTENDED ? rest.readUInt32BE(end) : time;
    if (time === EXTENDED) end += 4;
    stream.timeMs = format === 0 ? given : stream.timeMs + given;
    return end;
  }

  /** Answers the bytes of one chunk, or 0 when it is not whole yet. */
  function takeChunk(): number {
    const head = rest[0];
    if (head === undefined) return 0;
    const id = head & 0x3f;
    const format = head >> 6;
    if (id < 2) throw new Error('chunk stream ids of more than one byte are not used here');
    const headerBytes = 1 + (MESSAGE_HEADER_BYTES[format] ?? 0);
    if (rest.length < headerBytes) return 0;
    if (format < 3 && rest.readUIntBE(1, 3) === EXTENDED && rest.length < headerBytes + 4) return 0;
    const known = streams.get(id) ?? { timeMs: 0, length: 0, type: 0, parts: [], gotBytes: 0, wireBytes: 0 };
    const stream = { ...known };
    const start = readHeader(stream, format, 1);
    const size = Math.min(chunkBytes, stream.length - stream.gotBytes);
    if (rest.length < start + size) return 0;
    stream.parts = [...stream.parts, rest.subarray(start, start + size)];
    stream.gotBytes += size;
    stream.wireBytes += start + size;
    streams.set(id, stream);
    if (stream.gotBytes === stream.length) finish(id, stream);
    return start + size;
  }

  function finish(id: number, stream: ChunkStream): void {
    const { type, timeMs, wireBytes } = stream;
    const payload = Buffer.concat(stream.parts);
    streams.set(id, { ...stream, parts: [], gotBytes: 0, wireBytes: 0 });
    if (type === SET_CHUNK_SIZE) chunkBytes = payload.readUInt32BE(0);
    onMessage({ type, timeMs, payload, wireBytes });
  }

  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let taken = takeChunk(); taken > 0; taken = takeChunk()) rest = rest.subarray(taken);
  };
}

/** The text of a string member of an AMF0 object, wherever it is in a message. */
export function amfText(payload: Buffer, name: string): string | undefined {
  const key = Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([2])]);
  const at = payload.indexOf(key);
  if (at === -1) return undefined;
  const start = at + key.length + 2;
  return payload.toString('utf8', start, start + payload.readUInt16BE(at + key.length));
}

export const isVideo = ({ type }: MediaMessage): boolean => type === 9;
/** True for a keyframe of H.264 that is no configuration. */
export const isKeyframe = ({ type, payload }: MediaMessage): boolean =>
  type === 9 && payload[0] === 0x17 && payload[1] === 1;
/** True for a picture, keyframe or not. */
export const isPicture = ({ type, payload }: MediaMessage): boolean => type === 9 && payload[1] === 1;
