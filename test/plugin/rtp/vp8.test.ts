import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createVp8Packetizer, isVp8Keyframe, VP8_MAX_PAYLOAD_BYTES } from '../../../plugin/rtp/index.ts';
import { readRtp, type RtpPacket } from './rtp-reader.ts';

function packetize(frames: readonly Buffer[], maxPayloadBytes?: number): RtpPacket[] {
  const packets: RtpPacket[] = [];
  const packetizer = createVp8Packetizer({
    ssrc: 7,
    payloadType: 96,
    send: (packet) => packets.push(readRtp(Buffer.from(packet))),
    ...(maxPayloadBytes === undefined ? {} : { maxPayloadBytes }),
  });
  frames.forEach((frame, index) => packetizer.send(frame, index * 40));
  return packets;
}

const pictureIdOf = ({ payload }: RtpPacket): number => payload.readUInt16BE(2) & 0x7fff;

describe('VP8 in RTP (RFC 7741)', () => {
  test('puts each frame together again from its packets', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 5000 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 10, max: VP8_MAX_PAYLOAD_BYTES }),
        (frames, maxPayloadBytes) => {
          const packets = packetize(
            frames.map((frame) => Buffer.from(frame)),
            maxPayloadBytes,
          );
          frames.forEach((frame, index) => {
            const own = packets.filter((packet) => pictureIdOf(packet) === index + 1);
            expect(Buffer.concat(own.map(({ payload }) => payload.subarray(4)))).toEqual(Buffer.from(frame));
            // Section 4.2: extended, with a picture id; the first packet starts partition 0.
            expect(own.map(({ payload }) => payload.readUInt16BE(0))).toEqual(
              own.map((_, at) => (at === 0 ? 0x9080 : 0x8080)),
            );
            expect(own.map(({ marker }) => marker)).toEqual(own.map((_, at) => at === own.length - 1));
            expect(new Set(own.map(({ timestamp }) => timestamp)).size).toBe(1);
            expect(own.every(({ payload }) => payload.length <= maxPayloadBytes)).toBe(true);
          });
        },
      ),
    );
  });

  test('has a clock of 90 kHz', () => {
    const [first, second] = packetize([Buffer.from([1]), Buffer.from([1])]);
    expect((second!.timestamp - first!.timestamp) | 0).toBe(3600);
  });

  test.each([
    [Buffer.from([0x10]), true],
    [Buffer.from([0x11]), false],
    [Buffer.alloc(0), false],
  ])('knows a keyframe by its first bit (RFC 6386 section 9.1)', (frame, expected) => {
    expect(isVp8Keyframe(frame)).toBe(expected);
  });
});
