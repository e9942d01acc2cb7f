/** AAC into RTP and out of it again: RFC 3640, mode AAC-hbr (section 3.3.6). */
import { unpaddedPayloadOf } from './depacketizer.ts';
import { FormatError } from './format-error.ts';
import { createRtpWriter, type RtpWriter, type RtpWriterOptions } from './rtp-writer.ts';

/** Like that of video: with the header, SRTP's tag and an MKI well below 1,500 bytes. */
export const AAC_MAX_PAYLOAD_BYTES = 1200;
/** AU-headers-length in bits, then AU-headers of 13 bits of size and 3 of index (RFC 3640 section 3.2.1). */
const LENGTH_BYTES = 2;
const AU_HEADER_BYTES = 2;
const AU_HEADER_BITS = 8 * AU_HEADER_BYTES;
const MAX_UNIT_BYTES = 0x1fff;
const MAX_FRAGMENT_BYTES = AAC_MAX_PAYLOAD_BYTES - LENGTH_BYTES - AU_HEADER_BYTES;

export interface AacPacketizer extends Pick<RtpWriter, 'ssrc' | 'timestampAt' | 'packets' | 'octets'> {
  /**
   * Sends one access unit: as one packet, or in fragments where it is longer. (Several in a packet would wait for each
   * other.)
   * @param ticks time of its first sample, in samples
   * @throws FormatError for a unit that is empty, or longer than its header can say
   */
  send(unit: Buffer, ticks: number): void;
}

/** Starts an AAC stream; its clock rate is the sampling rate. Packets go to `send` and are valid during the call only. */
export function createAacPacketizer(options: Omit<RtpWriterOptions, 'maxPayloadBytes'>): AacPacketizer {
  const writer = createRtpWriter({ ...options, maxPayloadBytes: AAC_MAX_PAYLOAD_BYTES });
  return {
    ssrc: writer.ssrc,
    timestampAt: writer.timestampAt,
    packets: writer.packets,
    octets: writer.octets,
    send(unit, ticks) {
      if (unit.length === 0 || unit.length > MAX_UNIT_BYTES)
        throw new FormatError('aac', 'impossible length of an access unit');
      const timestamp = writer.timestampAt(ticks);
      const { payload } = writer;
      for (let at = 0; at < unit.length; at += MAX_FRAGMENT_BYTES) {
        const end = Math.min(at + MAX_FRAGMENT_BYTES, unit.length);
        payload.writeUInt16BE(AU_HEADER_BITS, 0);
        // Of each fragment the size of the whole unit (section 3.2.3), and index 0.
        payload.writeUInt16BE(unit.length << 3, LENGTH_BYTES);
        const bytes = unit.copy(payload, LENGTH_BYTES + AU_HEADER_BYTES, at, end);
        // Marked: units are whole, or end (section 3.1).
        writer.send(LENGTH_BYTES + AU_HEADER_BYTES + bytes, timestamp, end === unit.length);
      }
    },
  };
}

export interface ReceivedUnit {
  /** RTP timestamp of its first sample. */
  readonly timestamp: number;
  readonly data: Buffer;
}

export interface AacDepacketizer {
  /** Takes a packet; answers the units that it has, or ends. One that lacks a packet is left out. */
  push(packet: Buffer): ReceivedUnit[];
}

interface Fragments {
  readonly timestamp: number;
  readonly unitBytes: number;
  readonly pieces: Buffer[];
  bytes: number;
}

/**
 * For one stream, of packets of at least 12 bytes in order, none twice: what lacks a fragment is known by its size.
 * @param unitSamples of each access unit, by which those of one packet follow each other
 */
export function createAacDepacketizer(unitSamples: number): AacDepacketizer {
  let fragments: Fragments | undefined;

  function takeFragment(timestamp: number, unitBytes: number, piece: Buffer): ReceivedUnit[] {
    const goesOn = fragments?.timestamp === timestamp && fragments.unitBytes === unitBytes;
    const unit =
      goesOn && fragments !== undefined ? fragments : { timestamp, unitBytes, pieces: [], bytes: 0 };
    unit.pieces.push(piece);
    unit.bytes += piece.length;
    fragments = unit.bytes < unitBytes ? unit : undefined;
    return unit.bytes === unitBytes ? [{ timestamp, data: Buffer.concat(unit.pieces) }] : [];
  }

  function takeUnits(timestamp: number, headers: Buffer, data: Buffer): ReceivedUnit[] {
    fragments = undefined;
    const units: ReceivedUnit[] = [];
    let [at, index] = [0, 0];
    for (let header = 0; header < headers.length; header += AU_HEADER_BYTES) {
      const value = headers.readUInt16BE(header);
      const end = at + (value >> 3);
      if (end === at || end > data.length) break;
      // AU-Index is 0 for all modes but interleaved ones; AU-Index-delta is what lies between (section 3.2.1.1).
      if (header > 0) index += 1 + (value & 7);
      units.push({
        timestamp: (timestamp + index * unitSamples) >>> 0,
        data: Buffer.from(data.subarray(at, end)),
      });
      at = end;
    }
    return units;
  }

  return {
    push(packet) {
      const payload = unpaddedPayloadOf(packet);
      const headerBits = payload.length < LENGTH_BYTES ? 0 : payload.readUInt16BE(0);
      const dataAt = LENGTH_BYTES + headerBits / 8;
      if (headerBits === 0 || headerBits % AU_HEADER_BITS !== 0 || dataAt >= payload.length) return [];
      const timestamp = packet.readUInt32BE(4);
      const [headers, data] = [payload.subarray(LENGTH_BYTES, dataAt), payload.subarray(dataAt)];
      const unitBytes = headers.readUInt16BE(0) >> 3;
      const isFragment = headers.length === AU_HEADER_BYTES && data.length < unitBytes;
      return isFragment
        ? takeFragment(timestamp, unitBytes, Buffer.from(data))
        : takeUnits(timestamp, headers, data);
    },
  };
}
