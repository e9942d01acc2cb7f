import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { heightsIn } from '../../../plugin/rtp/index.ts';

/** Sequence parameter sets of libx264 (ffmpeg -f lavfi -i testsrc=size=WxH -c:v libx264 -profile:v ...). */
const SPS: readonly [string, number, string][] = [
  ['baseline, 640x360, cropped', 360, '6742c01ed900a02ff97011000003000100000300320f162e48'],
  ['main, 160x90, cropped', 90, '674d400beca146fc9808800000030080000019078a14cb'],
  ['high, 1920x1080, cropped', 1080, '67640028acd940780227e5c044000003000400000300c83c60c658'],
  ['high with scaling lists, 1280x720', 720, '6764001facd9405005bb011000000300100000030320f1831960'],
  ['high 4:4:4, 320x90', 90, '67f4000b919b28286fcf80880000030008000003019078a14cb0'],
  ['interlaced, 720x576', 576, '6764001eacd940b424d8088000000300800000190f8a14cb'],
  ['interlaced, 1920x1080, cropped', 1080, '67640028acd94078044fde0220000003002000000643e2c5b2c0'],
];

/** What ffmpeg 5.1 sends for size=320x180. */
const VP8_KEYFRAME = Buffer.from('80600700d3a91a87edc6042f908080003051009d012a4001b4000047', 'hex').subarray(
  12,
);

const stapA = (...nals: Buffer[]): Buffer =>
  Buffer.concat([
    Buffer.from([24]),
    ...nals.flatMap((nal) => [Buffer.from([nal.length >> 8, nal.length & 0xff]), nal]),
  ]);

describe('the height of pictures in RTP', () => {
  it.each(SPS)('is read from H.264, %s', (_name, height, hex) => {
    const sps = Buffer.from(hex, 'hex');
    expect(heightsIn('H264', sps)).toEqual([height]);
    expect(heightsIn('H264', stapA(Buffer.from([9, 0x10]), sps, Buffer.from([0x68, 1])))).toEqual([height]);
  });

  it('is read from a VP8 keyframe, with any payload descriptor, and from its first packet only', () => {
    expect(heightsIn('VP8', VP8_KEYFRAME)).toEqual([180]);
    const frame = VP8_KEYFRAME.subarray(4);
    expect(heightsIn('VP8', Buffer.concat([Buffer.from([0x10]), frame]))).toEqual([180]);
    expect(heightsIn('VP8', Buffer.concat([Buffer.from([0x90, 0xf0, 0x81, 1, 2, 3]), frame]))).toEqual([180]);
    expect(heightsIn('VP8', Buffer.concat([Buffer.from([0x00]), frame]))).toBeUndefined();
    expect(heightsIn('VP8', Buffer.concat([Buffer.from([0x11]), frame]))).toBeUndefined();
    const inter = Buffer.from(frame);
    inter.writeUInt8(frame.readUInt8(0) | 1, 0);
    expect(heightsIn('VP8', Buffer.concat([Buffer.from([0x10]), inter]))).toBeUndefined();
  });

  it('is read for each spatial layer from the scalability structure of VP9 (RFC 9628 section 4.2.1)', () => {
    const sizes = Buffer.from([1, 64, 0, 180, 2, 128, 1, 104, 5, 0, 2, 208]);
    const structure = Buffer.concat([Buffer.from([(2 << 5) | 0x10]), sizes]);
    // I, L, B and V: a picture id of 15 bits, layer indices with TL0PICIDX.
    expect(heightsIn('VP9', Buffer.concat([Buffer.from([0xaa, 0x81, 2, 0x10, 7]), structure]))).toEqual([
      180, 360, 720,
    ]);
    // The same in flexible mode, with two references.
    expect(heightsIn('VP9', Buffer.concat([Buffer.from([0xfa, 5, 0x10, 3, 4]), structure]))).toEqual([
      180, 360, 720,
    ]);
    expect(heightsIn('VP9', Buffer.from([0x02, 0x00]))).toBeUndefined();
    expect(heightsIn('VP9', Buffer.from([0x88, 5, 1, 2]))).toBeUndefined();
  });

  it('is not told by other packets', () => {
    expect(heightsIn('H264', Buffer.from([0x65, 1, 2, 3]))).toBeUndefined();
    expect(heightsIn('H264', Buffer.alloc(0))).toBeUndefined();
  });

  it('is a number of pixels or nothing, whatever comes, and soon', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('H264', 'VP8', 'VP9'),
        fc.uint8Array({ maxLength: 600 }),
        fc.constantFrom(undefined, 0x67, 24, 0x10, 0xaa),
        (codec, bytes, first) => {
          const payload = Buffer.from(first === undefined ? bytes : [first, ...bytes]);
          const heights = heightsIn(codec, payload) ?? [];
          return heights.every((height) => Number.isInteger(height) && height >= 0 && height <= 65_535);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
