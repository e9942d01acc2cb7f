/** Enhanced RTMP tags for tests, written from the specification (veovera.org, Enhanced RTMP v2). */
import { makeTag } from './flv-clip.ts';

const FRAME_KEY = 1;
const FRAME_INTER = 2;
export const SEQUENCE_START = 0;
export const CODED_FRAMES = 1;
export const SEQUENCE_END = 2;
export const CODED_FRAMES_X = 3;
export const METADATA = 4;
export const MULTICHANNEL_CONFIG = 4;
const VIDEO_MULTITRACK = 6;
const AUDIO_MULTITRACK = 5;
const MODIFIER = 7;
const SOUND_ENHANCED = 9;

export interface VideoBody {
  readonly fourCc: string;
  readonly packetType: number;
  readonly key?: boolean;
  /** Only where the codec has one in front of its coded frames. */
  readonly compositionMs?: number;
  readonly data?: Buffer;
}

const int24 = (value: number): Buffer => {
  const bytes = Buffer.alloc(3);
  bytes.writeIntBE(value, 0, 3);
  return bytes;
};

const head = (key: boolean, packetType: number): number =>
  0x80 | ((key ? FRAME_KEY : FRAME_INTER) << 4) | packetType;

const payload = ({
  compositionMs,
  data = Buffer.alloc(0),
}: Pick<VideoBody, 'compositionMs' | 'data'>): Buffer =>
  Buffer.concat([...(compositionMs === undefined ? [] : [int24(compositionMs)]), data]);

export function videoBody({ fourCc, packetType, key = false, ...rest }: VideoBody): Buffer {
  return Buffer.concat([Buffer.from([head(key, packetType)]), Buffer.from(fourCc, 'latin1'), payload(rest)]);
}

export function audioBody(fourCc: string, packetType: number, data: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([
    Buffer.from([(SOUND_ENHANCED << 4) | packetType]),
    Buffer.from(fourCc, 'latin1'),
    data,
  ]);
}

export const videoTag = (body: VideoBody, timeMs = 0): Buffer => makeTag(9, videoBody(body), timeMs);

export const audioTag = (fourCc: string, packetType: number, data?: Buffer, timeMs = 0): Buffer =>
  makeTag(8, audioBody(fourCc, packetType, data), timeMs);

/** The same body with modifiers in front, of these lengths; type 0 is a timestamp's nanoseconds. */
export function withModifiers(body: Buffer, lengths: readonly number[]): Buffer {
  const first = body[0]!;
  const packetType = first & 0x0f;
  const parts = lengths.map((length, index) => {
    const size =
      length < 256 ? Buffer.from([length - 1]) : Buffer.from([255, (length - 1) >> 8, (length - 1) & 255]);
    const next = index === lengths.length - 1 ? packetType : MODIFIER;
    return Buffer.concat([size, Buffer.alloc(length, 7), Buffer.from([next])]);
  });
  return Buffer.concat([Buffer.from([(first & 0xf0) | MODIFIER]), ...parts, body.subarray(1)]);
}

export interface Track {
  readonly id: number;
  readonly fourCc: string;
  readonly data: Buffer;
}

/** Several tracks in one body; `manner`: 0 one track, 1 many of one codec, 2 many of several codecs. */
export function multitrackBody(
  media: 'audio' | 'video',
  manner: 0 | 1 | 2,
  packetType: number,
  tracks: readonly Track[],
  key = false,
): Buffer {
  const first = media === 'video' ? head(key, VIDEO_MULTITRACK) : (SOUND_ENHANCED << 4) | AUDIO_MULTITRACK;
  const parts = tracks.flatMap(({ id, fourCc, data }, index) => [
    ...(index === 0 || manner === 2 ? [Buffer.from(fourCc, 'latin1')] : []),
    Buffer.from([id]),
    ...(manner === 0 ? [] : [int24(data.length)]),
    data,
  ]);
  return Buffer.concat([Buffer.from([first, (manner << 4) | packetType]), ...parts]);
}

/** OpusHead (RFC 7845 section 5.1). */
export function opusHead(channels: number, family = channels > 2 ? 1 : 0, streams = 1): Buffer {
  const table = family === 0 ? [] : [streams, channels > 1 ? 1 : 0, ...Array<number>(channels).fill(0)];
  return Buffer.concat([
    Buffer.from('OpusHead'),
    Buffer.from([1, channels, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, family, ...table]),
  ]);
}
