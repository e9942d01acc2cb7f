/** Opus into RTP (RFC 7587), and what the mapping needs to know of Opus packets and of Ogg's OpusHead. */
import { FormatError } from './format-error.ts';
import { createRtpWriter, type RtpWriter, type RtpWriterOptions } from './rtp-writer.ts';

/** RFC 7587 section 4.1: the RTP clock is 48 kHz whatever the coded bandwidth. */
export const OPUS_CLOCK_RATE = 48_000;
const MAX_PACKET_BYTES = 1276;
const MAX_PACKET_SAMPLES = 5760;

/** Samples (at 48 kHz) of one frame, by the configuration number of the TOC byte (RFC 6716 section 3.1). */
const FRAME_SAMPLES: readonly number[] = [
  ...[1, 2, 3].flatMap(() => [480, 960, 1920, 2880]),
  ...[1, 2].flatMap(() => [480, 960]),
  ...[1, 2, 3, 4].flatMap(() => [120, 240, 480, 960]),
];

/**
 * Duration of an Opus packet in samples at 48 kHz.
 * @throws FormatError for an empty packet, or one longer than Opus allows (120 ms) or an RTP packet carries
 */
export function opusPacketSamples(packet: Buffer): number {
  const toc = packet[0];
  if (toc === undefined) throw new FormatError('opus', 'empty packet');
  const frameSamples = FRAME_SAMPLES[toc >> 3] ?? 0;
  if (packet.length > MAX_PACKET_BYTES) throw new FormatError('opus', 'packet is too long for RTP');
  const code = toc & 3;
  const frames = code === 0 ? 1 : code === 3 ? (packet[1] ?? 0) & 0x3f : 2;
  const samples = frames * frameSamples;
  if (samples === 0 || samples > MAX_PACKET_SAMPLES) throw new FormatError('opus', 'impossible duration');
  return samples;
}

/** What an OpusHead packet (RFC 7845 section 5.1) says. */
export interface OpusHead {
  /** 1 to 255. */
  readonly channels: number;
  /** Samples at 48 kHz that the decoder puts before the sound. */
  readonly preSkip: number;
  /** Opus streams in each packet; more than one is a multistream packet, which RTP does not carry. */
  readonly streams: number;
}

/**
 * Parses an OpusHead packet.
 * @throws FormatError
 */
export function parseOpusHead(packet: Buffer): OpusHead {
  const version = packet[8] ?? 0xff;
  if (packet.length < 19 || packet.toString('latin1', 0, 8) !== 'OpusHead' || version > 15) {
    throw new FormatError('opus', 'no OpusHead');
  }
  const channels = packet[9] ?? 0;
  const family = packet[18] ?? 0;
  // Family 0 is one stream of one or two channels; the others bring a table that starts with the number of streams.
  const streams = family === 0 ? 1 : (packet[19] ?? 0);
  if (channels === 0 || streams === 0 || (family === 0 && channels > 2)) {
    throw new FormatError('opus', 'OpusHead with impossible channels');
  }
  return { channels, preSkip: packet.readUInt16LE(10), streams };
}

export interface OpusPacketizer extends Pick<RtpWriter, 'ssrc' | 'timestampAt' | 'packets' | 'octets'> {
  /**
   * Sends one Opus packet as one RTP packet.
   * @param ticks time of its first sample, in samples at 48 kHz
   * @param marker true for the first packet after a pause (RFC 7587 section 4.2)
   */
  send(packet: Buffer, ticks: number, marker: boolean): void;
}

/** Starts an Opus stream. Packets go to `send` and are valid during the call only. */
export function createOpusPacketizer(
  options: Omit<RtpWriterOptions, 'clockRate' | 'maxPayloadBytes'>,
): OpusPacketizer {
  const writer = createRtpWriter({
    ...options,
    clockRate: OPUS_CLOCK_RATE,
    maxPayloadBytes: MAX_PACKET_BYTES,
  });
  return {
    ssrc: writer.ssrc,
    timestampAt: writer.timestampAt,
    packets: writer.packets,
    octets: writer.octets,
    send(packet, ticks, marker) {
      if (packet.length > MAX_PACKET_BYTES) throw new FormatError('opus', 'packet is too long for RTP');
      packet.copy(writer.payload, 0);
      writer.send(packet.length, writer.timestampAt(ticks), marker);
    },
  };
}
