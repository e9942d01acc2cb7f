/**
 * Producers of the app whose packets go to the viewers from router to router, in the workers. They come by this process
 * only while somebody here needs them; what is billed and limited is asked of the worker.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { types } from 'mediasoup';
import type { LayerMeter } from './layers.ts';
import type { Source } from './producers.ts';

/** Where the packets come from. */
export interface Origin {
  readonly router: types.Router;
  readonly producer: types.Producer;
}

export interface Direct {
  readonly origin: Origin;
  /** Has the packets come by this process too, a keyframe first. Answers what stops it. */
  hear(): () => void;
  isHeard(): boolean;
  /** Asks the worker what has come so far; true when there is something new to send. */
  count(): Promise<boolean>;
  /** At the last count: octets of RTP, and those of them that are payload. */
  counted(): { readonly bytes: number; readonly octets: number };
}

/** The producer on a router of the stage. */
export interface Link {
  readonly producer: types.Producer;
  /** Idempotent. */
  close(): void;
}

const RTP_HEADER_BYTES = 12;
/** As much as Linux grants without privileges, and more where it may: what a large keyframe needs. */
const RECEIVE_BUFFER_BYTES = 4 << 20;
/** Viewers cannot make the source send keyframes faster than this. */
export const KEYFRAME_REQUEST_GAP_MS = 500;
/** Who is to be limited waits no longer for a keyframe. */
const HEIGHT_WITHIN_MS = 1000;

/** @param source brings the packets here, while it is not paused */
export function createDirect(router: types.Router, { producer, consumer }: Source): Direct {
  let hearers = 0;
  let [bytes, octets] = [0, 0];
  let read = { bytes: 0, packets: 0 };

  function turn(on: boolean): void {
    if (consumer.closed) return;
    // It may be closed while it is asked.
    (on ? consumer.resume() : consumer.pause()).catch(() => undefined);
  }

  return {
    origin: { router, producer },
    hear() {
      hearers += 1;
      if (hearers === 1) turn(true);
      let hears = true;
      return () => {
        if (!hears) return;
        hears = false;
        hearers -= 1;
        if (hearers === 0) turn(false);
      };
    },
    isHeard: () => hearers > 0,
    async count() {
      if (producer.closed) return false;
      const stats = await producer.getStats();
      const before = read;
      read = {
        bytes: stats.reduce((sum, { byteCount }) => sum + byteCount, 0),
        packets: stats.reduce((sum, { packetCount }) => sum + packetCount, 0),
      };
      const newBytes = read.bytes - before.bytes;
      if (producer.paused || newBytes <= 0) return false; // What comes while it is paused is counted too, and not sent.
      bytes += newBytes;
      octets += newBytes - (read.packets - before.packets) * RTP_HEADER_BYTES;
      return true;
    },
    counted: () => ({ bytes, octets }),
  };
}

/**
 * Has the packets come by this process for good, for pictures may get higher at any time. Resolves with the first
 * keyframe, which is asked for, or after a second without one.
 */
export async function learnHeight(direct: Direct, meter: LayerMeter): Promise<void> {
  if (!direct.isHeard()) meter.forgetHeights();
  direct.hear();
  await Promise.race([meter.untilHeight(), wait(HEIGHT_WITHIN_MS, undefined, { ref: false })]);
}

/** @throws Error when one of the routers has gone */
async function openPair(
  routers: readonly [types.Router, types.Router],
  recvBufferSize: number,
): Promise<[types.PipeTransport, types.PipeTransport]> {
  const options: types.PipeTransportOptions = {
    listenInfo: { protocol: 'udp', ip: '127.0.0.1', recvBufferSize },
    enableRtx: true,
  };
  const [there, here] = await Promise.allSettled(
    routers.map((router) => router.createPipeTransport(options)),
  );
  if (there?.status === 'fulfilled' && here?.status === 'fulfilled') return [there.value, here.value];
  for (const end of [there, here]) if (end?.status === 'fulfilled') end.value.close();
  throw new Error('a router has gone');
}

/**
 * Brings a producer to another router, be that on the same worker or on another: over a UDP socket of each, on loopback.
 * What of a burst overruns the socket is sent again.
 * @param parameters what it is on that router; SSRC, payload type and feedback come from the way there
 */
export async function openLink(
  { router: theirs, producer }: Origin,
  ours: types.Router,
  parameters: types.RtpParameters,
  receiveBufferBytes = RECEIVE_BUFFER_BYTES,
): Promise<Link> {
  const [there, here] = await openPair([theirs, ours], receiveBufferBytes);
  const close = (): void => {
    there.close();
    here.close();
  };
  try {
    const { localIp: ip } = there.tuple;
    await Promise.all([
      there.connect({ ip, port: here.tuple.localPort }),
      here.connect({ ip, port: there.tuple.localPort }),
    ]);
    const { rtpParameters: sent } = await there.consume({ producerId: producer.id });
    const [media, ...rtx] = sent.codecs;
    const { payloadType, rtcpFeedback = [] } = media ?? { payloadType: 0 };
    const rtpParameters: types.RtpParameters = {
      ...parameters,
      codecs: [...parameters.codecs.map((codec) => ({ ...codec, payloadType, rtcpFeedback })), ...rtx],
      encodings: (sent.encodings ?? []).map(({ ssrc = 0, rtx: again }) =>
        rtx.length > 0 && again !== undefined ? { ssrc, rtx: again } : { ssrc },
      ),
    };
    const options = { kind: producer.kind, rtpParameters, keyFrameRequestDelay: KEYFRAME_REQUEST_GAP_MS };
    return { producer: await here.produce(options), close };
  } catch (error) {
    close();
    throw error;
  }
}
