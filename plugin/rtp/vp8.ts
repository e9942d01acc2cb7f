/** VP8 into RTP (RFC 7741). */
import { createRtpWriter, type RtpWriter, type RtpWriterOptions } from './rtp-writer.ts';

export const VP8_CLOCK_RATE = 90_000;
/** As for H.264: leaves room for SRTP, header extensions and tunnels below an MTU of 1,280 bytes. */
export const VP8_MAX_PAYLOAD_BYTES = 1200;

/** Extended; start of partition 0. */
const EXTENDED = 0x80;
const START = 0x10;
/** The extension has a picture id, of 15 bits. */
const HAS_PICTURE_ID = 0x80;
const LONG_ID = 0x80;
const DESCRIPTOR_BYTES = 4;

export interface Vp8Packetizer extends Pick<RtpWriter, 'ssrc' | 'timestampAt' | 'packets' | 'octets'> {
  /**
   * Sends one frame; the marker bit is on its last packet.
   * @param presentationMs presentation time in milliseconds, which becomes the RTP timestamp at 90 kHz
   */
  send(frame: Buffer, presentationMs: number): void;
}

/** True for a frame that can be decoded without others (RFC 6386 section 9.1). */
export function isVp8Keyframe(frame: Buffer): boolean {
  return frame.length > 0 && ((frame[0] ?? 1) & 1) === 0;
}

/** Starts a VP8 stream. Packets go to `send` and are valid during the call only. */
export function createVp8Packetizer(
  options: Omit<RtpWriterOptions, 'clockRate' | 'maxPayloadBytes'> & { readonly maxPayloadBytes?: number },
): Vp8Packetizer {
  const maxPayloadBytes = options.maxPayloadBytes ?? VP8_MAX_PAYLOAD_BYTES;
  const writer = createRtpWriter({ ...options, clockRate: VP8_CLOCK_RATE, maxPayloadBytes });
  const { payload } = writer;
  const room = maxPayloadBytes - DESCRIPTOR_BYTES;
  let pictureId = 0;
  return {
    ssrc: writer.ssrc,
    timestampAt: writer.timestampAt,
    packets: writer.packets,
    octets: writer.octets,
    send(frame, presentationMs) {
      const timestamp = writer.timestampAt(presentationMs * (VP8_CLOCK_RATE / 1000));
      pictureId = (pictureId + 1) & 0x7fff;
      for (let offset = 0; offset < frame.length; offset += room) {
        const end = Math.min(offset + room, frame.length);
        payload[0] = EXTENDED | (offset === 0 ? START : 0);
        payload[1] = HAS_PICTURE_ID;
        payload[2] = LONG_ID | (pictureId >> 8);
        payload[3] = pictureId;
        frame.copy(payload, DESCRIPTOR_BYTES, offset, end);
        writer.send(DESCRIPTOR_BYTES + end - offset, timestamp, end === frame.length);
      }
    },
  };
}
