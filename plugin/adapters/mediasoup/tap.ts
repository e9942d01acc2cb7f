/** A stream's RTP without mediasoup: what enters the stage, as it enters. */
import { Denial } from '../../errors.ts';
import type { StreamTap, TapListener, VideoCodec } from '../../ports.ts';
import type { AacInput, Input, VideoInput } from './inputs.ts';
import type { LiveStream, StreamInputs } from './stream.ts';

/** Calls `stop` at the end, once. */
function listenTo(input: Input, listener: TapListener, stop: () => void): () => void {
  const own: TapListener = { ...listener };
  const unhear = input.direct?.hear();
  let stopped = false;
  const leave = (): void => {
    if (stopped) return;
    stopped = true;
    input.listeners.delete(own);
    unhear?.();
    stop();
  };
  input.listeners.add(own);
  return leave;
}

/** Of simulcast layers only the best is heard: it gets the packets of a lower one while it is not sent itself. */
function onlyBest(input: VideoInput, listener: TapListener): TapListener {
  const layers = input.parameters.encodings ?? [];
  const best = layers.at(-1)?.ssrc;
  if (layers.length < 2 || best === undefined) return listener;
  return {
    ...listener,
    rtp(packet) {
      if (packet.readUInt32BE(8) === best) listener.rtp(packet);
    },
    rtcp(packet) {
      if (packet.readUInt32BE(4) === best) listener.rtcp(packet);
    },
  };
}

/** Simulcast has an encoding for each layer; SVC has one, whose mode begins with the number of spatial layers. */
function layersOf({ parameters: { encodings = [] } }: VideoInput): number {
  const [, spatial = '1'] = /^[LS]([1-9])T/.exec(encodings[0]?.scalabilityMode ?? '') ?? [];
  return Math.max(1, encodings.length, Number(spatial));
}

function keyframeOf(input: VideoInput): () => void {
  const ssrc = input.parameters.encodings?.at(-1)?.ssrc;
  return () => {
    if (ssrc !== undefined && !input.closed) input.onKeyframeRequest?.(ssrc);
  };
}

/** AAC is for who hears it only: its source sends it while somebody does. */
function tapSound(audio: Input, aac: AacInput | undefined, watch: StreamInputs['watch']): StreamTap['audio'] {
  const input = aac ?? audio;
  return {
    codec: aac?.codec,
    requestKeyframe: () => undefined,
    listen(listener) {
      if (aac !== undefined) watch(aac, 1);
      const leave = listenTo(input, listener, () => aac && watch(aac, -1));
      if (input.closed) listener.ended();
      return leave;
    },
  };
}

/** @throws Denial `stream_offline`, `offer_unsupported` */
export function tapStream(stream: LiveStream, isWanted: (codec: VideoCodec) => boolean): StreamTap {
  const { video, audio, aac, watch } = stream.inputs();
  const { videoRefusal } = stream.tracks();
  if (videoRefusal !== null) throw new Denial('offer_unsupported', { detail: videoRefusal });
  const passed = video.filter(({ codec }) => isWanted(codec));
  const input = passed.find(({ onDemand }) => !onDemand) ?? passed[0];
  if (input === undefined && video.length > 0)
    throw new Denial('offer_unsupported', { detail: 'the video codec' });
  if (input === undefined && audio === undefined) throw new Denial('stream_offline');
  const requestKeyframe = input === undefined ? () => undefined : keyframeOf(input);
  return {
    video: input && {
      codec: input.codec,
      layers: layersOf(input),
      requestKeyframe,
      listen(listener) {
        watch(input, 1);
        const leave = listenTo(input, onlyBest(input, listener), () => watch(input, -1));
        if (input.closed) listener.ended();
        else requestKeyframe();
        return leave;
      },
    },
    audio: audio && tapSound(audio, aac, watch),
    mediaMs: stream.mediaMs,
  };
}
