/** What a publisher's audio tags tell about it. Per tag a few bytes are read, and next to nothing is allocated. */
import type { PublisherHealth } from '../../contract.ts';
import {
  AUDIO_PACKET_MULTICHANNEL_CONFIG,
  AUDIO_PACKET_MULTITRACK,
  audioCodecName,
  findFirstTrack,
  FLV_HEADER_BYTES,
  FOURCC_AAC,
  FOURCC_OPUS,
  fourCcName,
  MAX_OPUS_CHANNELS,
  OPUS_CLOCK_RATE,
  PACKET_CODED_FRAMES,
  PACKET_SEQUENCE_START,
  parseAacConfig,
  parseOpusHead,
  skipModifiers,
  SOUND_AAC,
  SOUND_ENHANCED,
} from '../../rtp/index.ts';
import { createRateMeter, statedBits } from '../rate-meter.ts';
import type { Timeline } from '../timeline.ts';

export interface AudioReading {
  readonly facts: NonNullable<PublisherHealth['audio']>;
  /** True if WebRTC viewers get it: AAC, or mono or stereo Opus. */
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
    if (tag[BODY + 1] === PACKET_SEQUENCE_START) return takeAacConfig(tag.subarray(BODY + 2, end));
    if (tag[BODY + 1] !== PACKET_CODED_FRAMES) return false;
    return end === BODY + 2 || takeFrame(end - BODY, timestampMs);
  }

  function takeOpusConfig(packetType: number, data: Buffer): boolean {
    const stated = packetType === PACKET_SEQUENCE_START ? parseOpusHead(data).channels : (data[1] ?? 0);
    if (stated === 0) return false;
    channels = stated;
    return true;
  }

  /** Enhanced RTMP v2, "ExAudioTagHeader". Only the first track is looked at. */
  function takeEnhanced(tag: Buffer, end: number, timestampMs: number): boolean {
    const at = skipModifiers(tag, BODY, end);
    const track = at < 0 ? undefined : findFirstTrack(tag, at, end, AUDIO_PACKET_MULTITRACK);
    if (track === undefined) return false;
    if (track === null) return true;
    const { packetType, fourCc, dataAt, dataEnd } = track;
    if (fourCc !== codecKey) {
      const name = fourCcName(fourCc);
      if (name === undefined) return false;
      takeCodec(fourCc, name);
      if (fourCc === FOURCC_OPUS) sampleRateHz = OPUS_CLOCK_RATE;
    }
    if (packetType === PACKET_CODED_FRAMES) return takeFrame(dataEnd - dataAt, timestampMs);
    const data = tag.subarray(dataAt, dataEnd);
    const isConfig = packetType === PACKET_SEQUENCE_START;
    if (fourCc === FOURCC_AAC && isConfig) return takeAacConfig(data);
    if (fourCc === FOURCC_OPUS && (isConfig || packetType === AUDIO_PACKET_MULTICHANNEL_CONFIG)) {
      return takeOpusConfig(packetType, data);
    }
    return true;
  }

  function isPlayed(): boolean {
    if (codecKey === FOURCC_OPUS) return (channels ?? 0) <= MAX_OPUS_CHANNELS;
    return codecKey === SOUND_AAC || codecKey === FOURCC_AAC;
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
            played: isPlayed(),
            facts: { codec, sampleRateHz, channels, bitsPerSecond: statedBits(bytes) },
          },
    restart() {
      codecKey = -1;
      codec = sampleRateHz = channels = null;
      bytes.reset();
    },
  };
}
