/** The health of one live stream's publisher, from its FLV tags: codecs, rates, keyframes, and what is wrong with them. */
import type { PublisherHealth } from '../contract.ts';
import type { Clock, Log } from '../ports.ts';
import { FLV_AUDIO, FLV_HEADER_BYTES, FLV_SCRIPT, FLV_VIDEO, tagEndOf } from '../rtp/index.ts';
import { createAudioHealth } from './health/audio.ts';
import { createVideoHealth } from './health/video.ts';
import { MISSING_AFTER_MS, warningsOf } from './health/warnings.ts';
import { createTimeline } from './timeline.ts';

export interface PublisherHealthOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Stream path, for the log. */
  readonly path: string;
}

export interface PublisherHealthMeter {
  /**
   * Takes one FLV tag (11 bytes of header; the 4 bytes behind it may be there). Cheap, and never throws: what breaks
   * the format is counted.
   * @param timestampMs the publisher's own timestamp (modulo 2^32)
   */
  take(tag: Buffer, timestampMs: number): void;
  /** The publisher has come back: what is known of it starts anew, the media time goes on. */
  restart(): void;
  /** Milliseconds of media so far; never falls, and gaps over a second do not count. */
  mediaMs(): number;
  read(): PublisherHealth;
}

/** Metadata are at the front of their tag. */
const MAX_METADATA_BYTES = 4096;
const MAX_PIXELS = 16_384;
const ON_METADATA = Buffer.from('onMetaData', 'latin1');
/** AMF0: a member's name with its length (16 bits), then the marker of a number (0) and a double. */
const WIDTH = Buffer.from('\0\x05width\0', 'latin1');
const HEIGHT = Buffer.from('\0\x06height\0', 'latin1');

/** The size that onMetaData states; `null` where it is no number of pixels. */
function readPixels(metadata: Buffer, name: Buffer): number | null {
  const at = metadata.indexOf(name);
  if (at < 0 || at + name.length + 8 > metadata.length) return null;
  const value = metadata.readDoubleBE(at + name.length);
  return Number.isInteger(value) && value > 0 && value <= MAX_PIXELS ? value : null;
}

/** A rate of what has stopped coming is no rate. */
function stopped<F extends object, R extends { readonly facts: F }>(
  reading: R | null,
  silentMs: number,
  rates: Partial<F>,
): R | null {
  if (reading === null || silentMs < MISSING_AFTER_MS) return reading;
  return { ...reading, facts: { ...reading.facts, ...rates } };
}

export function createPublisherHealth({ clock, log, path }: PublisherHealthOptions): PublisherHealthMeter {
  const timeline = createTimeline(clock);
  const video = createVideoHealth({ path, timeline, log });
  const audio = createAudioHealth(timeline);
  let videoAtMs = clock.monotonicMs();
  let audioAtMs = videoAtMs;
  let width: number | null = null;
  let height: number | null = null;
  let malformedTags = 0;

  function takeScript(tag: Buffer, end: number): void {
    const metadata = tag.subarray(FLV_HEADER_BYTES, Math.min(end, FLV_HEADER_BYTES + MAX_METADATA_BYTES));
    if (!metadata.includes(ON_METADATA)) return;
    width = readPixels(metadata, WIDTH);
    height = readPixels(metadata, HEIGHT);
  }

  /** False for a tag that breaks the format. */
  function takeTag(tag: Buffer, timestampMs: number): boolean {
    const end = tagEndOf(tag);
    if (end < 0) return false;
    const isEmpty = end === FLV_HEADER_BYTES;
    switch (tag[0]) {
      case FLV_VIDEO:
        if (isEmpty) return true;
        videoAtMs = clock.monotonicMs();
        return video.take(tag, end, timestampMs);
      case FLV_AUDIO:
        if (isEmpty) return true;
        audioAtMs = clock.monotonicMs();
        return audio.take(tag, end, timestampMs);
      case FLV_SCRIPT:
        takeScript(tag, end);
        return true;
      default:
        return false;
    }
  }

  return {
    take(tag, timestampMs) {
      let wellFormed = false;
      try {
        wellFormed = takeTag(tag, timestampMs);
      } catch {
        // A configuration that breaks its format (FormatError).
      }
      if (!wellFormed) malformedTags += 1;
    },
    restart() {
      timeline.restart();
      video.restart();
      audio.restart();
      videoAtMs = audioAtMs = clock.monotonicMs();
      width = height = null;
      malformedTags = 0;
    },
    mediaMs: timeline.mediaMs,
    read() {
      const nowMs = clock.monotonicMs();
      const silence = { videoSilentMs: nowMs - videoAtMs, audioSilentMs: nowMs - audioAtMs };
      const picture = stopped(video.read(), silence.videoSilentMs, { framesPerSecond: 0, bitsPerSecond: 0 });
      const sound = stopped(audio.read(), silence.audioSilentMs, { bitsPerSecond: 0 });
      return {
        video: picture === null ? null : { ...picture.facts, width, height },
        audio: sound === null ? null : sound.facts,
        malformedTags,
        warnings: warningsOf({ video: picture, audio: sound, malformedTags, ...silence }),
      };
    },
  };
}
