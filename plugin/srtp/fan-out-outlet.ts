/** One receiver of a fan-out: its own SSRC, sequence numbers and key. */
import { createSrtpSender, SrtpKeyExhausted, type SrtpSender } from './srtp.ts';
import type { SrtpMasterKey } from './packet-cipher.ts';
import type { SrtpSuiteName } from './suites.ts';

export interface OutletKey {
  readonly suite: SrtpSuiteName;
  readonly master: SrtpMasterKey;
  /** Master key identifier in every packet. Default none. */
  readonly mki?: Uint8Array;
}

/** What packets are given for this receiver. */
export interface OutletRewrite {
  /** 32 bits. */
  readonly ssrc: number;
  /** Of the first packet: 16 bits, random; below 2^15 the receiver cannot mistake the rollover counter. */
  readonly sequence: number;
  /** 7 bits. */
  readonly payloadType: number;
  /** Added to the stream's RTP timestamps, 32 bits. Default 0. */
  readonly timestampOffset?: number;
}

/**
 * Where counters are, in an array that threads may share: numbers up to 2^53, aligned, so that none is read by halves.
 */
export const COUNTERS = {
  packets: 0,
  payloadBytes: 1,
  wireBytes: 2,
  dropped: 3,
  /** RTP timestamp of the last packet, -1 before. */
  timestamp: 4,
  /** Sequence number of the next packet, unless the stream has a gap. */
  nextSequence: 5,
  /** Dropped on the way to the thread that sends: the only one that the other thread counts. */
  unqueued: 6,
} as const;
export const COUNTERS_LENGTH = 7;

/** A packet of the stream, in memory where its header may be changed: every receiver changes the same fields. */
export interface SourcePacket {
  readonly packet: Buffer;
  /** Of the packet in its stream: goes up by one, and by more where packets are missing. */
  readonly index: number;
  /** First two octets of the header, payload type 0. */
  readonly start: number;
  readonly timestamp: number;
}

export interface FanOutOutlet {
  isPaused: boolean;
  /**
   * Makes this receiver's packet in `into`; answers its length, or 0 when there is none for it.
   */
  protect(source: SourcePacket, into: Buffer): number;
  /** What `protect` has made is on its way. */
  sent(wireBytes: number, payloadBytes: number): void;
  /** A packet of the stream does not get to this receiver: its sequence number is missing. */
  drop(): void;
  rekey(key: OutletKey): void;
}

const SEQUENCES = 0x1_0000;
/** A gap in the sequence numbers that every receiver understands (RFC 3711 section 3.3.1 has 2^15 - 1). */
const MAX_GAP = 0x4000;

/**
 * @param counters of the length `COUNTERS_LENGTH`; what is before the first packet is the caller's to say
 * @throws RangeError for a key, salt or MKI of a wrong length
 */
export function createOutlet(
  key: OutletKey,
  { ssrc, sequence, payloadType, timestampOffset = 0 }: OutletRewrite,
  counters: Float64Array,
): FanOutOutlet {
  let sender: SrtpSender = createSrtpSender(key);
  /** Of the first packet under another key, which may be behind a gap that has passed the end of the numbers. */
  const rocs = new Map<number, number>();
  let isRekeyed = false;
  /** Index of the next packet in this receiver's stream: rollover counter and sequence number. */
  let next = sequence;
  /** Index in the stream - index here; undefined until a packet has come, and after a pause. */
  let shift: number | undefined;
  const count = (which: number, by: number): void => {
    counters[which] = (counters[which] ?? 0) + by;
  };

  /** This receiver's index of a packet. */
  function indexOf(streamIndex: number): number {
    shift ??= streamIndex - next;
    if (streamIndex - shift - next > MAX_GAP) shift = streamIndex - next;
    return streamIndex - shift;
  }

  const outlet: FanOutOutlet = {
    isPaused: false,
    protect({ packet, index: streamIndex, start, timestamp }, into) {
      if (outlet.isPaused) {
        shift = undefined;
        return 0;
      }
      const index = indexOf(streamIndex);
      if (isRekeyed) rocs.set(ssrc, Math.floor(index / SEQUENCES));
      isRekeyed = false;
      const stamp = (timestamp + timestampOffset) >>> 0;
      packet.writeUInt32BE(((start | payloadType) * SEQUENCES + (index % SEQUENCES)) >>> 0, 0);
      packet.writeUInt32BE(stamp, 4);
      packet.writeUInt32BE(ssrc, 8);
      try {
        const bytes = sender.protectRtp(packet, into);
        next = index + 1;
        counters[COUNTERS.timestamp] = stamp;
        counters[COUNTERS.nextSequence] = next % SEQUENCES;
        return bytes;
      } catch (error) {
        if (!(error instanceof SrtpKeyExhausted)) throw error;
        count(COUNTERS.dropped, 1);
        return 0;
      }
    },
    sent(wireBytes, payloadBytes) {
      count(COUNTERS.packets, 1);
      count(COUNTERS.payloadBytes, payloadBytes);
      count(COUNTERS.wireBytes, wireBytes);
    },
    drop() {
      if (!outlet.isPaused) count(COUNTERS.dropped, 1);
    },
    rekey(to) {
      sender = createSrtpSender({ ...to, rocs });
      isRekeyed = true;
    },
  };
  return outlet;
}
