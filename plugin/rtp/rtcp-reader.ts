/** What a receiver needs of RTCP (RFC 3550 section 6). */

export interface ReadReport {
  /** Unix time in milliseconds, with fractions. */
  readonly ntpMs: number;
  /** RTP timestamp of the same instant. */
  readonly rtpTimestamp: number;
}

const SENDER_REPORT = 200;
const BYE = 203;
const SENDER_REPORT_BYTES = 28;
/** Seconds from 1900, where NTP starts, to 1970. */
const NTP_EPOCH_SECONDS = 2_208_988_800;

/** The packets of a compound packet, up to the first that is not whole. */
function* packetsOf(compound: Buffer): Generator<Buffer> {
  for (let at = 0; at + 4 <= compound.length;) {
    const end = at + 4 * (compound.readUInt16BE(at + 2) + 1);
    if (end > compound.length) return;
    yield compound.subarray(at, end);
    at = end;
  }
}

/** The sender report that a compound packet has. */
export function readSenderReport(compound: Buffer): ReadReport | undefined {
  for (const packet of packetsOf(compound)) {
    if (packet[1] !== SENDER_REPORT || packet.length < SENDER_REPORT_BYTES) continue;
    const seconds = packet.readUInt32BE(8) - NTP_EPOCH_SECONDS;
    const ntpMs = (seconds + packet.readUInt32BE(12) / 2 ** 32) * 1000;
    return { ntpMs, rtpTimestamp: packet.readUInt32BE(16) };
  }
  return undefined;
}

/** True when the sender says that it sends no more. */
export const saysBye = (compound: Buffer): boolean =>
  [...packetsOf(compound)].some((packet) => packet[1] === BYE);
