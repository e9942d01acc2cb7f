/**
 * Enhanced RTMP (veovera.org, v1 and v2) in FLV tags: a FourCC names the codec, modifiers may stand in front of it, and
 * several tracks may share a tag. The first track, number 0, is the one that is carried.
 */
import { parseAacConfig } from './aac-config.ts';
import { MAX_RECORD_BYTES, parseAvcConfig, type NalLengthBytes } from './avc-config.ts';
import {
  FOURCC_AAC,
  FOURCC_AV1,
  FOURCC_AVC,
  FOURCC_HEVC,
  FOURCC_OPUS,
  FOURCC_VP8,
  FOURCC_VP9,
  fourCcName,
} from './flv-codecs.ts';
import {
  FRAME_COMMAND,
  IGNORED,
  isKeyframeType,
  readComposition,
  splitNals,
  type EnhancedVideoCodec,
  type FlvTag,
} from './flv-tag.ts';
import { FormatError } from './format-error.ts';
import { parseOpusHead } from './opus.ts';

/** Packet types ("VideoPacketType", "AudioPacketType"); those without a medium in the name are the same for both. */
export const PACKET_SEQUENCE_START = 0;
export const PACKET_CODED_FRAMES = 1;
export const PACKET_SEQUENCE_END = 2;
/** Coded frames whose composition time is 0. */
export const VIDEO_PACKET_CODED_FRAMES_X = 3;
const VIDEO_PACKET_METADATA = 4;
const VIDEO_PACKET_MPEG2TS_SEQUENCE_START = 5;
export const VIDEO_PACKET_MULTITRACK = 6;
export const AUDIO_PACKET_MULTICHANNEL_CONFIG = 4;
export const AUDIO_PACKET_MULTITRACK = 5;
export const PACKET_MODIFIER = 7;

const MULTITRACK_ONE = 0;
const MULTITRACK_MANY_CODECS = 2;
const MAX_MODIFIERS = 8;
const MAX_TRACKS = 256;
/** RFC 7587 section 4.2: mono or stereo, one Opus stream. */
export const MAX_OPUS_CHANNELS = 2;

/** Where the first track of a tag is. */
export interface FirstTrack {
  readonly packetType: number;
  /** Big-endian. */
  readonly fourCc: number;
  /** What follows the FourCC and the track's number and size. */
  readonly dataAt: number;
  readonly dataEnd: number;
}

/**
 * Steps over the modifiers in front of a packet; what they say (nanoseconds beyond the timestamp) is finer than RTMP's
 * clock. Reads a few bytes and allocates nothing.
 * @param at the first byte of the tag's body
 * @returns index of the byte whose low four bits are the packet type; -1 when the tag ends before it
 */
export function skipModifiers(bytes: Buffer, at: number, end: number): number {
  let index = at;
  for (let count = 0; index < end; count++) {
    if (((bytes[index] ?? 0) & 0x0f) !== PACKET_MODIFIER) return index;
    if (count === MAX_MODIFIERS || index + 4 > end) return -1;
    const short = (bytes[index + 1] ?? 0) + 1;
    // 256 announces a longer one, with its size in the next two bytes.
    index += short < 256 ? 2 + short : 4 + bytes.readUInt16BE(index + 2) + 1;
  }
  return -1;
}

/**
 * Finds the first track of a tag.
 * @param at what `skipModifiers` has answered
 * @param multitrack the packet type of the medium that announces several tracks
 * @returns `null` when only other tracks are there, `undefined` when the tag is cut off or breaks the format
 */
export function findFirstTrack(
  bytes: Buffer,
  at: number,
  end: number,
  multitrack: number,
): FirstTrack | null | undefined {
  const packetType = (bytes[at] ?? 0) & 0x0f;
  if (packetType !== multitrack) {
    return at + 5 > end
      ? undefined
      : { packetType, fourCc: bytes.readUInt32BE(at + 1), dataAt: at + 5, dataEnd: end };
  }
  return findAmongTracks(bytes, at + 1, end, multitrack);
}

function findAmongTracks(
  bytes: Buffer,
  at: number,
  end: number,
  multitrack: number,
): FirstTrack | null | undefined {
  if (at >= end) return undefined;
  const manner = (bytes[at] ?? 0) >> 4;
  const packetType = (bytes[at] ?? 0) & 0x0f;
  if (manner > MULTITRACK_MANY_CODECS || packetType === multitrack || packetType === PACKET_MODIFIER) {
    return undefined;
  }
  let offset = at + 1;
  let fourCc = 0;
  for (let count = 0; count < MAX_TRACKS; count++) {
    if (offset === end && count > 0) return null;
    if (count === 0 || manner === MULTITRACK_MANY_CODECS) {
      if (offset + 4 > end) return undefined;
      fourCc = bytes.readUInt32BE(offset);
      offset += 4;
    }
    const dataAt = offset + (manner === MULTITRACK_ONE ? 1 : 4);
    if (dataAt > end) return undefined;
    const dataEnd = manner === MULTITRACK_ONE ? end : dataAt + bytes.readUIntBE(offset + 1, 3);
    if (dataEnd > end) return undefined;
    if (bytes[offset] === 0) return { packetType, fourCc, dataAt, dataEnd };
    offset = dataEnd;
  }
  return undefined;
}

interface Packet {
  readonly packetType: number;
  readonly fourCc: number;
  readonly data: Buffer;
}

/** @throws FormatError */
function readPacket(body: Buffer, at: number, multitrack: number): Packet | null {
  const found = findFirstTrack(body, at, body.length, multitrack);
  if (found === undefined) throw new FormatError('flv', 'enhanced tag is cut off');
  if (found === null) return null;
  const { packetType, fourCc, dataAt, dataEnd } = found;
  return { packetType, fourCc, data: body.subarray(dataAt, dataEnd) };
}

/** @throws FormatError */
function behindModifiers(body: Buffer): number {
  const at = skipModifiers(body, 0, body.length);
  if (at < 0) throw new FormatError('flv', 'modifiers without end in an enhanced tag');
  return at;
}

/** @throws FormatError for a FourCC that cannot be printed */
function unsupported(media: 'audio' | 'video', fourCc: number): FlvTag {
  const codec = fourCcName(fourCc);
  if (codec === undefined) throw new FormatError('flv', `enhanced ${media} tag without a FourCC`);
  return { kind: 'unsupported', media, codec };
}

interface VideoCodecRow {
  readonly codec: EnhancedVideoCodec;
  /** Coded frames have a composition time in front. */
  readonly reorders: boolean;
  /** Bytes of the shortest configuration record (hvcC, av1C, vpcC), and the first of them, its version. */
  readonly minRecordBytes: number;
  readonly recordVersion: number;
}

const VIDEO_CODECS: ReadonlyMap<number, VideoCodecRow> = new Map([
  [FOURCC_HEVC, { codec: 'H265', reorders: true, minRecordBytes: 23, recordVersion: 1 }],
  [FOURCC_AV1, { codec: 'AV1', reorders: false, minRecordBytes: 4, recordVersion: 0x81 }],
  [FOURCC_VP9, { codec: 'VP9', reorders: false, minRecordBytes: 8, recordVersion: 1 }],
  [FOURCC_VP8, { codec: 'VP8', reorders: false, minRecordBytes: 8, recordVersion: 1 }],
]);

function checkRecord(row: VideoCodecRow, record: Buffer): Buffer {
  if (record.length < row.minRecordBytes || record.length > MAX_RECORD_BYTES) {
    throw new FormatError('flv', 'configuration record has an impossible size');
  }
  if (record[0] !== row.recordVersion)
    throw new FormatError('flv', 'configuration record of another version');
  return record;
}

/**
 * Parses the body of an enhanced video tag. Buffers in the result are views of `body`.
 * @param body not empty, with the top bit of its first byte set
 * @throws FormatError
 */
export function parseEnhancedVideo(body: Buffer, dtsMs: number, nalLengthBytes: NalLengthBytes): FlvTag {
  const frameType = ((body[0] ?? 0) >> 4) & 7;
  const at = behindModifiers(body);
  const isMetadata = ((body[at] ?? 0) & 0x0f) === VIDEO_PACKET_METADATA;
  if (frameType === FRAME_COMMAND && !isMetadata) return IGNORED;
  const packet = readPacket(body, at, VIDEO_PACKET_MULTITRACK);
  if (packet === null) return { kind: 'extra-track', media: 'video' };
  const { packetType, fourCc, data } = packet;
  const row = VIDEO_CODECS.get(fourCc);
  if (row === undefined && fourCc !== FOURCC_AVC) return unsupported('video', fourCc);
  switch (packetType) {
    case PACKET_SEQUENCE_START:
      return row === undefined
        ? { kind: 'avc-config', config: parseAvcConfig(data) }
        : { kind: 'video-config', codec: row.codec, record: checkRecord(row, data) };
    case PACKET_CODED_FRAMES:
    case VIDEO_PACKET_CODED_FRAMES_X: {
      const hasComposition = packetType === PACKET_CODED_FRAMES && row?.reorders !== false;
      const compositionMs = hasComposition ? readComposition(data, 0) : 0;
      const from = hasComposition ? 3 : 0;
      const keyframe = isKeyframeType(frameType);
      if (row === undefined) {
        const nals = splitNals(data, from, nalLengthBytes);
        return { kind: 'avc-frame', dtsMs, compositionMs, keyframe, nals };
      }
      if (data.length === from) return IGNORED;
      return {
        kind: 'video-frame',
        codec: row.codec,
        dtsMs,
        compositionMs,
        keyframe,
        data: data.subarray(from),
      };
    }
    case PACKET_SEQUENCE_END:
    case VIDEO_PACKET_METADATA:
      return IGNORED;
    case VIDEO_PACKET_MPEG2TS_SEQUENCE_START:
      return { kind: 'unsupported', media: 'video', codec: 'AV1 as in MPEG-2 TS' };
    default:
      throw new FormatError('flv', 'unknown enhanced video packet type');
  }
}

/** Unspecified, native or custom order of channels, and their number; the rest of it says which is which. */
function parseOpusChannels(data: Buffer): FlvTag {
  const channels = data[1] ?? 0;
  if (channels === 0) throw new FormatError('flv', 'multichannel configuration without channels');
  return { kind: 'opus-config', channels, carried: channels <= MAX_OPUS_CHANNELS };
}

function parseOpus(packetType: number, data: Buffer, dtsMs: number): FlvTag {
  switch (packetType) {
    case PACKET_SEQUENCE_START: {
      const { channels, streams } = parseOpusHead(data);
      return { kind: 'opus-config', channels, carried: channels <= MAX_OPUS_CHANNELS && streams === 1 };
    }
    case PACKET_CODED_FRAMES:
      return data.length === 0 ? IGNORED : { kind: 'opus-frame', dtsMs, data };
    case AUDIO_PACKET_MULTICHANNEL_CONFIG:
      return parseOpusChannels(data);
    case PACKET_SEQUENCE_END:
      return IGNORED;
    default:
      throw new FormatError('flv', 'unknown enhanced audio packet type');
  }
}

function parseAac(packetType: number, data: Buffer, dtsMs: number): FlvTag {
  switch (packetType) {
    case PACKET_SEQUENCE_START:
      return { kind: 'aac-config', config: parseAacConfig(data) };
    case PACKET_CODED_FRAMES:
      return data.length === 0 ? IGNORED : { kind: 'aac-frame', dtsMs, data };
    // AAC's own configuration says the channels too.
    case AUDIO_PACKET_MULTICHANNEL_CONFIG:
    case PACKET_SEQUENCE_END:
      return IGNORED;
    default:
      throw new FormatError('flv', 'unknown enhanced audio packet type');
  }
}

/**
 * Parses the body of an enhanced audio tag. Buffers in the result are views of `body`.
 * @param body not empty, its first four bits saying that it is one
 * @throws FormatError
 */
export function parseEnhancedAudio(body: Buffer, dtsMs: number): FlvTag {
  const packet = readPacket(body, behindModifiers(body), AUDIO_PACKET_MULTITRACK);
  if (packet === null) return { kind: 'extra-track', media: 'audio' };
  const { packetType, fourCc, data } = packet;
  if (fourCc === FOURCC_OPUS) return parseOpus(packetType, data, dtsMs);
  if (fourCc === FOURCC_AAC) return parseAac(packetType, data, dtsMs);
  return unsupported('audio', fourCc);
}
