/** What a crypto suite does to packets. */

export interface SrtpMasterKey {
  /** `keyBytes` of the suite. */
  readonly key: Uint8Array;
  /** `saltBytes` of the suite. */
  readonly salt: Uint8Array;
}

/** What one of RTP and RTCP is protected with. */
export interface SessionKeys {
  readonly encryption: Buffer;
  readonly salt: Buffer;
  /** Empty where the cipher authenticates by itself. */
  readonly authentication: Buffer;
}

/** What is to be protected or opened. */
export interface RtpPlace {
  readonly ssrc: number;
  /** Rollover counter. */
  readonly roc: number;
  readonly sequence: number;
}

/**
 * Encryption and authentication of one direction under one master key. Writers write into `into`, which has room, and
 * answer the end of what they have written; `mki` goes where the suite has it. Openers decrypt in place; they answer the
 * packet without what was added, or `undefined` when it is not authentic. What is longer than the suite's key stream is a
 * RangeError, before anything is written.
 */
export interface PacketCipher {
  protectRtp(packet: Buffer, headerBytes: number, place: RtpPlace, mki: Uint8Array, into: Buffer): number;
  openRtp(packet: Buffer, headerBytes: number, place: RtpPlace, mkiBytes: number): Buffer | undefined;
  /** @param index 31 bits */
  protectRtcp(packet: Buffer, index: number, mki: Uint8Array, into: Buffer): number;
  openRtcp(packet: Buffer, index: number, mkiBytes: number): Buffer | undefined;
}

/** The E flag, before the index of an SRTCP packet (RFC 3711 section 3.4). */
export const RTCP_ENCRYPTED = 0x8000_0000;
