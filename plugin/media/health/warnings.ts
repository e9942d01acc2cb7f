/** What is wrong with a publisher, in words for the operator. */
import type { HealthWarning } from '../../contract.ts';
import type { AudioReading } from './audio.ts';
import { MAX_KEYFRAME_INTERVAL_MS, type VideoCarriage, type VideoReading } from './video.ts';

export interface HealthReadings {
  readonly video: VideoReading | null;
  readonly audio: AudioReading | null;
  readonly malformedTags: number;
  /** Milliseconds without a tag of the kind, by our clock. */
  readonly videoSilentMs: number;
  readonly audioSilentMs: number;
}

/** A kind that has not come for this long is missing. */
export const MISSING_AFTER_MS = 5000;
/** What becomes of video that WebRTC viewers cannot be shown as it is. */
const CONVERTED = 'is re-encoded for WebRTC viewers, or refused where that is off';
const FATES: Readonly<Record<Exclude<VideoCarriage, 'shown'>, string>> = {
  'shown-where-offered':
    'is re-encoded for WebRTC viewers that do not offer it, or refused to them where that is off',
  remade: CONVERTED,
  none: 'is not carried to WebRTC viewers',
};
const MAX_BITS_PER_SECOND = 20_000_000;
/** As `fourCcName` has it. */
const OPUS = 'Opus';

const seconds = (ms: number): string => `${Math.round(ms / 100) / 10} s`;

function missing(media: 'video' | 'audio', seen: boolean, silentMs: number): HealthWarning[] {
  if (silentMs < MISSING_AFTER_MS) return [];
  const text = seen ? `no ${media} for ${Math.floor(silentMs / 1000)} s` : `no ${media}`;
  return [{ code: `no_${media}`, text }];
}

function keyframeText({ facts: { keyframeIntervalMs }, sinceKeyframeMs }: VideoReading): string | null {
  if (sinceKeyframeMs > Math.max(keyframeIntervalMs ?? 0, MAX_KEYFRAME_INTERVAL_MS)) {
    return `no keyframe for ${seconds(sinceKeyframeMs)}: publish one every 2 s`;
  }
  if (keyframeIntervalMs === null || keyframeIntervalMs <= MAX_KEYFRAME_INTERVAL_MS) return null;
  return `keyframe every ${seconds(keyframeIntervalMs)}: publish one every 2 s`;
}

function soundText({ facts: { codec, channels } }: AudioReading): string {
  if (codec === OPUS)
    return `Opus of ${channels ?? 'many'} channels is not carried to WebRTC viewers: publish stereo`;
  return `${codec} sound is not carried to WebRTC viewers: publish AAC or Opus`;
}

/** The warnings that hold now, each at most once. */
export function warningsOf(readings: HealthReadings): HealthWarning[] {
  const { video, audio, malformedTags } = readings;
  const warnings = [
    ...missing('video', video !== null, readings.videoSilentMs),
    ...missing('audio', audio !== null, readings.audioSilentMs),
  ];
  const warn = (code: HealthWarning['code'], text: string) => void warnings.push({ code, text });
  if (video !== null && video.carriage !== 'shown') {
    warn('video_codec', `${video.facts.codec} video ${FATES[video.carriage]}: publish H.264`);
  }
  if (audio !== null && !audio.played) {
    warn('audio_codec', soundText(audio));
  }
  if (video?.facts.hasBFrames === true) warn('b_frames', `video with B-frames ${CONVERTED}: switch them off`);
  const keyframes = video === null ? null : keyframeText(video);
  if (keyframes !== null) warn('keyframe_interval', keyframes);
  const bits = (video?.facts.bitsPerSecond ?? 0) + (audio?.facts.bitsPerSecond ?? 0);
  if (bits > MAX_BITS_PER_SECOND) warn('bitrate', `${(bits / 1e6).toFixed(1)} Mbit/s: more than 20`);
  if (malformedTags > 0) warn('malformed_tags', `malformed tags: ${malformedTags}`);
  return warnings;
}
