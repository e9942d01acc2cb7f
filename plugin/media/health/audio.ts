/** What a publisher's audio tags tell about it. Per tag a few bytes are read; nothing is allocated. */
import type { PublisherHealth } from '../../contract.ts';
import {
  audioCodecName,
  FLV_HEADER_BYTES,
  FOURCC_AAC,
  fourCcName,
  parseAacConfig,
  SOUND_AAC,
  SOUND_ENHANCED,
} from '../../rtp/index.ts';
import { createRateMeter, statedBits } from '../rate-meter.ts';
import type { Timeline } from '../timeline.ts';

export interface AudioReading {
  readonly facts: NonNullable<PublisherHealth['audio']>;
  /** True if WebRTC viewers get it: AAC in plain tags. */
  readonly played: boolean;
}

export interface AudioHealth {
  /**
   * Takes one audio tag whose body ends at `end`; false if it breaks the format.
   * @throws FormatError for a configuration that breaks its own
   */
  take(tag: Buffer, end: number, timestampMs: number): boolean;
  /** `null` before the first tag that says what it is. */
  read(): AudioReading | null;
  restart(): void;
}

const BODY = FLV_HEADER_BYTES;
const PACKET_CONFIG = 0;
const PACKET_FRAME = 1;
/** Enhanced RTMP: several tracks, a modifier in front. */
const PACKET_MULTITRACK = 5;
const PACKET_MODIFIER = 7;
/** PCM, ADPCM and MP3 state their rate (5,512.5 Hz times a power of two) and channels in each tag. */
const LAST_SELF_DESCRIBED = 3;
const BASE_RATE_HZ = 5512.5;

export function createAudioHealth(timeline: Timeline): AudioHealth {
  const bytes = createRateMeter();
  /** SoundFormat or FourCC, which are never the same number; -1 before the first. */
  let codecKey = -1;
  let codec: string | null = null;
  let sampleRateHz: number | null = null;
  let channels: number | null = null;

  function takeCodec(key: number, name: string): void {
    codecKey = key;
    codec = name;
    sampleRateHz = null;
    channels = null;
  }

  function takeFrame(size: number, timestampMs: number): boolean {
    bytes.add(size, timeline.map('audio', timestampMs));
    return true;
  }

  function takeAacConfig(record: Buffer): boolean {
    const config = parseAacConfig(record);
    sampleRateHz = config.sampleRateHz;
    channels = config.channels === 0 ? null : config.channels;
    return true;
  }

  function takePlain(tag: Buffer, end: number, timestampMs: number): boolean {
    const head = tag[BODY] ?? 0;
    const format = head >> 4;
    if (format !== codecKey) {
      takeCodec(format, audioCodecName(format));
      if (format <= LAST_SELF_DESCRIBED) {
        sampleRateHz = Math.floor(BASE_RATE_HZ * 2 ** ((head >> 2) & 3));
        channels = (head & 1) + 1;
      }
    }
    if (format !== SOUND_AAC) return takeFrame(end - BODY, timestampMs);
    if (end < BODY + 2) return false;
    if (tag[BODY + 1] === PACKET_CONFIG) return takeAacConfig(tag.subarray(BODY + 2, end));
    if (tag[BODY + 1] !== PACKET_FRAME) return false;
    return end === BODY + 2 || takeFrame(end - BODY, timestampMs);
  }

  /** Enhanced RTMP v2, "ExAudioTagHeader": packet type and FourCC. */
  function takeEnhanced(tag: Buffer, end: number, timestampMs: number): boolean {
    const packetType = (tag[BODY] ?? 0) & 0x0f;
    // Several tracks in one tag, and modifiers, put the FourCC elsewhere: they are counted and not looked into.
    if (packetType === PACKET_MULTITRACK || packetType === PACKET_MODIFIER) {
      if (codec === null) takeCodec(SOUND_ENHANCED, audioCodecName(SOUND_ENHANCED));
      return takeFrame(end - BODY, timestampMs);
    }
    if (end < BODY + 5) return false;
    const fourCc = tag.readUInt32BE(BODY + 1);
    if (fourCc !== codecKey) {
      const name = fourCcName(fourCc);
      if (name === undefined) return false;
      takeCodec(fourCc, name);
    }
    if (packetType === PACKET_CONFIG) {
      return fourCc !== FOURCC_AAC || takeAacConfig(tag.subarray(BODY + 5, end));
    }
    return packetType !== PACKET_FRAME || takeFrame(end - BODY, timestampMs);
  }

  return {
    take: (tag, end, timestampMs) =>
      (tag[BODY] ?? 0) >> 4 === SOUND_ENHANCED
        ? takeEnhanced(tag, end, timestampMs)
        : takePlain(tag, end, timestampMs),
    read: () =>
      codec === null
        ? null
        : {
            played: codecKey === SOUND_AAC,
            facts: { codec, sampleRateHz, channels, bitsPerSecond: statedBits(bytes) },
          },
    restart() {
      codecKey = -1;
      codec = sampleRateHz = channels = null;
      bytes.reset();
    },
  };
}
