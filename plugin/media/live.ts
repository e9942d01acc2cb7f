/** A live publisher's FLV tags onto the stage: H.264 as it is, AAC as Opus, on one timeline that survives the publisher's return. */
import { randomBytes } from 'node:crypto';
import type { Clock, Log, StageEntrance, StageStream } from '../ports.ts';
import {
  FormatError,
  opusPacketSamples,
  parseFlvTag,
  profileLevelIdOf,
  type AccessUnit,
  type AvcConfig,
  type FlvTag,
} from '../rtp/index.ts';
import { createOpusTranscoder } from './opus-transcoder.ts';
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

export interface LiveFeed {
  /**
   * Takes one FLV tag. The tag must not be written to afterwards. Never throws: a malformed tag is left out.
   * @param timestampMs the publisher's own timestamp (modulo 2^32), where the host has changed the tag's
   */
  pushTag(tag: Buffer, timestampMs?: number): void;
  /** The publisher has come back: its timestamps and its configuration start anew, the viewers' go on. */
  restart(): void;
  /** Ends the stream on the stage. Idempotent. */
  close(): void;
  /** Milliseconds of media so far; never falls, and gaps over a second do not count. */
  mediaMs(): number;
}

const NAL_SPS = 7;
/** A publisher that has sent this much sound and no picture is on air without one. */
const AUDIO_ONLY_AFTER_MS = 1000;

/** Opens a feed; the stage hears of it with the first configuration that it can carry. */
export function createLiveFeed(options: LiveFeedOptions): LiveFeed {
  const { path, stage, clock, log } = options;
  const timeline = createTimeline(clock);
  const unixOffsetMs = clock.nowMs() - clock.monotonicMs();
  const warned = new Set<string>();

  let stream: StageStream | undefined;
  let context: TrackContext | undefined;
  let video: VideoTrack | undefined;
  let audio: AudioTrack | undefined;
  let avc: AvcConfig | undefined;
  let profileLevelId: string | undefined;
  let audioReady = false;
  let unsupportedVideo: string | undefined;
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
    if (unit.keyframe) {
      const sps = unit.nals.find((nal) => ((nal[0] ?? 0) & 0x1f) === NAL_SPS);
      const inBand = sps === undefined ? undefined : profileLevelIdOf(sps);
      if (inBand !== undefined) showProfile(inBand);
    }
    let bytes = 0;
    for (const nal of unit.nals) bytes += nal.length;
    video?.send({ nals: unit.nals, presentationMs, keyframe: unit.keyframe, bytes });
  }

  function takeSound(data: Buffer, tagMs: number): void {
    const mediaMs = timeline.map('audio', tagMs);
    transcoder.push(data, mediaMs);
    if (audio === undefined) addAudioIfOpen();
  }

  function takeUnsupported(media: 'audio' | 'video', codec: string): void {
    if (media === 'video') unsupportedVideo = codec;
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
        return transcoder.configure(tag.config);
      case 'aac-frame':
        return takeSound(tag.data, timestampMs ?? tag.dtsMs);
      case 'unsupported':
        return takeUnsupported(tag.media, tag.codec);
      case 'ignored':
    }
  }

  return {
    pushTag(tag, timestampMs) {
      if (closed) return;
      try {
        take(parseFlvTag(tag, avc?.nalLengthBytes), timestampMs);
      } catch (error) {
        if (error instanceof FormatError) {
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
    restart: timeline.restart,
    close() {
      if (closed) return;
      closed = true;
      transcoder.close();
      closeStream();
      options.onEnd?.();
    },
    mediaMs: timeline.mediaMs,
  };
}
