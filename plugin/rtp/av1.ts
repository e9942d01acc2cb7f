/** AV1 into RTP (Alliance for Open Media, "RTP Payload Format For AV1", section 4). */
import { HAS_SIZE, OBU_SEQUENCE_HEADER, obuHeaderBytes, obuPayloadAt, obuType } from './av1-obu.ts';
import { createRtpWriter, type RtpWriter, type RtpWriterOptions } from './rtp-writer.ts';

export const AV1_CLOCK_RATE = 90_000;
/** As for H.264: leaves room for SRTP, header extensions and tunnels below an MTU of 1,280 bytes. */
export const AV1_MAX_PAYLOAD_BYTES = 1200;

/**
 * The aggregation header (section 4.4): the first element goes on from the packet before, the last one goes on in the
 * next packet, a coded video sequence starts. W is 0: each element has its length in front.
 */
const CONTINUES = 0x80;
const CONTINUED = 0x40;
const NEW_SEQUENCE = 0x08;
const AGGREGATION_BYTES = 1;
/** The length, a whole OBU header and a byte behind it: headers are not torn apart. */
const MIN_ELEMENT_BYTES = 4;
/** Of a sequence header that is repeated before keyframes: more than any has, and fits into a packet. */
const MAX_SEQUENCE_HEADER_BYTES = 1024;
/** LEB128: 7 bits to a byte. */
const MAX_ONE_BYTE = 0x7f;

export interface Av1Packetizer extends Pick<RtpWriter, 'ssrc' | 'timestampAt' | 'packets' | 'octets'> {
  /** For keyframes that bring none of their own. One of more than 1,024 bytes is not kept. */
  setSequenceHeader(obu: Buffer | undefined): void;
  /**
   * Sends one temporal unit; the marker bit is on its last packet. A keyframe has a sequence header.
   * @param obus as `readObus` answers them
   * @param presentationMs presentation time in milliseconds, which becomes the RTP timestamp at 90 kHz
   */
  send(obus: readonly Buffer[], presentationMs: number, keyframe: boolean): void;
}

/** Starts an AV1 stream. Packets go to `send` and are valid during the call only. */
export function createAv1Packetizer(
  options: Omit<RtpWriterOptions, 'clockRate' | 'maxPayloadBytes'> & { readonly maxPayloadBytes?: number },
): Av1Packetizer {
  const maxPayloadBytes = options.maxPayloadBytes ?? AV1_MAX_PAYLOAD_BYTES;
  const writer = createRtpWriter({ ...options, clockRate: AV1_CLOCK_RATE, maxPayloadBytes });
  const { payload } = writer;
  let sequenceHeader: Buffer | undefined;
  let used = 0;

  /** Copied: it is a view of a whole tag, which it would keep. */
  function keep(header: Buffer | undefined): void {
    const isKept = header !== undefined && header.length <= MAX_SEQUENCE_HEADER_BYTES;
    sequenceHeader = isKept ? Buffer.from(header) : undefined;
  }

  function flush(timestamp: number, marker: boolean): void {
    writer.send(used, timestamp, marker);
    used = AGGREGATION_BYTES;
    payload[0] = 0;
  }

  /** Writes the next `bytes` of an element, behind their number. */
  function writeElement(obu: Buffer, offset: number, bytes: number): void {
    if (bytes > MAX_ONE_BYTE) payload[used++] = 0x80 | (bytes & 0x7f);
    payload[used++] = bytes > MAX_ONE_BYTE ? bytes >> 7 : bytes;
    const headBytes = obuHeaderBytes(obu);
    if (offset === 0) {
      // Section 5: obu_has_size_field should be 0, since the element's length says it.
      payload[used] = (obu[0] ?? 0) & ~HAS_SIZE;
      if (headBytes === 2) payload[used + 1] = obu[1] ?? 0;
    }
    const skipped = obuPayloadAt(obu) - headBytes;
    const from = Math.max(offset, headBytes);
    obu.copy(payload, used + from - offset, skipped + from, skipped + offset + bytes);
    used += bytes;
  }

  function sendElement(obu: Buffer, timestamp: number): void {
    const size = obu.length - obuPayloadAt(obu) + obuHeaderBytes(obu);
    if (maxPayloadBytes - used < MIN_ELEMENT_BYTES) flush(timestamp, false);
    for (let offset = 0; offset < size;) {
      const room = maxPayloadBytes - used;
      const short = Math.min(size - offset, room - 1);
      const bytes = short > MAX_ONE_BYTE ? Math.min(size - offset, room - 2) : short;
      writeElement(obu, offset, bytes);
      offset += bytes;
      if (offset === size) return;
      payload[0] = (payload[0] ?? 0) | CONTINUED;
      flush(timestamp, false);
      payload[0] = CONTINUES;
    }
  }

  return {
    ssrc: writer.ssrc,
    timestampAt: writer.timestampAt,
    packets: writer.packets,
    octets: writer.octets,
    setSequenceHeader: keep,
    send(obus, presentationMs, keyframe) {
      if (obus.length === 0) return;
      const timestamp = writer.timestampAt(presentationMs * (AV1_CLOCK_RATE / 1000));
      const own = keyframe ? obus.find((obu) => obuType(obu) === OBU_SEQUENCE_HEADER) : undefined;
      if (own !== undefined) keep(own);
      used = AGGREGATION_BYTES;
      payload[0] = keyframe ? NEW_SEQUENCE : 0;
      if (keyframe && own === undefined && sequenceHeader !== undefined) {
        sendElement(sequenceHeader, timestamp);
      }
      for (const obu of obus) sendElement(obu, timestamp);
      writer.send(used, timestamp, true);
    },
  };
}
