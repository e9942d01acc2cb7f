/** What a message of the host holds, read from its first bytes: it goes out to many viewers and is parsed by none. */
import { FLV_AUDIO, FLV_HEADER_BYTES, FLV_SCRIPT, FLV_VIDEO } from '../../rtp/index.ts';

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
const FRAME_KEY = 1;
const ENHANCED = 0x80;
const ENHANCED_SEQUENCE_START = 0;
const ENHANCED_SEQUENCE_END = 2;
const AVC_CODED = 1;
const EXTENDED_TIMESTAMP = 0xff_ff_ff;
/** Basic header of one byte and message header of type 0 (RTMP 1.0 section 5.3.1.2.1). */
const RTMP_HEADER_BYTES = 12;

function videoKind(head: number, packetType: number): MediaKind {
  const isKey = ((head >> 4) & 7) === FRAME_KEY;
  if (head & ENHANCED) {
    if ((head & 0x0f) === ENHANCED_SEQUENCE_START) return 'video-head';
    // The end of a sequence is marked as a keyframe by ffmpeg, here and below, and holds no picture.
    return isKey && (head & 0x0f) !== ENHANCED_SEQUENCE_END ? 'keyframe' : 'picture';
  }
  const codec = head & 0x0f;
  if (codec !== CODEC_AVC && codec !== CODEC_HEVC) return isKey ? 'keyframe' : 'picture';
  if (packetType === 0) return 'video-head';
  return isKey && packetType === AVC_CODED ? 'keyframe' : 'picture';
}

function audioKind(head: number, packetType: number): MediaKind {
  const format = head >> 4;
  if (format === SOUND_AAC) return packetType === 0 ? 'audio-head' : 'sound';
  if (format === SOUND_ENHANCED) return (head & 0x0f) === ENHANCED_SEQUENCE_START ? 'audio-head' : 'sound';
  return 'sound';
}

function kindOf(type: number, message: Buffer, payload: number): MediaKind {
  const head = message[payload] ?? 0;
  const packetType = message[payload + 1] ?? 0;
  switch (type) {
    case FLV_VIDEO:
      return videoKind(head, packetType);
    case FLV_AUDIO:
      return audioKind(head, packetType);
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
  kindOf: once((tag) => kindOf(tag[0] ?? 0, tag, FLV_HEADER_BYTES)),
  timeOf: (tag) => (((tag[7] ?? 0) << 24) | tag.readUIntBE(4, 3)) >>> 0,
};

const hasExtendedTime = (message: Buffer): boolean => message.readUIntBE(1, 3) === EXTENDED_TIMESTAMP;

export const rtmpFormat: MessageFormat = {
  kindOf: once((message) =>
    kindOf(message[7] ?? 0, message, hasExtendedTime(message) ? RTMP_HEADER_BYTES + 4 : RTMP_HEADER_BYTES),
  ),
  timeOf: (message) =>
    hasExtendedTime(message) ? message.readUInt32BE(RTMP_HEADER_BYTES) : message.readUIntBE(1, 3),
};
