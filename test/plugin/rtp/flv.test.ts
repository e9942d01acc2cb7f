import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError, parseAacConfig, parseFlvTag, type FlvTag } from '../../../plugin/rtp/index.ts';
import { avcTag, clipTags, makeTag } from './flv-clip.ts';

const CLIP = clipTags();

function kinds(tags: readonly Buffer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const tag of tags) {
    const { kind } = parseFlvTag(tag);
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

function bytesOf(tag: FlvTag): Buffer[] {
  switch (tag.kind) {
    case 'avc-config':
      return [...tag.config.sps, ...tag.config.pps];
    case 'avc-frame':
      return [...tag.nals];
    case 'aac-config':
      return [tag.config.bytes];
    case 'aac-frame':
      return [tag.data];
    default:
      return [];
  }
}

describe('tags of a real encoder', () => {
  test('every tag of the clip is understood', () => {
    const { ignored, ...media } = kinds(CLIP);
    expect(media).toEqual({ 'avc-config': 1, 'avc-frame': 25, 'aac-config': 1, 'aac-frame': 45 });
    expect(ignored).toBe(2); // onMetaData, and the end of the AVC sequence.
  });

  test('the sequence headers say what was encoded', () => {
    const parsed = CLIP.map((tag) => parseFlvTag(tag));
    const avc = parsed.find((tag) => tag.kind === 'avc-config')!;
    expect(avc.config).toMatchObject({ nalLengthBytes: 4, profileLevelId: '42c00d' });
    expect(avc.config.sps.map((sps) => sps[0]! & 0x1f)).toEqual([7]);
    expect(avc.config.pps.map((pps) => pps[0]! & 0x1f)).toEqual([8]);
    const aac = parsed.find((tag) => tag.kind === 'aac-config')!;
    expect(aac.config).toMatchObject({ objectType: 2, sampleRateHz: 44_100, channels: 1 });
  });

  test('keyframes come every 12 pictures and decoding times every 40 ms', () => {
    const frames = CLIP.map((tag) => parseFlvTag(tag)).filter((tag) => tag.kind === 'avc-frame');
    expect(frames.flatMap((frame, index) => (frame.keyframe ? [index] : []))).toEqual([0, 12, 24]);
    expect(frames.map((frame) => frame.dtsMs - frames[0]!.dtsMs)).toEqual(
      frames.map((_, index) => index * 40),
    );
  });

  test('a tag without the trailing size is the same tag', () => {
    for (const tag of CLIP) expect(parseFlvTag(tag.subarray(0, -4))).toEqual(parseFlvTag(tag));
  });

  test('NAL units are views of the tag, not copies', () => {
    for (const tag of CLIP) {
      for (const part of bytesOf(parseFlvTag(tag))) expect(part.buffer).toBe(tag.buffer);
    }
  });
});

describe('timestamps', () => {
  test.each([0, 1, 0xff_ff_ff, 0x1_00_00_00, 0x7f_ff_ff_ff, 0x80_00_00_00, 0xff_ff_ff_ff])(
    '%i ms is read from the 24 + 8 bits',
    (timeMs) => {
      const tag = avcTag([Buffer.from([0x65, 1])], { key: true, timeMs });
      expect(parseFlvTag(tag)).toMatchObject({ kind: 'avc-frame', dtsMs: timeMs });
    },
  );

  test.each([-120, 0, 80, 9999])('a composition time of %i ms is read with its sign', (cts) => {
    const tag = avcTag([Buffer.from([0x41, 1])], { key: false, cts });
    expect(parseFlvTag(tag)).toMatchObject({ compositionMs: cts, keyframe: false });
  });
});

describe('codecs that are not carried', () => {
  test.each([
    ['video', 'Sorenson H.263', 9, [0x12, 0, 0]],
    ['video', 'VP6', 9, [0x14, 0, 0]],
    ['video', 'H.265', 9, [0x1c, 0, 0]],
    ['video', 'video codec 15', 9, [0x1f, 0, 0]],
    ['audio', 'MP3', 8, [0x2f, 1]],
    ['audio', 'Speex', 8, [0xb6, 1]],
  ])('%s: %s', (media, codec, type, body) => {
    expect(parseFlvTag(makeTag(type, Buffer.from(body)))).toEqual({ kind: 'unsupported', media, codec });
  });

  test.each([
    ['script data', makeTag(18, Buffer.from([2, 0, 0]))],
    ['an empty audio tag', makeTag(8, Buffer.alloc(0))],
    ['an empty video tag', makeTag(9, Buffer.alloc(0))],
    ['a video command', makeTag(9, Buffer.from([0x57, 0]))],
    ['the end of a sequence', makeTag(9, Buffer.from([0x17, 2, 0, 0, 0]))],
    ['an AAC frame of nothing', makeTag(8, Buffer.from([0xaf, 1]))],
  ])('%s is nothing to send', (_, tag) => {
    expect(parseFlvTag(tag)).toEqual({ kind: 'ignored' });
  });
});

/** A whole decoder record of one SPS and two PPS. */
const recordOf = (ppsBytes: number): Buffer => {
  const pps = Buffer.alloc(ppsBytes, 0x68);
  const length = Buffer.from([ppsBytes >> 8, ppsBytes & 0xff]);
  const head = Buffer.from('0142c00bffe100046742c00b02', 'hex');
  return makeTag(9, Buffer.concat([Buffer.from('1700000000', 'hex'), head, length, pps, length, pps]));
};
const LONG_RECORD = recordOf(32_760);

test('a decoder record of 64 KiB at most is read', () => {
  expect(parseFlvTag(recordOf(32_759))).toMatchObject({ kind: 'avc-config' });
});

describe('malformed tags are refused', () => {
  const config = Buffer.from('17000000000142c00bffe1000467', 'hex');
  test.each([
    ['a cut header', Buffer.alloc(10)],
    ['a size beyond the tag', Buffer.from([9, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0x17])],
    ['a size below the tag', makeTag(9, Buffer.from([0x17, 1, 0, 0, 0])).subarray(0, 15)],
    [
      'a wrong trailing size',
      Buffer.concat([makeTag(8, Buffer.from([0xaf, 1, 1])).subarray(0, -1), Buffer.from([9])]),
    ],
    ['an unknown tag type', makeTag(7, Buffer.from([1]))],
    ['an unknown AVC packet type', makeTag(9, Buffer.from([0x17, 3, 0, 0, 0]))],
    ['a cut AVC tag', makeTag(9, Buffer.from([0x17, 1, 0]))],
    ['a NAL unit longer than its tag', makeTag(9, Buffer.from([0x17, 1, 0, 0, 0, 0, 0, 0, 9, 0x65]))],
    ['a cut NAL unit length', makeTag(9, Buffer.from([0x17, 1, 0, 0, 0, 0, 0]))],
    ['composition hours away', avcTag([Buffer.from([0x41])], { key: false, cts: 8_000_000 })],
    [
      'a thousand tiny NAL units',
      avcTag(
        Array.from({ length: 1002 }, () => Buffer.from([0x41])),
        { key: false },
      ),
    ],
    ['a cut decoder record', makeTag(9, config)],
    ['a decoder record of more than 64 KiB', LONG_RECORD],
    ['a decoder record of another version', makeTag(9, Buffer.from('17000000000242c00bffe10000', 'hex'))],
    ['an unknown AAC packet type', makeTag(8, Buffer.from([0xaf, 2, 0]))],
    ['a cut AudioSpecificConfig', makeTag(8, Buffer.from([0xaf, 0, 0x12]))],
  ])('%s', (_, tag) => {
    expect(() => parseFlvTag(tag)).toThrow(FormatError);
  });

  test('NAL lengths of 3 bytes do not exist', () => {
    const tag = CLIP.find((each) => parseFlvTag(each).kind === 'avc-config')!;
    const changed = Buffer.from(tag);
    changed[11 + 5 + 4] = 0xfe;
    expect(() => parseFlvTag(changed)).toThrow(FormatError);
  });

  test('AudioSpecificConfigs with an escaped type or an explicit rate are read', () => {
    expect(parseAacConfig(Buffer.from([0xf9, 0x46, 0x40]))).toMatchObject({
      objectType: 42,
      sampleRateHz: 48_000,
    });
    const explicit = parseAacConfig(Buffer.from([0x17, 0x80, 0x5d, 0xc0, 0x10]));
    expect(explicit).toMatchObject({ objectType: 2, sampleRateHz: 48_000, channels: 2 });
  });
});

/** Either a tag, all of whose parts lie inside the input, or a FormatError: nothing else. */
function staysInside(tag: Buffer, nalLengthBytes: 1 | 2 | 4): void {
  let parsed: FlvTag;
  try {
    parsed = parseFlvTag(tag, nalLengthBytes);
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return;
  }
  for (const part of bytesOf(parsed)) {
    expect(part.byteOffset).toBeGreaterThanOrEqual(tag.byteOffset);
    expect(part.byteOffset + part.length).toBeLessThanOrEqual(tag.byteOffset + tag.length);
  }
}

const lengthBytes = fc.constantFrom<1 | 2 | 4>(1, 2, 4);

describe('whatever comes', () => {
  test('random bytes are a tag or a FormatError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), lengthBytes, (bytes, n) =>
        staysInside(Buffer.from(bytes), n),
      ),
      { numRuns: 2000 },
    );
  });

  test('random bodies in a whole tag are a tag or a FormatError', () => {
    const type = fc.constantFrom(8, 9, 18);
    const head = fc.constantFrom([], [0x17, 0, 0, 0, 0, 1], [0x17, 1, 0, 0, 0], [0xaf, 0], [0xaf, 1]);
    fc.assert(
      fc.property(type, head, fc.uint8Array({ maxLength: 300 }), lengthBytes, (tagType, start, rest, n) =>
        staysInside(makeTag(tagType, Buffer.from([...start, ...rest])), n),
      ),
      { numRuns: 3000 },
    );
  });

  test('real tags with changed, cut or repeated bytes are a tag or a FormatError', () => {
    const mutation = fc.record({
      index: fc.nat(CLIP.length - 1),
      changes: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 8 }),
      cut: fc.nat(64),
      repeated: fc.nat(64),
    });
    fc.assert(
      fc.property(mutation, ({ index, changes, cut, repeated }) => {
        const tag = Buffer.from(CLIP[index]!);
        for (const [at, value] of changes) tag[at % Math.min(tag.length, 64)] = value;
        staysInside(tag, 4);
        staysInside(Buffer.concat([tag.subarray(0, tag.length - cut), tag.subarray(0, repeated)]), 4);
        // With a size that fits again, so that the damage reaches the inner parsers.
        staysInside(makeTag(tag[0]!, tag.subarray(11, Math.max(11, tag.length - cut))), 4);
      }),
      { numRuns: 2000 },
    );
  });
});
