/**
 * RTP of sources that follow each other, as one stream: whoever watches it never learns that its source is another.
 * Packets are changed in place.
 */
import { findSenderReport } from './rtcp.ts';

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
  /** The source's sender report, without report blocks, as the stream's; `undefined` where there is none. */
  senderReport(compound: Buffer): Buffer | undefined;
}

export interface Splice {
  /** Begins with another source: its first packet follows the last one of the source before. */
  next(sourceSsrc: number): SpliceSource;
}

const HEADER_BYTES = 12;
/** Only a source's start is watched for packets from before it: later on numbers go round. */
const COMPARED_PACKETS = 1000;

export function createSplice({ ssrc, payloadType, clockRate, nowMs }: SpliceOptions): Splice {
  let last: { sequence: number; timestamp: number; atMs: number } | undefined;

  function note(sequence: number, timestamp: number): void {
    // Late packets are let through and change nothing here.
    if (last !== undefined && ((sequence - last.sequence) & 0xffff) >= 0x8000) return;
    last = { sequence, timestamp, atMs: nowMs() };
  }

  return {
    next(sourceSsrc) {
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
          const ownSequence = (sequence + offset.sequence) & 0xffff;
          const ownTimestamp = (timestamp + offset.timestamp) >>> 0;
          note(ownSequence, ownTimestamp);
          packet.writeUInt8((packet.readUInt8(1) & 0x80) | payloadType, 1);
          packet.writeUInt16BE(ownSequence, 2);
          packet.writeUInt32BE(ownTimestamp, 4);
          packet.writeUInt32BE(ssrc, 8);
          return packet;
        },
        senderReport(compound) {
          const report = findSenderReport(compound, sourceSsrc);
          // Before the first packet it is not known where its timestamps go.
          if (report === undefined || offset === undefined) return undefined;
          report.writeUInt8(0x80, 0);
          report.writeUInt16BE(report.length / 4 - 1, 2);
          report.writeUInt32BE(ssrc, 4);
          report.writeUInt32BE((report.readUInt32BE(16) + offset.timestamp) >>> 0, 16);
          return report;
        },
      };
    },
  };
}
