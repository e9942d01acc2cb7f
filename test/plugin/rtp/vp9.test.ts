import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createVp9Packetizer,
  FormatError,
  isVp9Keyframe,
  VP9_MAX_PAYLOAD_BYTES,
  vp9ProfileOf,
} from '../../../plugin/rtp/index.ts';
import { readRtp, type RtpPacket } from './rtp-reader.ts';

interface Frame {
  readonly data: Buffer;
  readonly keyframe: boolean;
}

function packetize(frames: readonly Frame[], maxPayloadBytes?: number): RtpPacket[] {
  const packets: RtpPacket[] = [];
  const packetizer = createVp9Packetizer({
    ssrc: 7,
    payloadType: 96,
    send: (packet) => packets.push(readRtp(Buffer.from(packet))),
    ...(maxPayloadBytes === undefined ? {} : { maxPayloadBytes }),
  });
  frames.forEach(({ data, keyframe }, index) => packetizer.send(data, index * 40, keyframe));
  return packets;
}

const pictureIdOf = ({ payload }: RtpPacket): number => payload.readUInt16BE(1) & 0x7fff;

describe('VP9 in RTP (RFC 9628)', () => {
  test('puts each frame together again from its packets', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            data: fc.uint8Array({ minLength: 1, maxLength: 5000 }).map((bytes) => Buffer.from(bytes)),
            keyframe: fc.boolean(),
          }),
          { minLength: 1, maxLength: 5 },
        ),
        fc.integer({ min: 10, max: VP9_MAX_PAYLOAD_BYTES }),
        (frames, maxPayloadBytes) => {
          const packets = packetize(frames, maxPayloadBytes);
          frames.forEach(({ data, keyframe }, index) => {
            const own = packets.filter((packet) => pictureIdOf(packet) === index + 1);
            expect(Buffer.concat(own.map(({ payload }) => payload.subarray(3)))).toEqual(data);
            // Section 4.2: picture id; predicted from others unless it is a keyframe; start and end; no layers.
            expect(own.map(({ payload }) => payload[0])).toEqual(
              own.map(
                (_, at) =>
                  0x80 | (keyframe ? 0 : 0x40) | (at === 0 ? 0x08 : 0) | (at === own.length - 1 ? 0x04 : 0),
              ),
            );
            expect(own.every(({ payload }) => (payload[1]! & 0x80) !== 0)).toBe(true);
            expect(own.map(({ marker }) => marker)).toEqual(own.map((_, at) => at === own.length - 1));
            expect(new Set(own.map(({ timestamp }) => timestamp)).size).toBe(1);
            expect(own.every(({ payload }) => payload.length <= maxPayloadBytes)).toBe(true);
          });
        },
      ),
    );
  });

  test('counts pictures with 15 bits', () => {
    const frame = { data: Buffer.from([0x86]), keyframe: false };
    const packets = packetize(Array.from({ length: 0x8001 }, () => frame));
    expect([packets[0x7ffe]!, packets[0x7fff]!, packets[0x8000]!].map(pictureIdOf)).toEqual([0x7fff, 0, 1]);
  });

  test('has a clock of 90 kHz', () => {
    const frame = { data: Buffer.from([0x86]), keyframe: false };
    const [first, second] = packetize([frame, frame]);
    expect((second!.timestamp - first!.timestamp) | 0).toBe(3600);
  });
});

describe('the head of a VP9 frame (section 6.2 of its specification)', () => {
  test.each([
    ['a keyframe of profile 0', 0x82, 0, true],
    ['a keyframe of profile 1', 0xa2, 1, true],
    ['a keyframe of profile 2', 0x92, 2, true],
    ['a keyframe of profile 3', 0xb1, 3, true],
    ['an inter frame', 0x86, 0, false],
    ['an inter frame of profile 3', 0xb2, 3, false],
    ['one that shows another again', 0x88, 0, false],
    ['one that shows another again in profile 3', 0xb4, 3, false],
  ])('%s', (_name, head, profile, keyframe) => {
    const frame = Buffer.from([head, 0x49]);
    expect([vp9ProfileOf(frame), isVp9Keyframe(frame)]).toEqual([profile, keyframe]);
  });

  test.each([
    ['nothing', ''],
    ['no frame marker', '42'],
    ['another frame marker', 'c2'],
  ])('%s is no frame', (_name, hex) => {
    expect(() => isVp9Keyframe(Buffer.from(hex, 'hex'))).toThrow(FormatError);
    expect(() => vp9ProfileOf(Buffer.from(hex, 'hex'))).toThrow(FormatError);
  });
});
