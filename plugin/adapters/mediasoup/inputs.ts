/** The inputs of a stream: what enters it, and who is told of it. */
import type { types } from 'mediasoup';
import type { AacCodec, AacParameters, TapListener, VideoCodec, VideoParameters } from '../../ports.ts';
import { formOf } from './codecs.ts';
import type { Direct } from './direct.ts';
import { createLayerMeter, type LayerMeter } from './layers.ts';
import type { Rendition } from './match.ts';

export interface Input {
  readonly kind: types.MediaKind;
  readonly parameters: types.RtpParameters;
  readonly meter: LayerMeter;
  readonly direct: Direct | undefined;
  /** Who hears it without mediasoup. */
  readonly listeners: Set<TapListener>;
  closed: boolean;
}

/** One whose source is told whether it is needed. */
export interface WatchedInput extends Input {
  readonly onWatched: (watched: boolean) => void;
  viewers: number;
}

export interface VideoInput extends WatchedInput, Rendition {
  readonly codec: VideoCodec;
  readonly onKeyframeRequest: ((ssrc: number) => void) | undefined;
}

/** Enters no router: WebRTC has no AAC. */
export interface AacInput extends WatchedInput {
  readonly codec: AacCodec;
}

const PICTURE_LOSS_INDICATION: types.RtcpFeedback = { type: 'nack', parameter: 'pli' };

/** Where the packets do not come by this process, the worker counts them. */
const bytesOf = (direct: Direct | undefined) => direct && ((): number => direct.counted().bytes);

/** @throws TypeError for a codec that the stage does not carry */
export function createVideoInput(
  { ssrc, payloadType, codec, onDemand = false, onWatched = () => undefined, ...asked }: VideoParameters,
  cname: string,
  direct?: Direct,
): VideoInput {
  const { onKeyframeRequest, higherLayers = [], scalabilityMode } = asked;
  const layering = scalabilityMode === undefined ? {} : { scalabilityMode };
  const form = formOf(codec);
  if (form === undefined) throw new TypeError(`the stage does not carry ${JSON.stringify(codec)}`);
  const { mimeType, parameters } = form;
  const ssrcs = [ssrc, ...higherLayers];
  return {
    kind: 'video',
    meter: createLayerMeter(ssrcs, codec.name === 'AV1' ? undefined : codec.name, bytesOf(direct)),
    direct,
    parameters: {
      codecs: [
        {
          mimeType,
          clockRate: 90_000,
          payloadType,
          parameters: { ...parameters },
          // Without it mediasoup asks for nothing.
          ...(onKeyframeRequest === undefined ? {} : { rtcpFeedback: [PICTURE_LOSS_INDICATION] }),
        },
      ],
      encodings: ssrcs.map((layer) => ({ ssrc: layer, ...layering })),
      rtcp: { cname },
    },
    listeners: new Set(),
    codec,
    form,
    onDemand,
    onWatched,
    onKeyframeRequest,
    viewers: 0,
    closed: false,
  };
}

export function createAudioInput(
  { ssrc, payloadType }: { readonly ssrc: number; readonly payloadType: number },
  cname: string,
  direct?: Direct,
): Input {
  return {
    kind: 'audio',
    meter: createLayerMeter([ssrc], undefined, bytesOf(direct)),
    direct,
    parameters: {
      codecs: [{ mimeType: 'audio/opus', clockRate: 48_000, channels: 2, payloadType }],
      encodings: [{ ssrc }],
      rtcp: { cname },
    },
    listeners: new Set(),
    closed: false,
  };
}

export function createAacInput({ codec, onWatched, ...parameters }: AacParameters, cname: string): AacInput {
  return { ...createAudioInput(parameters, cname), codec, onWatched, viewers: 0 };
}
