/** VP9 into RTP (RFC 9628): one layer, non-flexible mode. */
import { FormatError } from './format-error.ts';
import { createRtpWriter, type RtpWriter, type RtpWriterOptions } from './rtp-writer.ts';

export const VP9_CLOCK_RATE = 90_000;
/** As for H.264: leaves room for SRTP, header extensions and tunnels below an MTU of 1,280 bytes. */
export const VP9_MAX_PAYLOAD_BYTES = 1200;

/** Section 4.2: a picture id is there; the picture is predicted from others; start and end of the frame. */
const HAS_PICTURE_ID = 0x80;
const INTER_PICTURE_PREDICTED = 0x40;
const START = 0x08;
const END = 0x04;
/** The picture id has 15 bits. */
const LONG_ID = 0x80;
const DESCRIPTOR_BYTES = 3;

const FRAME_MARKER = 0b10;

export interface Vp9Packetizer extends Pick<RtpWriter, 'ssrc' | 'timestampAt' | 'packets' | 'octets'> {
  /**
   * Sends what is shown at one instant: a frame, or a superframe with its index, which decoders take apart themselves.
   * The marker bit is on its last packet.
   * @param presentationMs presentation time in milliseconds, which becomes the RTP timestamp at 90 kHz
   */
  send(frame: Buffer, presentationMs: number, keyframe: boolean): void;
}

/**
 * The profile (0 to 3) that the first frame says it has (VP9 bitstream specification, section 6.2).
 * @throws FormatError for what is not a frame
 */
export function vp9ProfileOf(frame: Buffer): number {
  const head = frame[0] ?? 0;
  if (head >> 6 !== FRAME_MARKER) throw new FormatError('vp9', 'no frame marker');
  return ((head >> 5) & 1) | ((head >> 3) & 2);
}

/**
 * True for a frame that can be decoded without others: neither one that shows another again nor one of inter pictures.
 * @throws FormatError for what is not a frame
 */
export function isVp9Keyframe(frame: Buffer): boolean {
  // A reserved bit comes between the profile and the rest in profile 3.
  const rest = (frame[0] ?? 0) << (vp9ProfileOf(frame) === 3 ? 1 : 0);
  return (rest & 0x0c) === 0;
}

/** Starts a VP9 stream. Packets go to `send` and are valid during the call only. */
export function createVp9Packetizer(
  options: Omit<RtpWriterOptions, 'clockRate' | 'maxPayloadBytes'> & { readonly maxPayloadBytes?: number },
): Vp9Packetizer {
  const maxPayloadBytes = options.maxPayloadBytes ?? VP9_MAX_PAYLOAD_BYTES;
  const writer = createRtpWriter({ ...options, clockRate: VP9_CLOCK_RATE, maxPayloadBytes });
  const { payload } = writer;
  const room = maxPayloadBytes - DESCRIPTOR_BYTES;
  let pictureId = 0;
  return {
    ssrc: writer.ssrc,
    timestampAt: writer.timestampAt,
    packets: writer.packets,
    octets: writer.octets,
    send(frame, presentationMs, keyframe) {
      const timestamp = writer.timestampAt(presentationMs * (VP9_CLOCK_RATE / 1000));
      const flags = HAS_PICTURE_ID | (keyframe ? 0 : INTER_PICTURE_PREDICTED);
      pictureId = (pictureId + 1) & 0x7fff;
      for (let offset = 0; offset < frame.length; offset += room) {
        const end = Math.min(offset + room, frame.length);
        payload[0] = flags | (offset === 0 ? START : 0) | (end === frame.length ? END : 0);
        payload[1] = LONG_ID | (pictureId >> 8);
        payload[2] = pictureId;
        frame.copy(payload, DESCRIPTOR_BYTES, offset, end);
        writer.send(DESCRIPTOR_BYTES + end - offset, timestamp, end === frame.length);
      }
    },
  };
}
