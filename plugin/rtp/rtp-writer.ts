import { randomInt } from 'node:crypto';

const HEADER_BYTES = 12;

export interface RtpWriterOptions {
  readonly ssrc: number;
  /** 0 to 127. */
  readonly payloadType: number;
  /** Hertz of the RTP timestamp. */
  readonly clockRate: number;
  readonly maxPayloadBytes: number;
  /** The first sequence number; random when absent, as RFC 3550 section 5.1 asks. */
  readonly firstSequence?: number;
  /** What is added to every timestamp; random when absent. */
  readonly timestampOffset?: number;
  /** Takes a packet that is valid during the call only: the next one is written into the same memory. */
  readonly send: (packet: Buffer) => void;
}

/** Writes the packets of one RTP stream into one reused buffer. */
export interface RtpWriter {
  readonly ssrc: number;
  /** Where the payload of the next packet goes; `maxPayloadBytes` long. */
  readonly payload: Buffer;
  /** RTP timestamp (modulo 2^32) of a time in ticks of the clock rate. */
  timestampAt(ticks: number): number;
  /** Sends the first `payloadBytes` of `payload` as the next packet. */
  send(payloadBytes: number, timestamp: number, marker: boolean): void;
  /** Packets sent, modulo 2^32, as sender reports count. */
  packets(): number;
  /** Payload octets sent, modulo 2^32. */
  octets(): number;
}

/** Starts an RTP stream (RFC 3550 section 5.1). */
export function createRtpWriter(options: RtpWriterOptions): RtpWriter {
  const { ssrc, payloadType, maxPayloadBytes } = options;
  const packet = Buffer.alloc(HEADER_BYTES + maxPayloadBytes);
  const payload = packet.subarray(HEADER_BYTES);
  // The low half, so that SRTP's rollover counter is never guessed wrongly at the start (RFC 3711 section 3.3.1).
  let sequence = options.firstSequence ?? randomInt(0x8000);
  const timestampOffset = options.timestampOffset ?? randomInt(0x1_0000_0000);
  let packets = 0;
  let octets = 0;
  packet[0] = 0x80;
  packet.writeUInt32BE(ssrc, 8);
  return {
    ssrc,
    payload,
    timestampAt: (ticks) => (timestampOffset + Math.round(ticks)) >>> 0,
    send(payloadBytes, timestamp, marker) {
      packet[1] = (marker ? 0x80 : 0) | payloadType;
      packet[2] = sequence >> 8;
      packet[3] = sequence;
      packet[4] = timestamp >>> 24;
      packet[5] = timestamp >>> 16;
      packet[6] = timestamp >>> 8;
      packet[7] = timestamp;
      sequence = (sequence + 1) & 0xffff;
      packets = (packets + 1) >>> 0;
      octets = (octets + payloadBytes) >>> 0;
      options.send(
        payloadBytes === maxPayloadBytes ? packet : packet.subarray(0, HEADER_BYTES + payloadBytes),
      );
    },
    packets: () => packets,
    octets: () => octets,
  };
}
