/** The RTP streams that an attached stream is made of. */
import type { types } from 'mediasoup';
import type { PublisherHealth } from '../../contract.ts';
import type { RtpInput, VideoCodec } from '../../ports.ts';
import type { Direct } from './direct.ts';
import type { Source } from './producers.ts';
import type { Rate, RtpRateMeter } from './rate.ts';
import type { Splice } from './splice.ts';

/** One RTP stream of a lane. */
export interface Strand {
  readonly ssrc: number;
  readonly splice: Splice;
  readonly rate: RtpRateMeter;
  source: Source | undefined;
}

/** The stream's video or audio, whoever makes it. */
export interface Lane {
  readonly input: RtpInput;
  /** The video's form; equal ones can follow each other. */
  readonly form: string;
  /** One for each simulcast layer, the lowest first. */
  readonly strands: readonly Strand[];
  /** The video's codec; `undefined` for sound. */
  readonly codec: VideoCodec | undefined;
  readonly direct: Direct | undefined;
}

/** What is known of producers; the size of their pictures is not. Of simulcast the best layer stands for all. */
export function healthOf(lanes: ReadonlyMap<types.MediaKind, Lane>): PublisherHealth {
  const rateOf = (kind: types.MediaKind): Rate | undefined => lanes.get(kind)?.strands.at(-1)?.rate.read();
  const [video, audio, codec] = [rateOf('video'), rateOf('audio'), lanes.get('video')?.codec];
  return {
    video:
      video === undefined || codec === undefined
        ? null
        : {
            codec: codec.name === 'H264' ? 'H.264' : codec.name,
            profileLevelId: codec.name === 'H264' ? codec.profileLevelId.toLowerCase() : null,
            width: null,
            height: null,
            hasBFrames: false,
            keyframeIntervalMs: null,
            framesPerSecond: video.picturesPerSecond,
            bitsPerSecond: video.bitsPerSecond,
          },
    audio:
      audio === undefined
        ? null
        : { codec: 'Opus', sampleRateHz: 48_000, channels: 2, bitsPerSecond: audio.bitsPerSecond },
    malformedTags: 0,
    warnings: [],
  };
}
