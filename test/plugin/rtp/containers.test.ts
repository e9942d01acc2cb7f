/** What comes out of ffmpeg, cut anywhere. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createFlvReader, createIvfReader, FormatError } from '../../../plugin/rtp/index.ts';
import { makeTag } from './flv-clip.ts';

/** Cuts bytes at places that fast-check chooses. */
const cut = (bytes: Buffer, places: readonly number[]): Buffer[] => {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...at, bytes.length].map((end, index) => bytes.subarray(at[index - 1] ?? 0, end));
};
const places = fc.array(fc.nat(100_000), { maxLength: 20 });
const parts = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 });

const FLV_HEADER = Buffer.from('464c5601010000000900000000', 'hex');
const IVF_HEADER = Buffer.concat([Buffer.from('DKIF\0\0 \0VP80', 'latin1'), Buffer.alloc(20)]);

test('FLV: every tag comes whole, wherever the file is cut', () => {
  fc.assert(
    fc.property(parts, places, (bodies, at) => {
      const tags = bodies.map((body, index) => makeTag(9, Buffer.from(body), index * 40));
      const read: Buffer[] = [];
      const reader = createFlvReader((tag) => read.push(tag));
      for (const chunk of cut(Buffer.concat([FLV_HEADER, ...tags]), at)) reader.push(chunk);
      expect(read).toEqual(tags.map((tag) => tag.subarray(0, tag.length - 4)));
    }),
  );
});

test('IVF: every picture comes whole with its timestamp, wherever the file is cut', () => {
  fc.assert(
    fc.property(parts, places, (pictures, at) => {
      const coded = pictures.map((picture, index) => {
        const head = Buffer.alloc(12);
        head.writeUInt32LE(picture.length);
        head.writeBigUInt64LE(BigInt(index * 2 ** 33), 4);
        return Buffer.concat([head, picture]);
      });
      const read: [Buffer, number][] = [];
      const reader = createIvfReader((picture, timestamp) => read.push([picture, timestamp]));
      for (const chunk of cut(Buffer.concat([IVF_HEADER, ...coded]), at)) reader.push(chunk);
      expect(read).toEqual(pictures.map((picture, index) => [Buffer.from(picture), index * 2 ** 33]));
    }),
  );
});

describe('what is no such file is refused', () => {
  test.each([
    ['FLV', () => createFlvReader(() => undefined).push(Buffer.alloc(20))],
    ['IVF', () => createIvfReader(() => undefined).push(Buffer.alloc(40))],
    [
      'IVF with a picture of 4 GiB',
      () =>
        createIvfReader(() => undefined).push(
          Buffer.concat([IVF_HEADER, Buffer.alloc(4, 0xff), Buffer.alloc(8)]),
        ),
    ],
  ])('%s', (_, read) => {
    expect(read).toThrow(FormatError);
  });
});
