/** RTCP sender reports (RFC 3550 sections 6.4.1 and 6.5). */

const SENDER_REPORT = 200;
const SOURCE_DESCRIPTION = 202;
const SDES_CNAME = 1;
const SENDER_REPORT_BYTES = 28;
/** Seconds from 1900, where NTP starts, to 1970. */
const NTP_EPOCH_SECONDS = 2_208_988_800;

export interface SenderReport {
  readonly ssrc: number;
  /** Unix time in milliseconds, fractions allowed, of the instant that is described. */
  readonly ntpMs: number;
  /** RTP timestamp of the same instant. */
  readonly rtpTimestamp: number;
  /** Modulo 2^32. */
  readonly packets: number;
  /** Payload octets, modulo 2^32. */
  readonly octets: number;
  /** Canonical name, at most 255 bytes; the same for streams that are played in sync. */
  readonly cname: string;
}

/**
 * Builds a compound packet: SR without report blocks, and SDES with the CNAME.
 * @throws TypeError for a CNAME that is empty or too long
 */
export function buildSenderReport(report: SenderReport): Buffer {
  const cname = Buffer.from(report.cname, 'utf8');
  if (cname.length === 0 || cname.length > 255) throw new TypeError('cname must have 1 to 255 bytes');
  // SSRC, type, length, text, and at least one zero byte up to the next multiple of four.
  const chunkBytes = Math.ceil((4 + 2 + cname.length + 1) / 4) * 4;
  const packet = Buffer.alloc(SENDER_REPORT_BYTES + 4 + chunkBytes);
  packet[0] = 0x80;
  packet[1] = SENDER_REPORT;
  packet.writeUInt16BE(SENDER_REPORT_BYTES / 4 - 1, 2);
  packet.writeUInt32BE(report.ssrc, 4);
  const wholeSeconds = Math.floor(report.ntpMs / 1000);
  packet.writeUInt32BE((wholeSeconds + NTP_EPOCH_SECONDS) >>> 0, 8);
  packet.writeUInt32BE(Math.floor((report.ntpMs / 1000 - wholeSeconds) * 0x1_0000_0000), 12);
  packet.writeUInt32BE(report.rtpTimestamp >>> 0, 16);
  packet.writeUInt32BE(report.packets >>> 0, 20);
  packet.writeUInt32BE(report.octets >>> 0, 24);
  const sdes = SENDER_REPORT_BYTES;
  packet[sdes] = 0x81;
  packet[sdes + 1] = SOURCE_DESCRIPTION;
  packet.writeUInt16BE(chunkBytes / 4, sdes + 2);
  packet.writeUInt32BE(report.ssrc, sdes + 4);
  packet[sdes + 8] = SDES_CNAME;
  packet[sdes + 9] = cname.length;
  cname.copy(packet, sdes + 10);
  return packet;
}
