/**
 * A live publisher's FLV tags onto the stage: video as `live-video.ts` says, AAC as Opus (and as it is for taps), Opus as
 * it is, on one timeline that survives the publisher's return.
 */
import { randomBytes } from 'node:crypto';
import type { ReencoderStatus } from '../contract.ts';
import type { Clock, Log, StageEntrance, StageStream } from '../ports.ts';
import { FormatError, parseFlvTag, type FlvTag, type NalLengthBytes } from '../rtp/index.ts';
import { createLiveVideo, type Reencoding } from './live-video.ts';
import { createPassedAac } from './passed-aac.ts';
import { createAudioTrack, type AudioTrack, type TrackContext } from './rtp-tracks.ts';
import { createSound } from './sound.ts';
import { createTimeline } from './timeline.ts';

export interface LiveFeedOptions {
  /** Stream path. */
  readonly path: string;
  readonly stage: StageEntrance;
  readonly clock: Clock;
  readonly log: Log;
  /** Name or path of ffmpeg, which turns AAC into Opus and re-encodes video. Default `ffmpeg`. */
  readonly ffmpegPath?: string;
  /** Whether video that viewers cannot be shown is re-encoded for them, or refused. Default `auto`. */
  readonly reencode?: Reencoding;
  /** The most bits a second that re-encoded video has. Default 8,000,000. */
  readonly maxReencodedBits?: number;
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
  /** The re-encoders that are needed now. */
  reencoders(): ReencoderStatus[];
}

/** 1080p60 in good quality. */
const MAX_REENCODED_BITS = 8_000_000;
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
  let audio: AudioTrack | undefined;
  let nalLengthBytes: NalLengthBytes = 4;
  let audioReady = false;
  let unsupportedVideo: string | undefined;
  let closed = false;

  const sound = createSound({
    path,
    ffmpegPath: options.ffmpegPath ?? 'ffmpeg',
    log,
    onReady() {
      audioReady = true;
      openForSound();
    },
    onPacket: (packet, ticks, samples) => audio?.send(packet, ticks, samples),
  });

  const passedAac = createPassedAac();

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
      const opened = stream;
      // Viewers agree on their tracks once, when they come: sound that starts late has its place from the start.
      audio = createAudioTrack(context, (parameters) => opened.addAudio(parameters));
      passedAac.enter(stream, context);
    }
    return { stream, context };
  }

  const video = createLiveVideo({
    path,
    reencode: options.reencode ?? 'auto',
    maxBits: options.maxReencodedBits ?? MAX_REENCODED_BITS,
    ffmpegPath: options.ffmpegPath ?? 'ffmpeg',
    clock,
    log,
    open: openStream,
    startAnew: closeStream,
  });

  function closeStream(): void {
    video.leave();
    audio?.close();
    passedAac.leave();
    stream?.close();
    audio = stream = context = undefined;
  }

  /** Without pictures the stream goes on air once it is clear that there will be sound alone. */
  function openForSound(): void {
    const audioOnly = unsupportedVideo !== undefined || timeline.mediaMs() > AUDIO_ONLY_AFTER_MS;
    if (audioReady && audioOnly && stream === undefined && !closed) openStream();
  }

  function takeSound(tag: FlvTag & { kind: 'aac-frame' | 'opus-frame' }, tagMs: number): void {
    const mediaMs = timeline.map('audio', tagMs);
    if (tag.kind === 'opus-frame') {
      passedAac.configure(undefined);
      sound.pushOpus(tag.data, mediaMs);
    } else {
      sound.pushAac(tag.data, mediaMs);
      passedAac.push(tag.data, mediaMs);
    }
    openForSound();
  }

  function takeUnsupported(media: 'audio' | 'video', codec: string): void {
    if (media === 'video') unsupportedVideo = codec;
    const carried = media === 'video' ? 'H.264, H.265, AV1 and VP9 are' : 'AAC and Opus are';
    warnOnce(`${media} ${codec}`, { codec }, `viewers get no ${media}: only ${carried} carried`);
  }

  function take(tag: FlvTag, tagBytes: number, timestampMs: number | undefined): void {
    switch (tag.kind) {
      case 'avc-config':
        unsupportedVideo = undefined;
        ({ nalLengthBytes } = tag.config);
        return video.configureAvc(tag.config);
      case 'avc-frame':
        return video.pushAvc(tag, timeline.map('video', timestampMs ?? tag.dtsMs), tagBytes);
      case 'aac-config':
        sound.configureAac(tag.config);
        return passedAac.configure(tag.config);
      case 'opus-config':
        return sound.configureOpus(tag.channels, tag.carried);
      case 'aac-frame':
      case 'opus-frame':
        return takeSound(tag, timestampMs ?? tag.dtsMs);
      case 'video-config':
        unsupportedVideo = undefined;
        return video.configure(tag.codec, tag.record);
      case 'video-frame':
        return video.push(tag, timeline.map('video', timestampMs ?? tag.dtsMs), tagBytes);
      case 'unsupported':
        return takeUnsupported(tag.media, tag.codec);
      case 'extra-track':
        return warnOnce(`${tag.media} tracks`, {}, `viewers get the first ${tag.media} track only`);
      case 'ignored':
    }
  }

  return {
    pushTag(tag, timestampMs) {
      if (closed) return;
      try {
        take(parseFlvTag(tag, nalLengthBytes), tag.length, timestampMs);
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
    restart() {
      timeline.restart();
      video.restart();
      sound.restart();
    },
    close() {
      if (closed) return;
      closed = true;
      sound.close();
      closeStream();
      video.close();
      options.onEnd?.();
    },
    mediaMs: timeline.mediaMs,
    reencoders: video.reencoders,
  };
}
