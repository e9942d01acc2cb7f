/** What a message of the host holds, read from its first bytes: it goes out to many viewers and is parsed by none. */
import {
  AUDIO_PACKET_MULTITRACK,
  findFirstTrack,
  FLV_AUDIO,
  FLV_HEADER_BYTES,
  FLV_SCRIPT,
  FLV_VIDEO,
  FRAME_COMMAND,
  isKeyframeType,
  PACKET_CODED_FRAMES,
  PACKET_MODIFIER,
  PACKET_SEQUENCE_START,
  skipModifiers,
  VIDEO_PACKET_CODED_FRAMES_X,
  VIDEO_PACKET_MULTITRACK,
} from '../../rtp/index.ts';

/** `head`s are needed before media can be understood; the latest of each kind counts. */
export type MediaKind =
  'file-head' | 'metadata-head' | 'audio-head' | 'video-head' | 'keyframe' | 'picture' | 'sound';

export interface MessageFormat {
  kindOf(message: Buffer): MediaKind;
  /** Milliseconds modulo 2^32. */
  timeOf(message: Buffer): number;
}

const SOUND_AAC = 10;
const SOUND_ENHANCED = 9;
const CODEC_AVC = 7;
const CODEC_HEVC = 12;
const ENHANCED = 0x80;
const AVC_HEAD = 0;
const AVC_CODED = 1;
const NO_PACKET = -1;
const FLV_TRAILER_BYTES = 4;
const EXTENDED_TIMESTAMP = 0xff_ff_ff;
/** Basic header of one byte and message header of type 0 (RTMP 1.0 section 5.3.1.2.1). */
const RTMP_HEADER_BYTES = 12;

/**
 * Packet type of an enhanced tag's first track; `NO_PACKET` when it has only other tracks, whose heads and keyframes are
 * not those of the stream, or ends too early.
 */
function enhancedPacketType(bytes: Buffer, at: number, end: number, multitrack: number): number {
  const packetType = (bytes[at] ?? 0) & 0x0f;
  if (packetType !== PACKET_MODIFIER && packetType !== multitrack) return packetType;
  const typeAt = skipModifiers(bytes, at, end);
  const track = typeAt < 0 ? undefined : findFirstTrack(bytes, typeAt, end, multitrack);
  return track?.packetType ?? NO_PACKET;
}

function enhancedVideoKind(bytes: Buffer, at: number, end: number, frameType: number): MediaKind {
  if (frameType === FRAME_COMMAND) return 'picture';
  switch (enhancedPacketType(bytes, at, end, VIDEO_PACKET_MULTITRACK)) {
    case PACKET_SEQUENCE_START:
      return 'video-head';
    // Not the end of a sequence, which ffmpeg marks as a keyframe, here and below.
    case PACKET_CODED_FRAMES:
    case VIDEO_PACKET_CODED_FRAMES_X:
      return isKeyframeType(frameType) ? 'keyframe' : 'picture';
    default:
      return 'picture';
  }
}

function videoKind(bytes: Buffer, at: number, end: number): MediaKind {
  const head = bytes[at] ?? 0;
  const frameType = (head >> 4) & 7;
  if (head & ENHANCED) return enhancedVideoKind(bytes, at, end, frameType);
  const codec = head & 0x0f;
  if (codec !== CODEC_AVC && codec !== CODEC_HEVC) return isKeyframeType(frameType) ? 'keyframe' : 'picture';
  const packetType = at + 1 < end ? bytes[at + 1] : NO_PACKET;
  if (packetType === AVC_HEAD) return 'video-head';
  return packetType === AVC_CODED && isKeyframeType(frameType) ? 'keyframe' : 'picture';
}

function audioKind(bytes: Buffer, at: number, end: number): MediaKind {
  const format = (bytes[at] ?? 0) >> 4;
  if (format === SOUND_AAC) return at + 1 < end && bytes[at + 1] === 0 ? 'audio-head' : 'sound';
  if (format !== SOUND_ENHANCED) return 'sound';
  const packetType = enhancedPacketType(bytes, at, end, AUDIO_PACKET_MULTITRACK);
  return packetType === PACKET_SEQUENCE_START ? 'audio-head' : 'sound';
}

/**
 * What a message is.
 * @param type of the FLV tag or RTMP message
 * @param at where its body starts in `bytes`, and `end` where it ends
 */
export function kindOfBody(type: number, bytes: Buffer, at: number, end: number): MediaKind {
  switch (type) {
    case FLV_VIDEO:
      return at < end ? videoKind(bytes, at, end) : 'picture';
    case FLV_AUDIO:
      return at < end ? audioKind(bytes, at, end) : 'sound';
    case FLV_SCRIPT:
      return 'metadata-head';
    default:
      return 'file-head';
  }
}

/** The host hands one message to all viewers, one after another: it is looked at for the first. */
function once(look: (message: Buffer) => MediaKind): (message: Buffer) => MediaKind {
  let latest: Buffer | undefined;
  let kind: MediaKind = 'file-head';
  return (message) => {
    if (message === latest) return kind;
    kind = look(message);
    latest = message;
    return kind;
  };
}

export const flvFormat: MessageFormat = {
  kindOf: once((tag) => kindOfBody(tag[0] ?? 0, tag, FLV_HEADER_BYTES, tag.length - FLV_TRAILER_BYTES)),
  timeOf: (tag) => (((tag[7] ?? 0) << 24) | tag.readUIntBE(4, 3)) >>> 0,
};

const hasExtendedTime = (message: Buffer): boolean => message.readUIntBE(1, 3) === EXTENDED_TIMESTAMP;

export const rtmpFormat: MessageFormat = {
  kindOf: once((message) => {
    const bodyAt = hasExtendedTime(message) ? RTMP_HEADER_BYTES + 4 : RTMP_HEADER_BYTES;
    return kindOfBody(message[7] ?? 0, message, bodyAt, message.length);
  }),
  timeOf: (message) =>
    hasExtendedTime(message) ? message.readUInt32BE(RTMP_HEADER_BYTES) : message.readUIntBE(1, 3),
};
