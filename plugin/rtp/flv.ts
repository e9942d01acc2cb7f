/** FLV tags as RTMP servers hand them out (Adobe FLV 10.1, annex E). */
import { parseAacConfig, type AacConfig } from './aac-config.ts';
import { parseAvcConfig, type AvcConfig, type NalLengthBytes } from './avc-config.ts';
import { audioCodecName, CODEC_AVC, SOUND_AAC, videoCodecName } from './flv-codecs.ts';
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
export const FRAME_COMMAND = 5;
/** More slices than any encoder makes; keeps one tag from becoming a flood of tiny packets. */
const MAX_NALS = 1000;
export const MAX_COMPOSITION_MS = 10_000;

/** True for the FrameType of a video tag that can be decoded without others. */
export function isKeyframeType(frameType: number): boolean {
  return frameType === FRAME_KEY || frameType === FRAME_GENERATED_KEY;
}

/** Where the body of a whole tag ends, with or without "previous tag size" behind it; -1 if its size is wrong. */
export function tagEndOf(tag: Buffer): number {
  if (tag.length < FLV_HEADER_BYTES) return -1;
  const end = FLV_HEADER_BYTES + tag.readUIntBE(1, 3);
  const trailed = tag.length === end + 4 && tag.readUInt32BE(end) === end;
  return tag.length === end || trailed ? end : -1;
}

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
    return { kind: 'unsupported', media: 'video', codec: videoCodecName(codecId) };
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
      return {
        kind: 'avc-frame',
        dtsMs,
        compositionMs,
        keyframe: isKeyframeType(frameType),
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
    return { kind: 'unsupported', media: 'audio', codec: audioCodecName(soundFormat) };
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
  const end = tagEndOf(tag);
  if (end < 0) throw new FormatError('flv', 'tag size is wrong');
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
