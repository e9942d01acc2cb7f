/** A publisher's AAC as it is, beside the Opus that is made of it: packets are made only while a tap listens. */
import type { AacCodec, StageStream } from '../ports.ts';
import type { AacConfig } from '../rtp/index.ts';
import { aacFormat, createAudioTrack, type AudioTrack, type TrackContext } from './rtp-tracks.ts';

export interface PassedAac {
  /** What the publisher sends from now on; `undefined`: another codec. Another one than before is another track. */
  configure(config: AacConfig | undefined): void;
  /** The stream is on the stage. */
  enter(stream: StageStream, context: TrackContext): void;
  /**
   * Takes one AAC frame and its media time in milliseconds.
   * @throws FormatError for what RTP does not carry
   */
  push(frame: Buffer, mediaMs: number): void;
  /** The stream leaves the stage. */
  leave(): void;
}

interface Passed {
  readonly codec: AacCodec;
  readonly unitSamples: number;
}

const MAX_SAMPLE_RATE_HZ = 96_000;

/** AAC LC whose channels the configuration says: everything else is heard as Opus. */
function passedOf(config: AacConfig | undefined): Passed | undefined {
  if (config?.unitSamples === undefined || config.channels === 0) return undefined;
  if (config.sampleRateHz > MAX_SAMPLE_RATE_HZ) return undefined;
  const { sampleRateHz, channels, bytes, unitSamples } = config;
  // It is a view of a whole tag, which it would keep.
  return { codec: { name: 'AAC', sampleRateHz, channels, config: Buffer.from(bytes) }, unitSamples };
}

export function createPassedAac(): PassedAac {
  let passed: Passed | undefined;
  let place: { readonly stream: StageStream; readonly context: TrackContext } | undefined;
  let track: AudioTrack | undefined;
  let isWatched = false;

  function close(): void {
    track?.close();
    track = undefined;
    isWatched = false;
  }

  function open(): void {
    if (passed === undefined || place === undefined) return;
    const { codec } = passed;
    const { stream, context } = place;
    const onWatched = (watched: boolean): void => {
      if (track === own) isWatched = watched;
    };
    const add = (parameters: { ssrc: number; payloadType: number }) =>
      stream.addAac({ ...parameters, codec, onWatched });
    const own = createAudioTrack(context, add, aacFormat(codec.sampleRateHz));
    track = own;
  }

  return {
    configure(config) {
      const next = passedOf(config);
      if (next === passed || (next && passed?.codec.config.equals(next.codec.config))) return;
      close();
      passed = next;
      open();
    },
    enter(stream, context) {
      place = { stream, context };
      open();
    },
    push(frame, mediaMs) {
      if (!isWatched || passed === undefined) return;
      track?.send(frame, (mediaMs * passed.codec.sampleRateHz) / 1000, passed.unitSamples);
    },
    leave() {
      close();
      place = undefined;
    },
  };
}
