/** One line (video or audio) of one viewer: the stream's packets under his own key, SSRC and numbers. */
import { randomInt } from 'node:crypto';
import { startsKeyframe, type KeyframeCodec } from '../../rtp/index.ts';
import type { DescribedLine } from '../../rtsp/description.ts';
import { createSrtpSender } from '../../srtp/index.ts';
import type { LineOutlet } from './outlets.ts';

export interface SendingLine {
  /** Of the next packet: what `RTP-Info` says. */
  nextSequence(): number;
  /**
   * Sends a packet of the stream; answers its bytes with header, 0 when it is left out: before the first keyframe, when
   * it comes after a later one, and when the outlet does not take it.
   * @throws SrtpKeyExhausted
   */
  rtp(packet: Buffer): number;
  /** Sends the stream's sender report as this line's, once there was a packet. */
  rtcp(packet: Buffer): void;
  /** What comes next begins anew, with a keyframe; numbers go on. */
  interrupt(): void;
  /** Sends another way from now on; numbers go on. */
  reroute(outlet: LineOutlet): void;
  /** Tells the viewer that there will be no more. */
  bye(): void;
}

const RTP_HEADER_BYTES = 12;
const LARGEST_PACKET_BYTES = 1500;
/** Late packets in a row after which the source has begun other numbers. */
const MAX_LATE_IN_A_ROW = 100;
/** Numbers left out at once after which it has, well below what the rollover counter can follow (RFC 3711 section 3.3.1). */
const MAX_STEP = 0x4000;
/** From the start of a compound packet of SR and SDES. */
const SR_SSRC_AT = 4;
const SR_PACKETS_AT = 20;
const SR_OCTETS_AT = 24;
const SDES_SSRC_AT = 32;
const MIN_REPORT_BYTES = 36;

/** An empty receiver report and BYE (RFC 3550 section 6.6): a compound packet. */
function byeOf(ssrc: number): Buffer {
  const packet = Buffer.from('80c9000100000000' + '81cb000100000000', 'hex');
  packet.writeUInt32BE(ssrc, 4);
  packet.writeUInt32BE(ssrc, 12);
  return packet;
}

const isKeyframeCodec = (name: string | undefined): name is KeyframeCodec =>
  name === 'H264' || name === 'VP8' || name === 'VP9';

/**
 * @param line its key must not be used anywhere else
 * @param onBroken told when the stream's numbers have no more to do with those before, and nothing goes out until a keyframe
 */
export function createSendingLine(
  line: DescribedLine,
  firstOutlet: LineOutlet,
  onBroken: () => void,
): SendingLine {
  let outlet = firstOutlet;
  const { key, payloadType, codec } = line;
  const { ssrc } = key;
  const sender = createSrtpSender(key);
  const codecName = codec?.name;
  const waitsFor = isKeyframeCodec(codecName) ? codecName : undefined;
  const scratch = Buffer.alloc(LARGEST_PACKET_BYTES);
  // The low half, so that the rollover counter is never guessed wrongly at the start (RFC 3711 section 3.3.1).
  let next = randomInt(0x8000);
  /** From the stream's number to this line's; `undefined` where it begins anew. */
  let offset: number | undefined;
  let lateInARow = 0;
  let packets = 0;
  let octets = 0;

  function protectedBuffer(packet: Buffer, protect: (packet: Buffer, into: Buffer) => number): Buffer {
    const { headroomBytes } = outlet;
    const buffer = Buffer.allocUnsafe(headroomBytes + packet.length + sender.overheadBytes);
    return buffer.subarray(0, headroomBytes + protect(packet, buffer.subarray(headroomBytes)));
  }

  function interrupt(): void {
    offset = undefined;
    lateInARow = 0;
  }

  return {
    nextSequence: () => next,
    rtp(packet) {
      if (packet.length < RTP_HEADER_BYTES || packet.length > LARGEST_PACKET_BYTES) return 0;
      const streamSequence = packet.readUInt16BE(2);
      const step = offset === undefined ? 0 : (streamSequence + offset - next) & 0xffff;
      // Late ones of an app's producer: their key stream has been passed over.
      lateInARow = step >= 0x8000 ? lateInARow + 1 : 0;
      if (lateInARow > 0 && lateInARow <= MAX_LATE_IN_A_ROW) return 0;
      const isBroken = step >= MAX_STEP;
      if (isBroken) interrupt();
      if (offset === undefined) {
        if (waitsFor !== undefined && !startsKeyframe(waitsFor, packet)) {
          if (isBroken) onBroken();
          return 0;
        }
        offset = (next - streamSequence) & 0xffff;
      }
      const sequence = (streamSequence + offset) & 0xffff;
      next = (sequence + 1) & 0xffff;
      packet.copy(scratch);
      const own = scratch.subarray(0, packet.length);
      own.writeUInt8(((packet[1] ?? 0) & 0x80) | payloadType, 1);
      own.writeUInt16BE(sequence, 2);
      own.writeUInt32BE(ssrc, 8);
      if (!outlet.rtp(protectedBuffer(own, sender.protectRtp))) return 0;
      packets = (packets + 1) >>> 0;
      octets = (octets + packet.length - RTP_HEADER_BYTES) >>> 0;
      return packet.length;
    },
    rtcp(packet) {
      if (packets === 0 || offset === undefined || packet.length < MIN_REPORT_BYTES) return;
      const own = Buffer.from(packet);
      own.writeUInt32BE(ssrc, SR_SSRC_AT);
      own.writeUInt32BE(packets, SR_PACKETS_AT);
      own.writeUInt32BE(octets, SR_OCTETS_AT);
      own.writeUInt32BE(ssrc, SDES_SSRC_AT);
      outlet.rtcp(protectedBuffer(own, sender.protectRtcp));
    },
    interrupt,
    reroute: (to) => void (outlet = to),
    bye() {
      if (packets > 0) outlet.rtcp(protectedBuffer(byeOf(ssrc), sender.protectRtcp));
    },
  };
}
