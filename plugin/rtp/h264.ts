/** H.264 into RTP: single NAL unit packets and FU-A (RFC 6184 sections 5.6 and 5.8, packetization-mode 1). */
import { createRtpWriter, type RtpWriter, type RtpWriterOptions } from './rtp-writer.ts';

export const H264_CLOCK_RATE = 90_000;
/** Leaves room for SRTP, header extensions and tunnels below an MTU of 1,280 bytes. */
export const H264_MAX_PAYLOAD_BYTES = 1200;

const NAL_IDR = 5;
const NAL_SPS = 7;
const NAL_PPS = 8;
const NAL_DELIMITER = 9;
const NAL_FILLER = 12;
const NAL_SPS_EXTENSION = 13;
const NAL_LAST_DEFINED = 23;
const FU_A = 28;
const FU_HEADER_BYTES = 2;
const FU_START = 0x80;
const FU_END = 0x40;

export interface H264Packetizer extends Pick<RtpWriter, 'ssrc' | 'timestampAt' | 'packets' | 'octets'> {
  /** Parameter sets to put in front of a keyframe that brings none of its own. */
  setParameterSets(sets: readonly Buffer[]): void;
  /**
   * Sends one access unit; the marker bit is on its last packet. A keyframe starts with SPS and PPS.
   * @param presentationMs presentation time in milliseconds, which becomes the RTP timestamp at 90 kHz
   */
  send(nals: readonly Buffer[], presentationMs: number, keyframe: boolean): void;
}

function typeOf(nal: Buffer): number {
  return (nal[0] ?? 0) & 0x1f;
}

/** Delimiters and filler carry no picture; types outside 1 to 23 would be read as RFC 6184's own packet types. */
function isSent(nal: Buffer): boolean {
  const type = typeOf(nal);
  return type >= 1 && type <= NAL_LAST_DEFINED && type !== NAL_DELIMITER && type !== NAL_FILLER;
}

function isParameterSet(nal: Buffer): boolean {
  const type = typeOf(nal);
  return type === NAL_SPS || type === NAL_PPS || type === NAL_SPS_EXTENSION;
}

function has(nals: readonly Buffer[], type: number): boolean {
  return nals.some((nal) => typeOf(nal) === type);
}

/** Starts an H.264 stream. Packets go to `send` and are valid during the call only. */
export function createH264Packetizer(
  options: Omit<RtpWriterOptions, 'clockRate' | 'maxPayloadBytes'> & { readonly maxPayloadBytes?: number },
): H264Packetizer {
  const maxPayloadBytes = options.maxPayloadBytes ?? H264_MAX_PAYLOAD_BYTES;
  const writer = createRtpWriter({ ...options, clockRate: H264_CLOCK_RATE, maxPayloadBytes });
  const { payload } = writer;
  let parameterSets: readonly Buffer[] = [];

  function sendNal(nal: Buffer, timestamp: number, last: boolean): void {
    const size = nal.length;
    if (size <= maxPayloadBytes) {
      nal.copy(payload, 0);
      writer.send(size, timestamp, last);
      return;
    }
    const head = nal[0] ?? 0;
    payload[0] = (head & 0xe0) | FU_A;
    let flags = FU_START;
    for (let offset = 1; offset < size;) {
      const end = Math.min(offset + maxPayloadBytes - FU_HEADER_BYTES, size);
      if (end === size) flags |= FU_END;
      payload[1] = flags | (head & 0x1f);
      nal.copy(payload, FU_HEADER_BYTES, offset, end);
      writer.send(end - offset + FU_HEADER_BYTES, timestamp, last && end === size);
      offset = end;
      flags = 0;
    }
  }

  /** The sets to start a keyframe with: its own, completed from those of the sequence header. */
  function setsFor(nals: readonly Buffer[]): Buffer[] {
    const own = nals.filter(isParameterSet);
    const ownSps = has(own, NAL_SPS);
    const ownPps = has(own, NAL_PPS);
    const kept = parameterSets.filter((set) => (typeOf(set) === NAL_PPS ? !ownPps : !ownSps));
    return [...own, ...kept].sort((a, b) => Number(typeOf(a) === NAL_PPS) - Number(typeOf(b) === NAL_PPS));
  }

  return {
    ssrc: writer.ssrc,
    timestampAt: writer.timestampAt,
    packets: writer.packets,
    octets: writer.octets,
    setParameterSets(sets) {
      parameterSets = sets;
    },
    send(nals, presentationMs, keyframe) {
      const timestamp = writer.timestampAt(presentationMs * (H264_CLOCK_RATE / 1000));
      const startsWithSets = keyframe || has(nals, NAL_IDR);
      // Sets without a picture would be a packet of their own instant and no keyframe: they wait for the next one.
      const picture = nals.filter((nal) => isSent(nal) && !(startsWithSets && isParameterSet(nal)));
      if (picture.length === 0) return;
      if (startsWithSets) for (const set of setsFor(nals)) sendNal(set, timestamp, false);
      picture.forEach((nal, index) => sendNal(nal, timestamp, index === picture.length - 1));
    },
  };
}
