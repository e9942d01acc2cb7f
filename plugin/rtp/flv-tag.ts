/** What FLV tags hold, and what their plain and their enhanced forms have in common. */
import type { AacConfig } from './aac-config.ts';
import type { AvcConfig, NalLengthBytes } from './avc-config.ts';
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

/** Codecs of Enhanced RTMP beside H.264, as RTP names them. */
export type EnhancedVideoCodec = 'H265' | 'AV1' | 'VP9' | 'VP8';

/** One coded picture as its codec's mapping to ISO files has it; H.265 as NAL units with lengths. */
export interface CodedPicture {
  readonly codec: EnhancedVideoCodec;
  /** Decoding time as the tag has it: milliseconds modulo 2^32. */
  readonly dtsMs: number;
  /** Milliseconds from decoding to presentation. */
  readonly compositionMs: number;
  readonly keyframe: boolean;
  /** A view of the tag. */
  readonly data: Buffer;
}

export type FlvTag =
  | { readonly kind: 'avc-config'; readonly config: AvcConfig }
  | ({ readonly kind: 'avc-frame' } & AccessUnit)
  /** `record` is the codec's configuration record (hvcC, av1C, vpcC), a view of the tag. */
  | { readonly kind: 'video-config'; readonly codec: EnhancedVideoCodec; readonly record: Buffer }
  | ({ readonly kind: 'video-frame' } & CodedPicture)
  | { readonly kind: 'aac-config'; readonly config: AacConfig }
  | { readonly kind: 'aac-frame'; readonly dtsMs: number; readonly data: Buffer }
  /** `carried`: RTP can carry it, being one Opus stream of one or two channels (RFC 7587 section 4.2). */
  | { readonly kind: 'opus-config'; readonly channels: number; readonly carried: boolean }
  | { readonly kind: 'opus-frame'; readonly dtsMs: number; readonly data: Buffer }
  | { readonly kind: 'unsupported'; readonly media: 'audio' | 'video'; readonly codec: string }
  /** A further track beside the first one. */
  | { readonly kind: 'extra-track'; readonly media: 'audio' | 'video' }
  /** Script data, empty tags, commands and end marks: nothing to send. */
  | { readonly kind: 'ignored' };

export const IGNORED: FlvTag = { kind: 'ignored' };
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

/**
 * Reads a signed composition time of 24 bits.
 * @throws FormatError when it is cut off, or longer than any encoder's
 */
export function readComposition(body: Buffer, at: number): number {
  if (at + 3 > body.length) throw new FormatError('flv', 'composition time is cut off');
  const compositionMs = body.readIntBE(at, 3);
  if (Math.abs(compositionMs) > MAX_COMPOSITION_MS) {
    throw new FormatError('flv', 'composition time is out of range');
  }
  return compositionMs;
}

/** Splits length-prefixed NAL units (ISO/IEC 14496-15 section 5.3.4.2) without copying; empty ones are left out. */
export function splitNals(data: Buffer, from: number, lengthBytes: NalLengthBytes): Buffer[] {
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
