/** FLV tags as RTMP servers hand them out (Adobe FLV 10.1, annex E). */
import { parseAacConfig, type AacConfig } from './aac-config.ts';
import { parseAvcConfig, type AvcConfig, type NalLengthBytes } from './avc-config.ts';
import { FormatError } from './format-error.ts';

export const FLV_AUDIO = 8;
export const FLV_VIDEO = 9;
export const FLV_SCRIPT = 18;
export const FLV_HEADER_BYTES = 11;

/** One access unit: the coded picture of one instant. */
export interface AccessUnit {
  /** Decoding time as the tag has it: milliseconds modulo 2^32. */
  readonly dtsMs: number;
  /** Milliseconds from decoding to presentation. */
  readonly compositionMs: number;
  readonly keyframe: boolean;
  /** NAL units without start codes or lengths; views of the tag. */
  readonly nals: readonly Buffer[];
}

export type FlvTag =
  | { readonly kind: 'avc-config'; readonly config: AvcConfig }
  | ({ readonly kind: 'avc-frame' } & AccessUnit)
  | { readonly kind: 'aac-config'; readonly config: AacConfig }
  | { readonly kind: 'aac-frame'; readonly dtsMs: number; readonly data: Buffer }
  | { readonly kind: 'unsupported'; readonly media: 'audio' | 'video'; readonly codec: string }
  /** Script data, empty tags, commands and end marks: nothing to send. */
  | { readonly kind: 'ignored' };

const IGNORED: FlvTag = { kind: 'ignored' };
const FRAME_KEY = 1;
const FRAME_GENERATED_KEY = 4;
const FRAME_COMMAND = 5;
const CODEC_AVC = 7;
const SOUND_AAC = 10;
/** More slices than any encoder makes; keeps one tag from becoming a flood of tiny packets. */
const MAX_NALS = 1000;
const MAX_COMPOSITION_MS = 10_000;

const VIDEO_CODECS: Readonly<Record<number, string>> = {
  2: 'Sorenson H.263',
  3: 'Screen video',
  4: 'VP6',
  5: 'VP6 with alpha',
  6: 'Screen video 2',
  8: 'H.263',
  9: 'MPEG-4 Part 2',
  12: 'H.265',
  13: 'AV1',
};
const AUDIO_CODECS: Readonly<Record<number, string>> = {
  0: 'PCM',
  1: 'ADPCM',
  2: 'MP3',
  3: 'PCM',
  4: 'Nellymoser',
  5: 'Nellymoser',
  6: 'Nellymoser',
  7: 'G.711 A-law',
  8: 'G.711 mu-law',
  9: 'enhanced RTMP audio',
  11: 'Speex',
  14: 'MP3',
};

/** The tag's timestamp: milliseconds modulo 2^32. The tag must have a whole header. */
function readTimestamp(tag: Buffer): number {
  return tag.readUIntBE(4, 3) + (tag[7] ?? 0) * 0x1_00_00_00;
}

/** Splits length-prefixed NAL units (ISO/IEC 14496-15 section 5.3.4.2) without copying; empty ones are left out. */
function splitNals(data: Buffer, from: number, lengthBytes: NalLengthBytes): Buffer[] {
  const nals: Buffer[] = [];
  let offset = from;
  while (offset < data.length) {
    const start = offset + lengthBytes;
    if (start > data.length) throw new FormatError('flv', 'NAL unit length is cut off');
    const end = start + data.readUIntBE(offset, lengthBytes);
    if (end > data.length) throw new FormatError('flv', 'NAL unit is longer than its tag');
    if (end > start) nals.push(data.subarray(start, end));
    if (nals.length > MAX_NALS) throw new FormatError('flv', 'too many NAL units in one tag');
    offset = end;
  }
  return nals;
}

function parseVideo(body: Buffer, dtsMs: number, nalLengthBytes: NalLengthBytes): FlvTag {
  const head = body[0] ?? 0;
  const frameType = (head >> 4) & 7;
  if (head & 0x80) {
    // Enhanced RTMP: a FourCC instead of the codec number.
    const codec = /^[ -~]{4}$/.exec(body.toString('latin1', 1, 5))?.[0];
    if (codec === undefined) throw new FormatError('flv', 'enhanced video tag without a FourCC');
    return { kind: 'unsupported', media: 'video', codec };
  }
  const codecId = head & 0x0f;
  if (codecId !== CODEC_AVC) {
    return { kind: 'unsupported', media: 'video', codec: VIDEO_CODECS[codecId] ?? `video codec ${codecId}` };
  }
  if (frameType === FRAME_COMMAND) return IGNORED;
  if (body.length < 5) throw new FormatError('flv', 'AVC tag is cut off');
  switch (body[1]) {
    case 0:
      return { kind: 'avc-config', config: parseAvcConfig(body.subarray(5)) };
    case 1: {
      const compositionMs = body.readIntBE(2, 3);
      if (Math.abs(compositionMs) > MAX_COMPOSITION_MS) {
        throw new FormatError('flv', 'composition time is out of range');
      }
      const keyframe = frameType === FRAME_KEY || frameType === FRAME_GENERATED_KEY;
      return {
        kind: 'avc-frame',
        dtsMs,
        compositionMs,
        keyframe,
        nals: splitNals(body, 5, nalLengthBytes),
      };
    }
    case 2:
      return IGNORED;
    default:
      throw new FormatError('flv', 'unknown AVC packet type');
  }
}

function parseAudio(body: Buffer, dtsMs: number): FlvTag {
  const soundFormat = (body[0] ?? 0) >> 4;
  if (soundFormat !== SOUND_AAC) {
    const codec = AUDIO_CODECS[soundFormat] ?? `audio codec ${soundFormat}`;
    return { kind: 'unsupported', media: 'audio', codec };
  }
  switch (body[1]) {
    case 0:
      return { kind: 'aac-config', config: parseAacConfig(body.subarray(2)) };
    case 1:
      return body.length === 2 ? IGNORED : { kind: 'aac-frame', dtsMs, data: body.subarray(2) };
    default:
      throw new FormatError('flv', 'unknown AAC packet type');
  }
}

/**
 * Parses one whole FLV tag, with or without the four bytes of "previous tag size" behind it.
 * Buffers in the result are views of `tag`.
 * @param nalLengthBytes what the last `avc-config` said
 * @throws FormatError for a tag that breaks the format; codecs that we do not carry are `unsupported`, not errors
 */
export function parseFlvTag(tag: Buffer, nalLengthBytes: NalLengthBytes = 4): FlvTag {
  if (tag.length < FLV_HEADER_BYTES) throw new FormatError('flv', 'tag header is cut off');
  const end = FLV_HEADER_BYTES + tag.readUIntBE(1, 3);
  const trailed = tag.length === end + 4 && tag.readUInt32BE(end) === end;
  if (tag.length !== end && !trailed) throw new FormatError('flv', 'tag size is wrong');
  const body = tag.subarray(FLV_HEADER_BYTES, end);
  switch (tag[0]) {
    case FLV_AUDIO:
      return body.length === 0 ? IGNORED : parseAudio(body, readTimestamp(tag));
    case FLV_VIDEO:
      return body.length === 0 ? IGNORED : parseVideo(body, readTimestamp(tag), nalLengthBytes);
    case FLV_SCRIPT:
      return IGNORED;
    default:
      throw new FormatError('flv', 'unknown tag type');
  }
}
