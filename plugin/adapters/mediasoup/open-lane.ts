/** Where the packets of an attached producer enter a stream of the stage. */
import { randomInt } from 'node:crypto';
import type { types } from 'mediasoup';
import type { Clock } from '../../ports.ts';
import { KEYFRAME_REQUEST_GAP_MS, type Direct } from './direct.ts';
import type { Lane, Strand } from './lanes.ts';
import { layersOf, scalabilityModeOf, videoCodecOf } from './producers.ts';
import { createRtpRateMeter } from './rate.ts';
import { createSplice } from './splice.ts';
import type { LiveStream } from './stream.ts';

const PAYLOAD_TYPES = { video: 96, audio: 97 } as const;
const CLOCK_RATES = { video: 90_000, audio: 48_000 } as const;

/** Asks at once, and then at most every so often. */
function createKeyframeRequester(ask: () => void, clock: Clock): () => void {
  let lastMs = -Infinity;
  let timer: NodeJS.Timeout | undefined;
  return () => {
    if (timer !== undefined) return;
    const waitMs = Math.max(0, lastMs + KEYFRAME_REQUEST_GAP_MS - clock.monotonicMs());
    timer = setTimeout(() => {
      timer = undefined;
      lastMs = clock.monotonicMs();
      ask();
    }, waitMs);
    timer.unref();
  };
}

/**
 * Adds a kind of media to a stream, in the form of the producer that is to feed it first.
 * @param direct where the viewers' packets do not come by this process
 */
export async function openLane(
  stream: LiveStream,
  producer: types.Producer,
  {
    form,
    direct,
    clock,
  }: { readonly form: string; readonly direct: Direct | undefined; readonly clock: Clock },
): Promise<Lane> {
  const { kind } = producer;
  const payloadType = PAYLOAD_TYPES[kind];
  const ssrcs = Array.from({ length: layersOf(producer) }, () => randomInt(1, 0x1_0000_0000));
  const strands = ssrcs.map((ssrc): Strand => {
    const splice = createSplice({
      ssrc,
      payloadType,
      clockRate: CLOCK_RATES[kind],
      nowMs: clock.monotonicMs,
    });
    return { ssrc, splice, rate: createRtpRateMeter(), source: undefined };
  });
  const requesters = strands.map((strand) =>
    createKeyframeRequester(() => {
      const consumer = strand.source?.consumer;
      // It may be closed while it is asked.
      if (consumer?.closed === false) consumer.requestKeyFrame().catch(() => undefined);
    }, clock),
  );
  const [ssrc = 0, ...higherLayers] = ssrcs;
  const codec = videoCodecOf(producer);
  const input =
    codec === undefined
      ? await stream.addAudio({ ssrc, payloadType }, direct)
      : await stream.addVideo(
          {
            ssrc,
            higherLayers,
            scalabilityMode: scalabilityModeOf(producer),
            payloadType,
            codec,
            onKeyframeRequest: (of) => requesters[ssrcs.indexOf(of)]?.(),
          },
          direct,
        );
  return { input, form, strands, codec, direct };
}
