/** What a publisher's video tags tell about it. Per tag a few bytes are read, and next to nothing is allocated. */
import type { PublisherHealth } from '../../contract.ts';
import type { Log } from '../../ports.ts';
import {
  CODEC_AVC,
  findFirstTrack,
  FLV_HEADER_BYTES,
  FOURCC_AV1,
  FOURCC_AVC,
  FOURCC_HEVC,
  FOURCC_VP8,
  FOURCC_VP9,
  FOURCC_VVC,
  fourCcName,
  FRAME_COMMAND,
  isKeyframeType,
  MAX_COMPOSITION_MS,
  PACKET_CODED_FRAMES,
  PACKET_SEQUENCE_END,
  PACKET_SEQUENCE_START,
  parseAvcConfig,
  skipModifiers,
  VIDEO_PACKET_CODED_FRAMES_X,
  VIDEO_PACKET_MULTITRACK,
  videoCodecName,
} from '../../rtp/index.ts';
import { createRateMeter, statedBits } from '../rate-meter.ts';
import type { Timeline } from '../timeline.ts';

type Video = NonNullable<PublisherHealth['video']>;

export interface VideoReading {
  readonly facts: Omit<Video, 'width' | 'height'>;
  readonly carriage: VideoCarriage;
  /** Media time since the last keyframe, or since the first picture where none came. */
  readonly sinceKeyframeMs: number;
}

/**
 * What WebRTC viewers get of a codec: H.264; what all or most of them offer, made anew for the others; what is made anew
 * for all of them; nothing.
 */
export type VideoCarriage = 'shown' | 'shown-where-offered' | 'remade' | 'none';

export interface VideoHealth {
  /**
   * Takes one video tag whose body ends at `end`; false if it breaks the format.
   * @throws FormatError for a configuration that breaks its own
   */
  take(tag: Buffer, end: number, timestampMs: number): boolean;
  /** `null` before the first tag that says what it is. */
  read(): VideoReading | null;
  restart(): void;
}

export const MAX_KEYFRAME_INTERVAL_MS = 4000;
const MAX_STATED_INTERVAL_MS = 86_400_000;
const MAX_STATED_FRAMES = 100_000;

const BODY = FLV_HEADER_BYTES;
/** Other codecs that came with the packet types and composition times of AVC: H.265 and AV1, before Enhanced RTMP. */
const CODEC_HEVC = 12;
const CODEC_AV1 = 13;

const CARRIAGES: ReadonlyMap<number, VideoCarriage> = new Map([
  [CODEC_AVC, 'shown'],
  [FOURCC_AVC, 'shown'],
  [FOURCC_AV1, 'shown-where-offered'],
  [FOURCC_VP9, 'shown-where-offered'],
  [FOURCC_VP8, 'shown-where-offered'],
  [FOURCC_HEVC, 'remade'],
]);

export function createVideoHealth(options: {
  readonly path: string;
  readonly timeline: Timeline;
  readonly log: Log;
}): VideoHealth {
  const { path, timeline, log } = options;
  const bytes = createRateMeter();
  const frames = createRateMeter();
  /** CodecID or FourCC, which are never the same number; -1 before the first. */
  let codecKey = -1;
  let codec: string | null = null;
  let profileLevelId: string | null = null;
  let hasBFrames = false;
  let latestPresentationMs = -Infinity;
  /** Media times and a distance; -1 before there is one. */
  let firstMs = -1;
  let keyframeAtMs = -1;
  let keyframeIntervalMs = -1;
  let lastMs = 0;
  let warnedOfInterval = false;

  function takeCodec(key: number, name: string): void {
    codecKey = key;
    codec = name;
    profileLevelId = null;
  }

  function takeKeyframe(dtsMs: number): void {
    if (keyframeAtMs >= 0) keyframeIntervalMs = dtsMs - keyframeAtMs;
    keyframeAtMs = dtsMs;
    if (keyframeIntervalMs <= MAX_KEYFRAME_INTERVAL_MS || warnedOfInterval) return;
    warnedOfInterval = true;
    log.warn({ path, keyframeIntervalMs }, 'keyframes are far apart, and viewers wait for them');
  }

  function takeFrame(key: boolean, compositionMs: number, size: number, timestampMs: number): boolean {
    if (compositionMs > MAX_COMPOSITION_MS || compositionMs < -MAX_COMPOSITION_MS) return false;
    const dtsMs = timeline.map('video', timestampMs);
    if (firstMs < 0) firstMs = dtsMs;
    lastMs = dtsMs;
    bytes.add(size, dtsMs);
    frames.add(1, dtsMs);
    const presentationMs = dtsMs + compositionMs;
    if (presentationMs < latestPresentationMs && !hasBFrames) {
      hasBFrames = true;
      log.warn(
        { path },
        'the video has B-frames: for WebRTC viewers it is re-encoded, or refused where that is off',
      );
    }
    if (presentationMs > latestPresentationMs) latestPresentationMs = presentationMs;
    if (key) takeKeyframe(dtsMs);
    return true;
  }

  function takeAvcConfig(record: Buffer): boolean {
    profileLevelId = parseAvcConfig(record).profileLevelId;
    return true;
  }

  function takePlain(tag: Buffer, end: number, timestampMs: number): boolean {
    const head = tag[BODY] ?? 0;
    const frameType = head >> 4;
    if (frameType === FRAME_COMMAND) return true;
    const codecId = head & 0x0f;
    if (codecId !== codecKey) takeCodec(codecId, videoCodecName(codecId));
    const key = isKeyframeType(frameType);
    if (codecId !== CODEC_AVC && codecId !== CODEC_HEVC && codecId !== CODEC_AV1) {
      return takeFrame(key, 0, end - BODY, timestampMs);
    }
    if (end < BODY + 5) return false;
    switch (tag[BODY + 1]) {
      case PACKET_SEQUENCE_START:
        return codecId !== CODEC_AVC || takeAvcConfig(tag.subarray(BODY + 5, end));
      case PACKET_CODED_FRAMES:
        return takeFrame(key, tag.readIntBE(BODY + 2, 3), end - BODY, timestampMs);
      default:
        return tag[BODY + 1] === PACKET_SEQUENCE_END;
    }
  }

  /** Enhanced RTMP v2, "ExVideoTagHeader". Only the first track is looked at. */
  function takeEnhanced(tag: Buffer, end: number, timestampMs: number): boolean {
    const frameType = ((tag[BODY] ?? 0) >> 4) & 7;
    if (frameType === FRAME_COMMAND) return true;
    const at = skipModifiers(tag, BODY, end);
    const track = at < 0 ? undefined : findFirstTrack(tag, at, end, VIDEO_PACKET_MULTITRACK);
    if (track === undefined) return false;
    if (track === null) return true;
    const { packetType, fourCc, dataAt, dataEnd } = track;
    if (fourCc !== codecKey) {
      const name = fourCcName(fourCc);
      if (name === undefined) return false;
      takeCodec(fourCc, name);
    }
    const key = isKeyframeType(frameType);
    switch (packetType) {
      case PACKET_SEQUENCE_START:
        return fourCc !== FOURCC_AVC || takeAvcConfig(tag.subarray(dataAt, dataEnd));
      case PACKET_CODED_FRAMES:
        if (fourCc !== FOURCC_AVC && fourCc !== FOURCC_HEVC && fourCc !== FOURCC_VVC) break;
        if (dataEnd < dataAt + 3) return false;
        return takeFrame(key, tag.readIntBE(dataAt, 3), dataEnd - dataAt, timestampMs);
      case VIDEO_PACKET_CODED_FRAMES_X:
        break;
      default:
        return true;
    }
    return takeFrame(key, 0, dataEnd - dataAt, timestampMs);
  }

  return {
    take: (tag, end, timestampMs) =>
      ((tag[BODY] ?? 0) & 0x80) === 0
        ? takePlain(tag, end, timestampMs)
        : takeEnhanced(tag, end, timestampMs),
    read: () =>
      codec === null
        ? null
        : {
            carriage: CARRIAGES.get(codecKey) ?? 'none',
            sinceKeyframeMs: firstMs < 0 ? 0 : lastMs - Math.max(keyframeAtMs, firstMs),
            facts: {
              codec,
              profileLevelId,
              hasBFrames,
              keyframeIntervalMs:
                keyframeIntervalMs < 0 ? null : Math.min(keyframeIntervalMs, MAX_STATED_INTERVAL_MS),
              framesPerSecond: Math.min(Math.round(frames.perSecond() * 100) / 100, MAX_STATED_FRAMES),
              bitsPerSecond: statedBits(bytes),
            },
          },
    restart() {
      codecKey = -1;
      codec = null;
      profileLevelId = null;
      hasBFrames = false;
      warnedOfInterval = false;
      latestPresentationMs = -Infinity;
      firstMs = keyframeAtMs = keyframeIntervalMs = -1;
      lastMs = 0;
      bytes.reset();
      frames.reset();
    },
  };
}
