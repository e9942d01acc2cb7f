/** Messages of the host as its two writers make them: FLV tags, and RTMP messages in chunks. */

export type MadeKind =
  'file-head' | 'metadata-head' | 'audio-head' | 'video-head' | 'keyframe' | 'picture' | 'sound';

const BODIES: Readonly<
  Record<Exclude<MadeKind, 'file-head'>, readonly [type: number, head: readonly number[]]>
> = {
  'metadata-head': [18, [2, 0, 10]],
  'audio-head': [8, [0xaf, 0]],
  'video-head': [9, [0x17, 0, 0, 0, 0]],
  keyframe: [9, [0x17, 1, 0, 0, 0]],
  picture: [9, [0x27, 1, 0, 0, 0]],
  sound: [8, [0xaf, 1]],
};

/** An FLV tag with any body. */
export function flvTag(type: number, timeMs: number, body: Buffer): Buffer {
  const tag = Buffer.alloc(11 + body.length + 4);
  tag[0] = type;
  tag.writeUIntBE(body.length, 1, 3);
  tag.writeUIntBE(timeMs % 0x1000000, 4, 3);
  tag[7] = Math.floor(timeMs / 0x1000000) % 256;
  body.copy(tag, 11);
  tag.writeUInt32BE(11 + body.length, 11 + body.length);
  return tag;
}

/** An RTMP message of type 0 in one chunk. */
export function rtmpMessage(type: number, timeMs: number, body: Buffer): Buffer {
  const isExtended = timeMs >= 0xff_ff_ff;
  const head = Buffer.alloc(isExtended ? 16 : 12);
  head[0] = type === 9 ? 5 : type === 8 ? 4 : 6;
  head.writeUIntBE(isExtended ? 0xff_ff_ff : timeMs, 1, 3);
  head.writeUIntBE(body.length, 4, 3);
  head[7] = type;
  if (isExtended) head.writeUInt32BE(timeMs, 12);
  return Buffer.concat([head, body]);
}

/** What an encoder would send: the codec's head, then `fill` up to `bodyBytes`. */
export function bodyOf(kind: Exclude<MadeKind, 'file-head'>, bodyBytes = 16, fill = 0): Buffer {
  const [, head] = BODIES[kind];
  return Buffer.concat([Buffer.from(head), Buffer.alloc(Math.max(0, bodyBytes - head.length), fill)]);
}

/** An FLV tag of a kind, or the file's head. */
export function flvOf(kind: MadeKind, timeMs = 0, bodyBytes = 16, fill = 0): Buffer {
  if (kind === 'file-head') return Buffer.from('464c5601050000000900000000', 'hex');
  return flvTag(BODIES[kind][0], timeMs, bodyOf(kind, bodyBytes, fill));
}
