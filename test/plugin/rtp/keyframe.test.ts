import { expect, test } from 'vitest';
import {
  createH264Packetizer,
  createVp8Packetizer,
  createVp9Packetizer,
  startsKeyframe,
} from '../../../plugin/rtp/index.ts';

function packets(run: (send: (packet: Buffer) => void) => void): Buffer[] {
  const sent: Buffer[] = [];
  run((packet) => sent.push(Buffer.from(packet)));
  return sent;
}

const nal = (type: number, bytes = 20): Buffer =>
  Buffer.concat([Buffer.from([0x60 | type]), Buffer.alloc(bytes)]);
const rtp = (payload: readonly number[], first = 0x80, between: readonly number[] = []): Buffer =>
  Buffer.from([first, 96, ...Array.from({ length: 10 }, () => 0), ...between, ...payload]);

test('of H.264 the first packet of a keyframe only', () => {
  const sent = packets((send) => {
    const packetizer = createH264Packetizer({ ssrc: 1, payloadType: 96, send });
    packetizer.setParameterSets([nal(7), nal(8)]);
    packetizer.send([nal(1)], 0, false);
    packetizer.send([nal(5, 3000)], 40, true);
  });
  // The slice; SPS, PPS, and three fragments of the picture, of which the first could be begun with as well.
  expect(sent.map((packet) => startsKeyframe('H264', packet))).toEqual([
    false,
    true,
    false,
    true,
    false,
    false,
  ]);
});

test('of VP8 and VP9 from our own packetizers', () => {
  const vp8 = packets((send) => {
    const packetizer = createVp8Packetizer({ ssrc: 1, payloadType: 96, send });
    packetizer.send(Buffer.concat([Buffer.from([0x11]), Buffer.alloc(2500)]), 0);
    packetizer.send(Buffer.concat([Buffer.from([0x10]), Buffer.alloc(2500)]), 40);
  });
  expect(vp8.map((packet) => startsKeyframe('VP8', packet))).toEqual([
    false,
    false,
    false,
    true,
    false,
    false,
  ]);
  const vp9 = packets((send) => {
    const packetizer = createVp9Packetizer({ ssrc: 1, payloadType: 96, send });
    packetizer.send(Buffer.alloc(2500, 0x86), 0, false);
    packetizer.send(Buffer.alloc(2500, 0x82), 40, true);
  });
  expect(vp9.filter((packet) => startsKeyframe('VP9', packet))).toHaveLength(1);
  expect(vp9.findIndex((packet) => startsKeyframe('VP9', packet))).toBe(vp9.length / 2);
});

test.each([
  ['H264', 'an aggregate that begins with SPS', rtp([24, 0, 1, 0x67]), true],
  ['H264', 'an aggregate of other units', rtp([24, 0, 1, 0x61]), false],
  ['H264', 'the middle of a fragmented keyframe', rtp([0x7c, 0x05, 1]), false],
  [
    'H264',
    'behind CSRCs and an extension',
    rtp([0x67], 0x91, [9, 9, 9, 9, 0xbe, 0xde, 0, 1, 1, 2, 3, 4]),
    true,
  ],
  ['H264', 'an extension that is longer than the packet', rtp([], 0x90, [0xbe, 0xde, 255, 255]), false],
  ['H264', 'no payload', rtp([]), false],
  // RFC 7741 section 4.2: X, I with 15 bits, L, T and K.
  ['VP8', 'a keyframe behind a long descriptor', rtp([0x90, 0xf0, 0x81, 1, 2, 3, 0x10]), true],
  ['VP8', 'an inter frame behind it', rtp([0x90, 0xf0, 0x81, 1, 2, 3, 0x11]), false],
  ['VP8', 'a later partition', rtp([0x11, 0x10]), false],
  ['VP8', 'a descriptor without payload', rtp([0x90]), false],
  // RFC 9628 section 4.2: I, P, L, F, B, E, V, Z.
  ['VP9', 'a keyframe of the lowest layer', rtp([0xa8, 0x81, 1, 0x00]), true],
  ['VP9', 'the same of a higher layer', rtp([0xa8, 0x81, 1, 0x02]), false],
  ['VP9', 'an inter frame', rtp([0xc8, 0x81, 1]), false],
] as const)('%s: %s', (codec, _what, packet, expected) => {
  expect(startsKeyframe(codec, packet)).toBe(expected);
});
