import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError, parseFlvTag, type FlvTag } from '../../../plugin/rtp/index.ts';
import {
  audioBody,
  audioTag,
  CODED_FRAMES,
  CODED_FRAMES_X,
  METADATA,
  MULTICHANNEL_CONFIG,
  multitrackBody,
  opusHead,
  SEQUENCE_END,
  SEQUENCE_START,
  videoBody,
  videoTag,
  withModifiers,
} from './enhanced-tags.ts';
import { avcConfigTag, avcTag, clipTags, makeTag } from './flv-clip.ts';

const SPS = Buffer.from('6742c00bd9', 'hex');
const PPS = Buffer.from('68ce3c80', 'hex');
const DATA = Buffer.from('0102030405', 'hex');
const HVCC = Buffer.concat([Buffer.from([1]), Buffer.alloc(22, 3)]);
const AV1C = Buffer.from('81050c00', 'hex');
const VPCC = Buffer.from('0100000000088202020200', 'hex');
const ASC = Buffer.from('1190', 'hex');
const KEY = { key: true, packetType: CODED_FRAMES } as const;

describe('video', () => {
  test.each([
    ['hvc1', 'H265', HVCC],
    ['av01', 'AV1', AV1C],
    ['vp09', 'VP9', VPCC],
    ['vp08', 'VP8', VPCC],
  ])('%s: the configuration record of %s', (fourCc, codec, record) => {
    const tag = videoTag({ fourCc, packetType: SEQUENCE_START, key: true, data: record });
    expect(parseFlvTag(tag)).toEqual({ kind: 'video-config', codec, record });
  });

  test.each([
    ['hvc1', CODED_FRAMES, -80, 'H265'],
    ['hvc1', CODED_FRAMES, 120, 'H265'],
    ['hvc1', CODED_FRAMES_X, undefined, 'H265'],
    ['av01', CODED_FRAMES, undefined, 'AV1'],
    ['av01', CODED_FRAMES_X, undefined, 'AV1'],
    ['vp09', CODED_FRAMES, undefined, 'VP9'],
    ['vp08', CODED_FRAMES, undefined, 'VP8'],
  ])('%s: a picture in packet type %i, composition time %s', (fourCc, packetType, compositionMs, codec) => {
    for (const key of [true, false]) {
      const body = {
        fourCc,
        packetType,
        key,
        data: DATA,
        ...(compositionMs === undefined ? {} : { compositionMs }),
      };
      expect(parseFlvTag(videoTag(body, 5000))).toEqual({
        kind: 'video-frame',
        codec,
        dtsMs: 5000,
        compositionMs: compositionMs ?? 0,
        keyframe: key,
        data: DATA,
      });
    }
  });

  test('avc1 is H.264 in its classic form', () => {
    const classicConfig = avcConfigTag(SPS, PPS);
    const record = classicConfig.subarray(16, -4);
    const config = videoTag({ fourCc: 'avc1', packetType: SEQUENCE_START, key: true, data: record });
    expect(parseFlvTag(config)).toEqual(parseFlvTag(classicConfig));
    for (const cts of [0, 80, -40]) {
      const classic = avcTag([Buffer.from([0x65, 1]), Buffer.from([0x65, 2])], {
        key: true,
        cts,
        timeMs: 77,
      });
      const data = classic.subarray(16, -4);
      const coded = videoTag({ fourCc: 'avc1', ...KEY, compositionMs: cts, data }, 77);
      expect(parseFlvTag(coded)).toEqual(parseFlvTag(classic));
      const short = videoTag({ fourCc: 'avc1', packetType: CODED_FRAMES_X, key: true, data }, 77);
      if (cts === 0) expect(parseFlvTag(short)).toEqual(parseFlvTag(classic));
    }
  });

  test.each([
    ['the end of a sequence', videoBody({ fourCc: 'hvc1', packetType: SEQUENCE_END, key: true })],
    ['metadata', videoBody({ fourCc: 'hvc1', packetType: METADATA, data: DATA })],
    ['metadata in a command frame', Buffer.concat([Buffer.from([0xd4]), Buffer.from('hvc1'), DATA])],
    ['a command', Buffer.from([0xd0, 0])],
    ['an empty picture', videoBody({ fourCc: 'av01', ...KEY })],
  ])('%s is nothing to send', (_, body) => {
    expect(parseFlvTag(makeTag(9, body))).toEqual({ kind: 'ignored' });
  });

  test.each([
    ['vvc1', CODED_FRAMES, 'H.266'],
    ['xyz1', CODED_FRAMES, 'xyz1'],
    ['av01', 5, 'AV1 as in MPEG-2 TS'],
  ])('%s in packet type %i is named and not carried', (fourCc, packetType, codec) => {
    const tag = videoTag({ fourCc, packetType, data: DATA });
    expect(parseFlvTag(tag)).toEqual({ kind: 'unsupported', media: 'video', codec });
  });

  test.each([
    ['a FourCC that is cut off', Buffer.from([0x91, 0x68, 0x76, 0x63])],
    ['a FourCC that nobody can read', Buffer.from([0x91, 1, 2, 3, 4])],
    ['a composition time that is cut off', videoBody({ fourCc: 'hvc1', ...KEY, data: Buffer.alloc(2) })],
    ['a composition time of hours', videoBody({ fourCc: 'hvc1', ...KEY, compositionMs: 8_000_000 })],
    ['an unknown packet type', videoBody({ fourCc: 'hvc1', packetType: 9, data: DATA })],
    ['a short hvcC', videoBody({ fourCc: 'hvc1', packetType: SEQUENCE_START, data: HVCC.subarray(1) })],
    [
      'an hvcC of 64 KiB and more',
      videoBody({ fourCc: 'hvc1', packetType: SEQUENCE_START, data: Buffer.alloc(65_537, 1) }),
    ],
    ['an av1C of another version', videoBody({ fourCc: 'av01', packetType: SEQUENCE_START, data: VPCC })],
    ['a cut vpcC', videoBody({ fourCc: 'vp09', packetType: SEQUENCE_START, data: VPCC.subarray(0, 7) })],
    ['a cut avcC', videoBody({ fourCc: 'avc1', packetType: SEQUENCE_START, data: Buffer.from([1]) })],
  ])('%s is refused', (_, body) => {
    expect(() => parseFlvTag(makeTag(9, body))).toThrow(FormatError);
  });
});

describe('audio', () => {
  test.each([
    [1, 0, 1, true],
    [2, 0, 1, true],
    [2, 1, 1, true],
    [2, 1, 2, false],
    [6, 1, 4, false],
    [8, 255, 8, false],
  ])('OpusHead of %i channels, family %i, %i streams: carried %s', (channels, family, streams, carried) => {
    const tag = audioTag('Opus', SEQUENCE_START, opusHead(channels, family, streams));
    expect(parseFlvTag(tag)).toEqual({ kind: 'opus-config', channels, carried });
  });

  test.each([
    [1, true],
    [2, true],
    [6, false],
  ])('a configuration of %i Opus channels: carried %s', (channels, carried) => {
    const tag = audioTag('Opus', MULTICHANNEL_CONFIG, Buffer.from([0, channels]));
    expect(parseFlvTag(tag)).toEqual({ kind: 'opus-config', channels, carried });
  });

  test('an Opus packet is handed on as it is', () => {
    const tag = audioTag('Opus', CODED_FRAMES, DATA, 4_000_000_000);
    expect(parseFlvTag(tag)).toEqual({ kind: 'opus-frame', dtsMs: 4_000_000_000, data: DATA });
  });

  test('mp4a is AAC in its classic form', () => {
    const classic = makeTag(8, Buffer.concat([Buffer.from([0xaf, 0]), ASC]));
    expect(parseFlvTag(audioTag('mp4a', SEQUENCE_START, ASC))).toEqual(parseFlvTag(classic));
    expect(parseFlvTag(audioTag('mp4a', CODED_FRAMES, DATA, 9))).toEqual({
      kind: 'aac-frame',
      dtsMs: 9,
      data: DATA,
    });
  });

  test.each([
    ['the end of Opus', audioBody('Opus', SEQUENCE_END)],
    ['the end of AAC', audioBody('mp4a', SEQUENCE_END)],
    ['an Opus packet of nothing', audioBody('Opus', CODED_FRAMES)],
    ['an AAC frame of nothing', audioBody('mp4a', CODED_FRAMES)],
    ['the channels of AAC, which its configuration says too', audioBody('mp4a', MULTICHANNEL_CONFIG, DATA)],
  ])('%s is nothing to send', (_, body) => {
    expect(parseFlvTag(makeTag(8, body))).toEqual({ kind: 'ignored' });
  });

  test.each([
    ['ac-3', 'AC-3'],
    ['ec-3', 'E-AC-3'],
    ['fLaC', 'FLAC'],
    ['.mp3', 'MP3'],
    ['what', 'what'],
  ])('%s is named and not carried', (fourCc, codec) => {
    expect(parseFlvTag(audioTag(fourCc, CODED_FRAMES, DATA))).toEqual({
      kind: 'unsupported',
      media: 'audio',
      codec,
    });
  });

  test.each([
    ['a FourCC that is cut off', Buffer.from([0x91, 0x4f, 0x70])],
    ['no OpusHead', audioBody('Opus', SEQUENCE_START, DATA)],
    ['an OpusHead without channels', audioBody('Opus', SEQUENCE_START, opusHead(0))],
    ['an OpusHead whose table is missing', audioBody('Opus', SEQUENCE_START, opusHead(6, 1).subarray(0, 19))],
    ['channels that are cut off', audioBody('Opus', MULTICHANNEL_CONFIG, Buffer.from([1]))],
    ['a cut AudioSpecificConfig', audioBody('mp4a', SEQUENCE_START, ASC.subarray(0, 1))],
    ['an unknown packet type of Opus', audioBody('Opus', 3, DATA)],
    ['an unknown packet type of AAC', audioBody('mp4a', 3, DATA)],
  ])('%s is refused', (_, body) => {
    expect(() => parseFlvTag(makeTag(8, body))).toThrow(FormatError);
  });
});

describe('modifiers in front of a packet', () => {
  const video = videoBody({ fourCc: 'hvc1', ...KEY, compositionMs: 40, data: DATA });
  const audio = audioBody('Opus', CODED_FRAMES, DATA);

  test.each([[[3]], [[1]], [[255]], [[256]], [[300]], [[3, 3, 3]], [[3, 1000, 3]]])(
    'of %j bytes are stepped over',
    (lengths) => {
      expect(parseFlvTag(makeTag(9, withModifiers(video, lengths)))).toEqual(parseFlvTag(makeTag(9, video)));
      expect(parseFlvTag(makeTag(8, withModifiers(audio, lengths)))).toEqual(parseFlvTag(makeTag(8, audio)));
    },
  );

  test('more than eight are refused, and so are those that go on beyond the tag', () => {
    const nine = withModifiers(video, Array<number>(9).fill(3));
    expect(() => parseFlvTag(makeTag(9, nine))).toThrow(FormatError);
    for (let cut = 1; cut < 8; cut++) {
      expect(() => parseFlvTag(makeTag(9, withModifiers(video, [3]).subarray(0, cut)))).toThrow(FormatError);
    }
  });
});

describe('several tracks in one tag', () => {
  const track = (id: number, fourCc = 'Opus') => ({ id, fourCc, data: Buffer.from([id, 1, 2]) });
  const parse = (manner: 0 | 1 | 2, tracks: readonly ReturnType<typeof track>[]): FlvTag =>
    parseFlvTag(makeTag(8, multitrackBody('audio', manner, CODED_FRAMES, tracks)));
  const first = { kind: 'opus-frame', dtsMs: 0, data: Buffer.from([0, 1, 2]) };

  test.each([
    ['alone', 0, [track(0)]],
    ['in front', 1, [track(0), track(1), track(2)]],
    ['behind', 1, [track(3), track(1), track(0)]],
    ['behind another codec', 2, [track(1, 'ac-3'), track(0), track(2, 'fLaC')]],
  ] as const)('the first track is taken: %s', (_, manner, tracks) => {
    expect(parse(manner, tracks)).toEqual(first);
  });

  test.each([
    ['one', 0, [track(1)]],
    ['two', 1, [track(1), track(2)]],
    ['two of different codecs', 2, [track(1, 'ac-3'), track(2, 'what')]],
  ] as const)('other tracks alone are no track of the stream: %s', (_, manner, tracks) => {
    expect(parse(manner, tracks)).toEqual({ kind: 'extra-track', media: 'audio' });
  });

  test('pictures of the first track are pictures', () => {
    const tracks = [{ id: 0, fourCc: 'av01', data: DATA }];
    const tag = makeTag(9, multitrackBody('video', 0, CODED_FRAMES, tracks, true));
    expect(parseFlvTag(tag)).toMatchObject({ kind: 'video-frame', codec: 'AV1', keyframe: true, data: DATA });
  });

  test.each([
    ['without a word on how', [0x95]],
    ['in a manner of no meaning', [0x95, 0x31, ...Buffer.from('Opus'), 0]],
    ['inside each other', [0x95, 0x05, ...Buffer.from('Opus'), 0]],
    ['with a modifier inside', [0x95, 0x07, ...Buffer.from('Opus'), 0]],
    ['without a FourCC', [0x95, 0x01, 0x4f]],
    ['without a number', [0x95, 0x01, ...Buffer.from('Opus')]],
    ['longer than the tag', [0x95, 0x11, ...Buffer.from('Opus'), 1, 0, 0, 9, 1]],
    ['of which there are none', [0x95, 0x11, ...Buffer.from('Opus')]],
  ])('tracks %s are refused', (_, bytes) => {
    expect(() => parseFlvTag(makeTag(8, Buffer.from(bytes)))).toThrow(FormatError);
  });

  test('more tracks than there are numbers are refused', () => {
    const tracks = Array.from({ length: 300 }, () => track(1));
    expect(() => parse(1, tracks)).toThrow(FormatError);
  });
});

function partsOf(tag: FlvTag): readonly Buffer[] {
  switch (tag.kind) {
    case 'avc-config':
      return [...tag.config.sps, ...tag.config.pps];
    case 'avc-frame':
      return tag.nals;
    case 'video-config':
      return [tag.record];
    case 'aac-config':
      return [tag.config.bytes];
    case 'video-frame':
    case 'aac-frame':
    case 'opus-frame':
      return [tag.data];
    default:
      return [];
  }
}

/** Either a tag, all of whose parts lie inside its body, or a FormatError: nothing else. */
function staysInside(tag: Buffer): void {
  let parsed: FlvTag;
  try {
    parsed = parseFlvTag(tag);
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return;
  }
  const end = 11 + tag.readUIntBE(1, 3);
  for (const part of partsOf(parsed)) {
    expect(part.byteOffset).toBeGreaterThanOrEqual(tag.byteOffset + 11);
    expect(part.byteOffset + part.length).toBeLessThanOrEqual(tag.byteOffset + end);
  }
}

describe('whatever comes', () => {
  const fourCc = fc.constantFrom('avc1', 'hvc1', 'av01', 'vp09', 'Opus', 'mp4a', 'ac-3', '\0\0\0\0');
  const bytes = fc.uint8Array({ maxLength: 80 }).map((array) => Buffer.from(array));

  test('any enhanced head in front of any bytes is a tag or a FormatError', () => {
    const heads = fc.oneof(fc.integer({ min: 0x80, max: 0xff }), fc.integer({ min: 0x90, max: 0x97 }));
    fc.assert(
      fc.property(fc.constantFrom(8, 9), heads, fourCc, bytes, (type, head, name, rest) => {
        staysInside(makeTag(type, Buffer.concat([Buffer.from([head]), Buffer.from(name, 'latin1'), rest])));
        staysInside(makeTag(type, Buffer.concat([Buffer.from([head]), rest])));
      }),
      { numRuns: 5000 },
    );
  });

  test('modifiers and tracks of any sizes, cut anywhere, are a tag or a FormatError', () => {
    const tracks = fc.array(
      fc.record({ id: fc.nat(3), fourCc: fc.constantFrom('Opus', 'mp4a'), data: bytes }),
      { minLength: 1, maxLength: 5 },
    );
    const lengths = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(
        fc.constantFrom('audio' as const, 'video' as const),
        fc.constantFrom(0 as const, 1 as const, 2 as const),
        tracks,
        lengths,
        fc.nat(7),
        fc.nat(),
        (media, manner, list, sizes, packetType, cut) => {
          const type = media === 'audio' ? 8 : 9;
          const body = withModifiers(multitrackBody(media, manner, packetType, list), sizes);
          staysInside(makeTag(type, body));
          staysInside(makeTag(type, body.subarray(0, cut % (body.length + 1))));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('what real tags hold is the same behind modifiers and as the first of many tracks', () => {
    const classic = clipTags().filter((tag) => parseFlvTag(tag).kind === 'avc-frame');
    fc.assert(
      fc.property(fc.nat(classic.length - 1), fc.integer({ min: 1, max: 500 }), (index, size) => {
        const tag = classic[index]!;
        const plain = parseFlvTag(tag);
        if (plain.kind !== 'avc-frame') throw new Error('no picture');
        const { dtsMs, keyframe: key } = plain;
        const data = tag.subarray(13, -4);
        const body = videoBody({ fourCc: 'avc1', packetType: CODED_FRAMES, key, data });
        expect(parseFlvTag(makeTag(9, withModifiers(body, [size]), dtsMs))).toEqual(plain);
        const tracks = [
          { id: 2, fourCc: 'av01', data: Buffer.alloc(size) },
          { id: 0, fourCc: 'avc1', data },
        ];
        const many = multitrackBody('video', 2, CODED_FRAMES, tracks, key);
        expect(parseFlvTag(makeTag(9, many, dtsMs))).toEqual(plain);
      }),
      { numRuns: 100 },
    );
  });
});
