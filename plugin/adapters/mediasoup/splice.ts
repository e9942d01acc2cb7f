/**
 * RTP of sources that follow each other, as one stream: whoever watches it never learns that its source is another.
 * Packets are changed in place.
 */

export interface SpliceOptions {
  readonly ssrc: number;
  /** 0 to 127. */
  readonly payloadType: number;
  /** Hertz of the RTP timestamp. */
  readonly clockRate: number;
  /** Milliseconds that never jump. */
  readonly nowMs: () => number;
}

/** One source of the stream. */
export interface SpliceSource {
  /** The packet as the stream's next one; `undefined` when it lies before its source's first, or is none. */
  rtp(packet: Buffer): Buffer | undefined;
}

/** What a sender report says of the stream (RFC 3550 section 6.4.1). */
export interface SpliceProgress {
  /** Of the newest picture or piece of sound. */
  readonly rtpTimestamp: number;
  /** When its first packet came, on the clock of `nowMs`. */
  readonly atMs: number;
  /** Of packets and payload octets so far. */
  readonly packets: number;
  readonly octets: number;
  /** Timestamps so far, that is pictures; each counts once. */
  readonly pictures: number;
}

export interface Splice {
  /** Begins with another source: its first packet follows the last one of the source before. */
  next(): SpliceSource;
  /** `undefined` before the first packet. */
  progress(): SpliceProgress | undefined;
}

const HEADER_BYTES = 12;
/** Only a source's start is watched for packets from before it: later on numbers go round. */
const COMPARED_PACKETS = 1000;

export function createSplice({ ssrc, payloadType, clockRate, nowMs }: SpliceOptions): Splice {
  let last: { sequence: number; timestamp: number; atMs: number } | undefined;
  let newest: { rtpTimestamp: number; atMs: number } | undefined;
  let sentPackets = 0;
  let sentOctets = 0;
  let pictures = 0;

  function note(sequence: number, timestamp: number): void {
    // Late packets are let through and change nothing here.
    if (last !== undefined && ((sequence - last.sequence) & 0xffff) >= 0x8000) return;
    const atMs = nowMs();
    last = { sequence, timestamp, atMs };
    if (newest?.rtpTimestamp === timestamp) return;
    newest = { rtpTimestamp: timestamp, atMs };
    pictures += 1;
  }

  return {
    next() {
      let offset: { sequence: number; timestamp: number } | undefined;
      let first = 0;
      let packets = 0;

      /** RFC 3550 section 5.1: sequence numbers go up by one, timestamps by the time that has passed. */
      function offsetFor(sequence: number, timestamp: number): { sequence: number; timestamp: number } {
        if (last === undefined) return { sequence: 0, timestamp: 0 };
        const passedTicks = Math.max(1, Math.round(((nowMs() - last.atMs) * clockRate) / 1000));
        return {
          sequence: (last.sequence + 1 - sequence) & 0xffff,
          timestamp: (last.timestamp + passedTicks - timestamp) >>> 0,
        };
      }

      return {
        rtp(packet) {
          if (packet.length < HEADER_BYTES) return undefined;
          const sequence = packet.readUInt16BE(2);
          const timestamp = packet.readUInt32BE(4);
          if (offset === undefined) {
            offset = offsetFor(sequence, timestamp);
            first = sequence;
          }
          // It would take the number of a packet of the source before.
          if (packets < COMPARED_PACKETS && ((sequence - first) & 0xffff) >= 0x8000) return undefined;
          packets += 1;
          sentPackets += 1;
          sentOctets += packet.length - HEADER_BYTES;
          const ownSequence = (sequence + offset.sequence) & 0xffff;
          const ownTimestamp = (timestamp + offset.timestamp) >>> 0;
          note(ownSequence, ownTimestamp);
          packet.writeUInt8((packet.readUInt8(1) & 0x80) | payloadType, 1);
          packet.writeUInt16BE(ownSequence, 2);
          packet.writeUInt32BE(ownTimestamp, 4);
          packet.writeUInt32BE(ssrc, 8);
          return packet;
        },
      };
    },
    progress: () => newest && { ...newest, packets: sentPackets, octets: sentOctets, pictures },
  };
}
