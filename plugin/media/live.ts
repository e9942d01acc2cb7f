/** A live publisher's FLV tags onto the stage: H.264 as it is, AAC as Opus, on one timeline that survives the publisher's return. */
import { randomBytes } from 'node:crypto';
import type { Clock, Log, StageEntrance, StageStream } from '../ports.ts';
import {
  FormatError,
  opusPacketSamples,
  parseFlvTag,
  profileLevelIdOf,
  type AacConfig,
  type AccessUnit,
  type AvcConfig,
  type FlvTag,
} from '../rtp/index.ts';
import { createOpusTranscoder } from './opus-transcoder.ts';
import { createRateMeter } from './rate-meter.ts';
import {
  createAudioTrack,
  createVideoTrack,
  type AudioTrack,
  type TrackContext,
  type VideoTrack,
} from './rtp-tracks.ts';
import { createTimeline } from './timeline.ts';

export interface LiveFeedOptions {
  /** Stream path. */
  readonly path: string;
  readonly stage: StageEntrance;
  readonly clock: Clock;
  readonly log: Log;
  /** Name or path of ffmpeg, which turns AAC into Opus. Default `ffmpeg`. */
  readonly ffmpegPath?: string;
  /** Called once, when the feed has been closed. */
  readonly onEnd?: () => void;
}

export interface VideoHealth {
  /** `H.264`, or the name of a codec that cannot be shown. */
  readonly codec: string;
  readonly supported: boolean;
  /** `null` until the first SPS. */
  readonly profileLevelId: string | null;
  /** Browsers show pictures that are out of order badly or not at all. */
  readonly hasBFrames: boolean;
  /** Between the last two keyframes; `null` before the second. */
  readonly keyframeIntervalMs: number | null;
  readonly bitsPerSecond: number;
}

export interface AudioHealth {
  readonly codec: string;
  readonly supported: boolean;
  readonly sampleRateHz: number | null;
  readonly channels: number | null;
  readonly bitsPerSecond: number;
}

export interface FeedHealth {
  /** `null` until the publisher sends any. */
  readonly video: VideoHealth | null;
  readonly audio: AudioHealth | null;
  /** Tags that broke the format and were left out. */
  readonly malformedTags: number;
}

export interface LiveFeed {
  /**
   * Takes one FLV tag. The tag must not be written to afterwards. Never throws: a malformed tag is counted and left out.
   * @param timestampMs the publisher's own timestamp (modulo 2^32), where the host has changed the tag's
   */
  pushTag(tag: Buffer, timestampMs?: number): void;
  /** The publisher has come back: its timestamps and its configuration start anew, the viewers' go on. */
  restart(): void;
  /** Ends the stream on the stage. Idempotent. */
  close(): void;
  /** Milliseconds of media so far; never falls, and gaps over a second do not count. */
  mediaMs(): number;
  health(): FeedHealth;
}

const NAL_SPS = 7;
/** A publisher that has sent this much sound and no picture is on air without one. */
const AUDIO_ONLY_AFTER_MS = 1000;

/** Opens a feed; the stage hears of it with the first configuration that it can carry. */
export function createLiveFeed(options: LiveFeedOptions): LiveFeed {
  const { path, stage, clock, log } = options;
  const timeline = createTimeline(clock);
  const unixOffsetMs = clock.nowMs() - clock.monotonicMs();
  const videoRate = createRateMeter(clock);
  const audioRate = createRateMeter(clock);
  const warned = new Set<string>();

  let stream: StageStream | undefined;
  let context: TrackContext | undefined;
  let video: VideoTrack | undefined;
  let audio: AudioTrack | undefined;
  let avc: AvcConfig | undefined;
  let profileLevelId: string | undefined;
  let aac: AacConfig | undefined;
  let audioReady = false;
  let unsupportedVideo: string | undefined;
  let unsupportedAudio: string | undefined;
  let hasBFrames = false;
  let latestPresentationMs = -Infinity;
  let lastKeyframeMs: number | undefined;
  let keyframeIntervalMs: number | null = null;
  let malformedTags = 0;
  let closed = false;

  const transcoder = createOpusTranscoder({
    path,
    ffmpegPath: options.ffmpegPath ?? 'ffmpeg',
    log,
    onReady() {
      audioReady = true;
      addAudioIfOpen();
    },
    onPacket: (packet, ticks) => audio?.send(packet, ticks, opusPacketSamples(packet)),
  });

  function warnOnce(key: string, fields: object, message: string): void {
    if (warned.has(key)) return;
    warned.add(key);
    log.warn({ path, ...fields }, message);
  }

  function openStream(): { stream: StageStream; context: TrackContext } {
    if (stream === undefined || context === undefined) {
      stream = stage.openStream(path, timeline.mediaMs);
      // RFC 7022 section 4.2: 96 random bits make a short-term CNAME.
      const cname = randomBytes(12).toString('base64');
      context = { cname, timeline, clock, log, ntpMs: () => unixOffsetMs + clock.monotonicMs() };
    }
    return { stream, context };
  }

  function closeStream(): void {
    video?.close();
    audio?.close();
    stream?.close();
    video = audio = stream = context = undefined;
  }

  function addAudioIfOpen(): void {
    if (!audioReady || audio !== undefined || closed) return;
    const audioOnly = unsupportedVideo !== undefined || timeline.mediaMs() > AUDIO_ONLY_AFTER_MS;
    if (stream === undefined && !audioOnly) return;
    const opened = openStream();
    audio = createAudioTrack(opened.context, (parameters) => opened.stream.addAudio(parameters));
  }

  /** The stage and its viewers settle on a profile once: another one is another stream. */
  function showProfile(next: string): void {
    if (next === profileLevelId && video !== undefined) return;
    if (video !== undefined) {
      log.info(
        { path, from: profileLevelId, to: next },
        'the video profile has changed: the stream starts anew',
      );
      closeStream();
    }
    profileLevelId = next;
    unsupportedVideo = undefined;
    const opened = openStream();
    video = createVideoTrack(opened.context, (parameters) =>
      opened.stream.addVideo({ ...parameters, profileLevelId: next }),
    );
    if (avc !== undefined) video.setParameterSets([...avc.sps, ...avc.pps]);
    addAudioIfOpen();
  }

  function takeAvcConfig(config: AvcConfig): void {
    avc = config;
    showProfile(config.profileLevelId);
    video?.setParameterSets([...config.sps, ...config.pps]);
  }

  function takePicture(unit: AccessUnit, tagMs: number): void {
    const dtsMs = timeline.map('video', tagMs);
    if (avc === undefined) return;
    const presentationMs = dtsMs + unit.compositionMs;
    if (presentationMs < latestPresentationMs && !hasBFrames) {
      hasBFrames = true;
      log.warn({ path }, 'the video has B-frames, which browsers do not show well; publish without them');
    }
    latestPresentationMs = Math.max(latestPresentationMs, presentationMs);
    if (unit.keyframe) {
      if (lastKeyframeMs !== undefined) keyframeIntervalMs = dtsMs - lastKeyframeMs;
      lastKeyframeMs = dtsMs;
      const sps = unit.nals.find((nal) => ((nal[0] ?? 0) & 0x1f) === NAL_SPS);
      const inBand = sps === undefined ? undefined : profileLevelIdOf(sps);
      if (inBand !== undefined) showProfile(inBand);
    }
    let bytes = 0;
    for (const nal of unit.nals) bytes += nal.length;
    videoRate.add(bytes);
    video?.send({ nals: unit.nals, presentationMs, keyframe: unit.keyframe, bytes });
  }

  function takeSound(data: Buffer, tagMs: number): void {
    const mediaMs = timeline.map('audio', tagMs);
    audioRate.add(data.length);
    transcoder.push(data, mediaMs);
    if (audio === undefined) addAudioIfOpen();
  }

  function takeUnsupported(media: 'audio' | 'video', codec: string): void {
    if (media === 'video') unsupportedVideo = codec;
    else unsupportedAudio = codec;
    const carried = media === 'video' ? 'H.264' : 'AAC';
    warnOnce(`${media} ${codec}`, { codec }, `viewers get no ${media}: only ${carried} is carried`);
  }

  function take(tag: FlvTag, timestampMs: number | undefined): void {
    switch (tag.kind) {
      case 'avc-config':
        return takeAvcConfig(tag.config);
      case 'avc-frame':
        return takePicture(tag, timestampMs ?? tag.dtsMs);
      case 'aac-config':
        aac = tag.config;
        unsupportedAudio = undefined;
        return transcoder.configure(tag.config);
      case 'aac-frame':
        return takeSound(tag.data, timestampMs ?? tag.dtsMs);
      case 'unsupported':
        return takeUnsupported(tag.media, tag.codec);
      case 'ignored':
    }
  }

  function videoHealth(): VideoHealth | null {
    const codec = unsupportedVideo ?? (avc === undefined ? undefined : 'H.264');
    if (codec === undefined) return null;
    return {
      codec,
      supported: unsupportedVideo === undefined,
      profileLevelId: profileLevelId ?? null,
      hasBFrames,
      keyframeIntervalMs,
      bitsPerSecond: videoRate.bitsPerSecond(),
    };
  }

  function audioHealth(): AudioHealth | null {
    const codec = unsupportedAudio ?? (aac === undefined ? undefined : 'AAC');
    if (codec === undefined) return null;
    return {
      codec,
      supported: unsupportedAudio === undefined,
      sampleRateHz: aac?.sampleRateHz ?? null,
      channels: aac?.channels ?? null,
      bitsPerSecond: audioRate.bitsPerSecond(),
    };
  }

  return {
    pushTag(tag, timestampMs) {
      if (closed) return;
      try {
        take(parseFlvTag(tag, avc?.nalLengthBytes), timestampMs);
      } catch (error) {
        if (error instanceof FormatError) {
          malformedTags += 1;
          warnOnce(
            'malformed',
            { format: error.format, error: error.message },
            'malformed media is left out',
          );
        } else {
          warnOnce('stage', { error: String(error) }, 'media could not be put on the stage');
        }
      }
    },
    restart() {
      timeline.restart();
      latestPresentationMs = -Infinity;
      lastKeyframeMs = undefined;
    },
    close() {
      if (closed) return;
      closed = true;
      transcoder.close();
      closeStream();
      options.onEnd?.();
    },
    mediaMs: timeline.mediaMs,
    health: () => ({ video: videoHealth(), audio: audioHealth(), malformedTags }),
  };
}
