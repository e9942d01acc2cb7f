/** What is known of the layers of a track, from the RTP that comes in: how high their pictures are, how many bits they take. */
import { Denial } from '../../errors.ts';
import type { Clock } from '../../ports.ts';
import type { Tier } from '../../rights/index.ts';
import { heightsIn, type SizedCodec } from '../../rtp/index.ts';

/** One layer, simulcast or spatial; of sound there is one. */
export interface Layer {
  /** Pixels; `null` where it is not known, and for sound. */
  readonly height: number | null;
  /** RTP, averaged over some seconds; `null` while it is not known. */
  readonly bitsPerSecond: number | null;
}

export interface LayerMeter {
  take(packet: Buffer): void;
  /** Those known may be of long ago: the next keyframe tells them. */
  forgetHeights(): void;
  /** Resolves when a height is known. */
  untilHeight(): Promise<void>;
  /** To be called about once a second. */
  measure(nowMs: number): void;
  /** The lowest first; spatial layers of one encoding share its rate, which is the best one's. */
  layers(): readonly Layer[];
}

interface Encoding {
  readonly ssrc: number;
  bytes: number;
  /** What `bytes` was at the last measurement. */
  measured: { readonly bytes: number; readonly atMs: number } | undefined;
  bitsPerSecond: number | null;
  heights: readonly number[];
}

const RTP_HEADER_BYTES = 12;
/** How much of a second's rate is believed at once: layers are not to flap with every large picture. */
const WEIGHT = 0.5;

function payloadOf(packet: Buffer): Buffer {
  const first = packet[0] ?? 0;
  let at = RTP_HEADER_BYTES + (first & 0x0f) * 4;
  if ((first & 0x10) !== 0 && at + 4 <= packet.length) at += 4 + packet.readUInt16BE(at + 2) * 4;
  return packet.subarray(at);
}

/**
 * @param codec of video whose keyframes state its size
 * @param countedBytes what there has been so far, of the one encoding, when not all of its packets are taken
 */
export function createLayerMeter(
  ssrcs: readonly number[],
  codec?: SizedCodec,
  countedBytes?: () => number,
): LayerMeter {
  const encodings = ssrcs.map((ssrc): Encoding => ({
    ssrc,
    bytes: 0,
    measured: undefined,
    bitsPerSecond: null,
    heights: [],
  }));
  const [only] = encodings.length === 1 ? encodings : [];
  let seen = Promise.withResolvers<void>();

  return {
    take(packet) {
      if (packet.length < RTP_HEADER_BYTES) return;
      const encoding = only ?? encodings.find(({ ssrc }) => ssrc === packet.readUInt32BE(8));
      if (encoding === undefined) return;
      encoding.bytes += packet.length;
      const heights = codec === undefined ? undefined : heightsIn(codec, payloadOf(packet));
      if (heights === undefined) return;
      encoding.heights = heights;
      seen.resolve();
    },
    forgetHeights() {
      for (const encoding of encodings) encoding.heights = [];
      seen = Promise.withResolvers();
    },
    untilHeight: () => seen.promise,
    measure(nowMs) {
      for (const encoding of encodings) {
        const { bytes: taken, measured, bitsPerSecond } = encoding;
        const bytes = countedBytes?.() ?? taken;
        encoding.measured = { bytes, atMs: nowMs };
        if (measured === undefined || nowMs <= measured.atMs) continue;
        const rate = ((bytes - measured.bytes) * 8000) / (nowMs - measured.atMs);
        encoding.bitsPerSecond =
          bitsPerSecond === null ? rate : bitsPerSecond + (rate - bitsPerSecond) * WEIGHT;
      }
    },
    layers: () =>
      encodings.flatMap(({ heights, bitsPerSecond }) =>
        heights.length <= 1
          ? [{ height: heights[0] ?? null, bitsPerSecond }]
          : heights.map((height, index) => ({
              height,
              bitsPerSecond: index === heights.length - 1 ? bitsPerSecond : null,
            })),
      ),
  };
}

/** Encoders aim at a rate and miss it for a while; it is an excess only from here on. */
const RATE_MARGIN = 1.15;

/** The limit that a layer is above. What is not known is not above. */
function excessOf({ height, bitsPerSecond }: Layer, tier: Tier, margin: number): keyof Tier | undefined {
  if ((height ?? 0) > (tier.maxHeight ?? Infinity)) return 'maxHeight';
  if ((bitsPerSecond ?? 0) > (tier.maxBitrate ?? Infinity) * margin) return 'maxBitrate';
  return undefined;
}

/**
 * The best layer within a tier's limits, from 0; the lowest where none is.
 * @param current the one that is sent now: it may be a little above its rate
 */
export function bestLayer(layers: readonly Layer[], tier: Tier, current: number | null): number {
  const within = layers.findLastIndex(
    (layer, index) => excessOf(layer, tier, index === current ? RATE_MARGIN : 1) === undefined,
  );
  return Math.max(0, within);
}

/** What is known of a stream that a viewer gets. */
export interface Known {
  readonly video: readonly Layer[];
  readonly audio: readonly Layer[];
}

/** The limit of a tier that everything a stream has is above, and what the stream has; `undefined`: some is within. */
function findExcess({ video, audio }: Known, tier: Tier): string | undefined {
  const excess = video.map((layer) => excessOf(layer, tier, RATE_MARGIN));
  const [lowest] = excess;
  if (lowest !== undefined && !excess.includes(undefined)) {
    const than = lowest === 'maxHeight' ? 'height' : 'bitrate';
    return `tier.${lowest}: no picture of this stream has less ${than}`;
  }
  const soundBits = audio[0]?.bitsPerSecond ?? 0;
  if (soundBits > (tier.audioBitrate ?? Infinity) * RATE_MARGIN)
    return 'tier.audioBitrate: the sound of this stream has more';
  return undefined;
}

/**
 * Checks that there is something within a tier's limits to send; nothing is made anew for it.
 * @throws Denial `rights_insufficient`, its detail the limit and what the stream has
 */
export function requireWithin(known: Known, tier: Tier): void {
  const detail = findExcess(known, tier);
  if (detail !== undefined) throw new Denial('rights_insufficient', { detail });
}

/** A peak passes in less; an encoder that was set to more does not. */
const EXCESS_LASTS_MS = 5000;

/**
 * Watches whether a stream grows beyond a viewer's tier while he watches.
 * @returns to be called about once a second, with the tier of now: what is wrong once that has lasted for 5 s
 */
export function createExcessWatch(
  known: () => Known,
  clock: Pick<Clock, 'monotonicMs'>,
): (tier: Tier) => string | undefined {
  let sinceMs: number | undefined;
  return (tier) => {
    const excess = findExcess(known(), tier);
    if (excess === undefined) sinceMs = undefined;
    else sinceMs ??= clock.monotonicMs();
    return sinceMs !== undefined && clock.monotonicMs() - sinceMs >= EXCESS_LASTS_MS ? excess : undefined;
  };
}
