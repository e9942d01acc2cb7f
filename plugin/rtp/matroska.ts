/** Matroska for a pipe: tracks whose blocks leave at once (RFC 9559; elements of unknown size, RFC 8794 section 6.2). */

export interface MatroskaTrack {
  readonly codecId: 'V_MPEG4/ISO/AVC' | 'V_MPEGH/ISO/HEVC' | 'V_AV1' | 'V_VP8' | 'V_VP9';
  /** The codec's configuration record; empty where it has none. */
  readonly codecPrivate: Buffer;
}

export interface MatroskaSoundTrack {
  readonly codecId: 'A_OPUS' | 'A_AAC';
  /** `OpusHead` (RFC 7845 section 5.1), or AudioSpecificConfig. */
  readonly codecPrivate: Buffer;
  readonly sampleRateHz: number;
  readonly channels: number;
}

const EBML = 0x1a45dfa3;
const EBML_MAX_ID_LENGTH = 0x42f2;
const EBML_MAX_SIZE_LENGTH = 0x42f3;
const DOC_TYPE = 0x4282;
const DOC_TYPE_VERSION = 0x4287;
const DOC_TYPE_READ_VERSION = 0x4285;
const SEGMENT = 0x18538067;
const INFO = 0x1549a966;
const TIMESTAMP_SCALE = 0x2ad7b1;
const TRACKS = 0x1654ae6b;
const TRACK_ENTRY = 0xae;
const TRACK_NUMBER = 0xd7;
const TRACK_UID = 0x73c5;
const TRACK_TYPE = 0x83;
const FLAG_LACING = 0x9c;
const CODEC_ID = 0x86;
const CODEC_PRIVATE = 0x63a2;
const VIDEO = 0xe0;
const PIXEL_WIDTH = 0xb0;
const PIXEL_HEIGHT = 0xba;
const AUDIO = 0xe1;
const SAMPLING_FREQUENCY = 0xb5;
const CHANNELS = 0x9f;
const VIDEO_TRACK = 1;
const AUDIO_TRACK = 2;
const CLUSTER = 0x1f43b675;
const TIMESTAMP = 0xe7;
const SIMPLE_BLOCK = 0xa3;

const UNKNOWN_SIZE = Buffer.from('01ffffffffffffff', 'hex');
const KEYFRAME_FLAG = 0x80;
const ONE_MILLISECOND_NS = 1_000_000;

function idOf(id: number): Buffer {
  const hex = id.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
}

/** A size in eight bytes (RFC 8794 section 4). */
function sizeOf(bytes: number): Buffer {
  const size = Buffer.alloc(8);
  size.writeUIntBE(bytes, 2, 6);
  size[0] = 1;
  return size;
}

function element(id: number, ...content: readonly Buffer[]): Buffer {
  const size = content.reduce((sum, { length }) => sum + length, 0);
  return Buffer.concat([idOf(id), sizeOf(size), ...content]);
}

function unsigned(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUIntBE(value, 2, 6);
  return element(id, bytes);
}

const text = (id: number, value: string): Buffer => element(id, Buffer.from(value, 'latin1'));

function float(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return element(id, bytes);
}

/** Readers take the size of the picture from the codec. */
function trackEntry(track: MatroskaTrack | MatroskaSoundTrack, index: number): Buffer {
  const { codecId, codecPrivate } = track;
  const kind =
    'channels' in track
      ? [
          unsigned(TRACK_TYPE, AUDIO_TRACK),
          element(AUDIO, float(SAMPLING_FREQUENCY, track.sampleRateHz), unsigned(CHANNELS, track.channels)),
        ]
      : [
          unsigned(TRACK_TYPE, VIDEO_TRACK),
          element(VIDEO, unsigned(PIXEL_WIDTH, 16), unsigned(PIXEL_HEIGHT, 16)),
        ];
  return element(
    TRACK_ENTRY,
    unsigned(TRACK_NUMBER, index + 1),
    unsigned(TRACK_UID, index + 1),
    unsigned(FLAG_LACING, 0),
    text(CODEC_ID, codecId),
    ...(codecPrivate.length === 0 ? [] : [element(CODEC_PRIVATE, codecPrivate)]),
    ...kind,
  );
}

/** What a file starts with, whose tracks have the numbers 1, 2, ... Its clock counts milliseconds. */
export function matroskaHeader(...tracks: readonly (MatroskaTrack | MatroskaSoundTrack)[]): Buffer {
  return Buffer.concat([
    element(
      EBML,
      unsigned(EBML_MAX_ID_LENGTH, 4),
      unsigned(EBML_MAX_SIZE_LENGTH, 8),
      text(DOC_TYPE, 'matroska'),
      unsigned(DOC_TYPE_VERSION, 4),
      unsigned(DOC_TYPE_READ_VERSION, 2),
    ),
    idOf(SEGMENT),
    UNKNOWN_SIZE,
    element(INFO, unsigned(TIMESTAMP_SCALE, ONE_MILLISECOND_NS)),
    element(TRACKS, ...tracks.map(trackEntry)),
  ]);
}

/**
 * A cluster of one block.
 * @param presentationMs whole milliseconds, 0 or more
 * @param data the picture, or sound, in parts, as its codec's mapping has it
 * @param track 1 to 126
 */
export function matroskaPicture(
  presentationMs: number,
  keyframe: boolean,
  data: readonly Buffer[],
  track = 1,
): Buffer {
  // No time beside the cluster's own.
  const head = Buffer.from([0x80 | track, 0, 0, keyframe ? KEYFRAME_FLAG : 0]);
  return element(CLUSTER, unsigned(TIMESTAMP, presentationMs), element(SIMPLE_BLOCK, head, ...data));
}
