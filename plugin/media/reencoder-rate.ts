/** How many bits a re-encoder may use. */
import type { MatroskaTrack } from '../rtp/index.ts';
import { createRateMeter } from './rate-meter.ts';

export interface SourceRate {
  /** @param atMs media time */
  add(bytes: number, atMs: number): void;
  /** The most bits a second that were measured; 0 before the first two seconds are over. */
  peakBits(): number;
  /** Another source. */
  reset(): void;
}

/** Still scenes cost little: what an encoder may use is seen when something moves. */
export function createSourceRate(): SourceRate {
  const meter = createRateMeter();
  let peakBits = 0;
  return {
    add(bytes, atMs) {
      meter.add(bytes, atMs);
      peakBits = Math.max(peakBits, meter.perSecond() * 8);
    },
    peakBits: () => peakBits,
    reset() {
      meter.reset();
      peakBits = 0;
    },
  };
}

/**
 * What the same picture takes in constrained baseline or VP8, made in no time: a quarter more than H.264 with all its
 * tools, twice as much as with the codecs after it.
 */
const EXPENSE: Readonly<Record<MatroskaTrack['codecId'], number>> = {
  'V_MPEG4/ISO/AVC': 1.25,
  V_VP8: 1.25,
  V_VP9: 2,
  V_AV1: 2,
  'V_MPEGH/ISO/HEVC': 2,
};
/** Less than this saves nobody anything, and a keyframe each second has to fit. */
const MIN_BITS = 400_000;

/**
 * The most bits a second that are made of a source: about what its viewers would get if it could be passed through.
 * @param peakBits of the source; 0: unknown
 * @param limitBits what the operator allows
 */
export function encodingBits(codecId: MatroskaTrack['codecId'], peakBits: number, limitBits: number): number {
  if (peakBits === 0) return limitBits;
  return Math.round(Math.min(limitBits, Math.max(MIN_BITS, peakBits * EXPENSE[codecId])));
}

/**
 * True if a child that may use `bits` should make way for one that may use `nextBits`: it started in a still scene.
 * One that may use more than it needs does not.
 */
export function isOutgrown(bits: number, nextBits: number): boolean {
  return nextBits >= 2 * bits;
}
