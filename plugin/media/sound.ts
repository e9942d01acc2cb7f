/** A publisher's sound as Opus packets on the stream's media time: Opus as it is, AAC through a transcoder. */
import type { Log } from '../ports.ts';
import { OPUS_CLOCK_RATE, opusPacketSamples, type AacConfig } from '../rtp/index.ts';
import { createOpusTranscoder } from './opus-transcoder.ts';

export interface SoundOptions {
  /** Stream path, for the log. */
  readonly path: string;
  /** Name or path of ffmpeg. */
  readonly ffmpegPath: string;
  readonly log: Log;
  /** One Opus packet, the media time of its first sample and its length, both in samples at 48 kHz. */
  readonly onPacket: (packet: Buffer, ticks: number, samples: number) => void;
  /** There will be packets: ffmpeg has started, or the publisher sends Opus. Called once. */
  readonly onReady: () => void;
}

export interface Sound {
  configureAac(config: AacConfig): void;
  /** Takes one AAC frame and its media time in milliseconds. */
  pushAac(frame: Buffer, mediaMs: number): void;
  /** @param carried false for more channels or streams than RTP carries: the packets that follow are left out */
  configureOpus(channels: number, carried: boolean): void;
  /**
   * Takes one Opus packet and its media time in milliseconds.
   * @throws FormatError for what is no Opus packet
   */
  pushOpus(packet: Buffer, mediaMs: number): void;
  /** The publisher has come back: what he said of his Opus is forgotten. */
  restart(): void;
  /** Idempotent. */
  close(): void;
}

const TICKS_PER_MS = OPUS_CLOCK_RATE / 1000;

export function createSound(options: SoundOptions): Sound {
  const { path, ffmpegPath, log, onPacket } = options;
  let isReady = false;
  let isClosed = false;
  /** RFC 7587: without a word on channels, Opus packets are one stream of one or two. */
  let isCarried = true;
  let refusedChannels: number | undefined;

  function ready(): void {
    if (isReady || isClosed) return;
    isReady = true;
    options.onReady();
  }

  const transcoder = createOpusTranscoder({
    path,
    ffmpegPath,
    log,
    onReady: ready,
    onPacket: (packet, ticks) => onPacket(packet, ticks, opusPacketSamples(packet)),
  });

  return {
    configureAac: transcoder.configure,
    pushAac: transcoder.push,
    configureOpus(channels, carried) {
      isCarried = carried;
      if (carried || channels === refusedChannels) return;
      refusedChannels = channels;
      log.warn({ path, channels }, 'viewers get no audio: only mono and stereo Opus is carried');
    },
    pushOpus(packet, mediaMs) {
      // What ffmpeg still holds of AAC from before would come too late.
      transcoder.rest();
      if (isClosed || !isCarried) return;
      const samples = opusPacketSamples(packet);
      ready();
      onPacket(packet, mediaMs * TICKS_PER_MS, samples);
    },
    restart() {
      isCarried = true;
      refusedChannels = undefined;
    },
    close() {
      isClosed = true;
      transcoder.close();
    },
  };
}
