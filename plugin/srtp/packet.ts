/** Where the parts of RTP and RTCP packets are, for whoever protects them. */

const RTP_HEADER_BYTES = 12;
export const RTCP_HEADER_BYTES = 8;
const VERSION = 2;

/** Bytes of an RTP header with CSRCs and extension (RFC 3550 section 5.1), which stays clear; -1 when it is none. */
export function rtpHeaderBytes(packet: Uint8Array): number {
  const first = packet[0] ?? 0;
  if (packet.length < RTP_HEADER_BYTES || first >> 6 !== VERSION) return -1;
  let bytes = RTP_HEADER_BYTES + (first & 0x0f) * 4;
  if ((first & 0x10) !== 0) {
    if (packet.length < bytes + 4) return -1;
    bytes += 4 + (((packet[bytes + 2] ?? 0) << 8) | (packet[bytes + 3] ?? 0)) * 4;
  }
  return bytes <= packet.length ? bytes : -1;
}

/** True for what begins as a compound RTCP packet does. */
export function isRtcp(packet: Uint8Array): boolean {
  return packet.length >= RTCP_HEADER_BYTES && (packet[0] ?? 0) >> 6 === VERSION;
}
