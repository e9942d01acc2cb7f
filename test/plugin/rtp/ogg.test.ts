import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createOggReader, FormatError, type OggPage } from '../../../plugin/rtp/index.ts';

interface Segments {
  readonly lacing: number[];
  readonly body: Buffer;
  readonly granule: bigint;
  readonly continued?: boolean;
}

function page({ lacing, body, granule, continued = false }: Segments): Buffer {
  const head = Buffer.alloc(27 + lacing.length);
  head.write('OggS', 0, 'latin1');
  head[5] = continued ? 1 : 0;
  head.writeBigInt64LE(granule, 6);
  head[26] = lacing.length;
  Buffer.from(lacing).copy(head, 27);
  return Buffer.concat([head, body]);
}

/** A page per group of packets, all whole. */
function pageOf(packets: readonly Buffer[], granule: number): Buffer {
  const lacing = packets.flatMap((packet) => [
    ...Array<number>(Math.floor(packet.length / 255)).fill(255),
    packet.length % 255,
  ]);
  return page({ lacing, body: Buffer.concat(packets), granule: BigInt(granule) });
}

function readAll(chunks: readonly Buffer[]): OggPage[] {
  const pages: OggPage[] = [];
  const reader = createOggReader(({ packets, granule }) =>
    pages.push({ packets: packets.map((packet) => Buffer.from(packet)), granule }),
  );
  for (const chunk of chunks) reader.push(chunk);
  return pages;
}

function cutAt(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let rest = bytes;
  for (const size of sizes) {
    chunks.push(rest.subarray(0, size));
    rest = rest.subarray(size);
  }
  return [...chunks, rest];
}

describe('pages (RFC 3533)', () => {
  test('pages are the same however the bytes are cut', () => {
    const packet = fc.integer({ min: 0, max: 900 }).map((size) => Buffer.alloc(size, size & 0xff));
    const pages = fc.array(fc.array(packet, { minLength: 1, maxLength: 5 }), { maxLength: 5 });
    fc.assert(
      fc.property(pages, fc.array(fc.nat(300), { maxLength: 40 }), (groups, cuts) => {
        const bytes = Buffer.concat(groups.map((packets, index) => pageOf(packets, index * 960)));
        expect(readAll(cutAt(bytes, cuts))).toEqual(
          groups.map((packets, i) => ({ packets, granule: i * 960 })),
        );
      }),
    );
  });

  test('a packet goes on over pages, and only the page where it ends has it', () => {
    const pages = readAll([
      page({ lacing: [3, 255], body: Buffer.alloc(258, 1), granule: 960n }),
      page({ lacing: [255], body: Buffer.alloc(255, 2), granule: -1n, continued: true }),
      page({ lacing: [4], body: Buffer.alloc(4, 3), granule: 1920n, continued: true }),
    ]);
    expect(pages.map(({ packets, granule }) => [packets.map((packet) => packet.length), granule])).toEqual([
      [[3], 960],
      [[], -1],
      [[514], 1920],
    ]);
  });

  test.each([
    ['bytes that are no page', [Buffer.alloc(64, 0x41)]],
    ['another version', [Buffer.concat([Buffer.from('OggS\x01'), Buffer.alloc(40)])]],
    [
      'a packet that continues from nowhere',
      [page({ lacing: [1], body: Buffer.alloc(1), granule: 0n, continued: true })],
    ],
    [
      'a packet that is dropped in the middle',
      [
        page({ lacing: [255], body: Buffer.alloc(255), granule: -1n }),
        page({ lacing: [1], body: Buffer.alloc(1), granule: 0n }),
      ],
    ],
  ])('%s is refused', (_, chunks) => {
    expect(() => readAll(chunks)).toThrow(FormatError);
  });

  test('a packet without end is refused before it takes more than 64 KiB', () => {
    const lacing = Array<number>(255).fill(255);
    const body = Buffer.alloc(255 * 255);
    const first = page({ lacing, body, granule: -1n });
    const next = page({ lacing, body, granule: -1n, continued: true });
    expect(() => readAll([first, next])).toThrow(FormatError);
  });

  test('random bytes are pages or a FormatError', () => {
    const bytes = fc
      .uint8Array({ maxLength: 600 })
      .map((tail) => Buffer.concat([Buffer.from('OggS\0'), tail]));
    fc.assert(
      fc.property(bytes, (stream) => {
        try {
          readAll([stream]);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
