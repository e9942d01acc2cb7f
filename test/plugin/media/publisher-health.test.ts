import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { publisherHealthSchema } from '../../../plugin/contract.ts';
import { createPublisherHealth, type PublisherHealthMeter } from '../../../plugin/media/publisher-health.ts';
import { opusHead } from '../rtp/enhanced-tags.ts';
import { avcConfigTag, avcTag, clipTags, makeTag, timeOf } from '../rtp/flv-clip.ts';
import { createManualClock, createRecordedLog, type ManualClock, type RecordedLog } from './fakes.ts';

const SPS = Buffer.from('6742c00bda0a0f', 'hex');
const PPS = Buffer.from('68ce3c80', 'hex');
const AAC_CONFIG = makeTag(8, Buffer.from('af001190', 'hex'));

interface Setup {
  readonly meter: PublisherHealthMeter;
  readonly clock: ManualClock;
  readonly log: RecordedLog;
}

function create(): Setup {
  const clock = createManualClock();
  const log = createRecordedLog();
  return { clock, log, meter: createPublisherHealth({ clock, log, path: '/live/test' }) };
}

function push({ meter }: Setup, ...tags: Buffer[]): void {
  for (const tag of tags) meter.take(tag, tag.length < 8 ? 0 : timeOf(tag));
}

const codes = ({ meter }: Setup) => meter.read().warnings.map(({ code }) => code);
const texts = ({ meter }: Setup) => meter.read().warnings.map(({ text }) => text);
/** The same tag header as the first of `bytes`, for codecs whose packets are not looked into. */
const videoTag = (hex: string, timeMs = 0) => makeTag(9, Buffer.from(hex, 'hex'), timeMs);
const audioTag = (hex: string, timeMs = 0) => makeTag(8, Buffer.from(hex, 'hex'), timeMs);

function metadata(width: number, height: number): Buffer {
  const number = (value: number) => {
    const double = Buffer.alloc(9);
    double.writeDoubleBE(value, 1);
    return double;
  };
  return makeTag(
    18,
    Buffer.concat([
      ...[Buffer.from('\x02\0\x0aonMetaData\x08\0\0\0\x02', 'latin1')],
      ...[Buffer.from('\0\x05width', 'latin1'), number(width)],
      ...[Buffer.from('\0\x06height', 'latin1'), number(height)],
      Buffer.from('000009', 'hex'),
    ]),
  );
}

/** Pictures of 5,000 bytes and sound, 25 a second, for `seconds`. */
function publish(
  setup: Setup,
  seconds: number,
  { keyEvery = 50, cts = [0], bytes = 5000, sound = true } = {},
): void {
  for (let index = 0; index < seconds * 25; index++) {
    const options = { key: index % keyEvery === 0, timeMs: index * 40, cts: cts[index % cts.length]! };
    push(setup, avcTag([Buffer.alloc(bytes, 0x41)], options));
    if (sound) push(setup, audioTag(`af01${'ab'.repeat(500)}`, index * 40));
    setup.clock.advance(40);
  }
}

describe('a publisher as it should be', () => {
  test('is read without a warning', () => {
    const setup = create();
    push(setup, metadata(1280, 720), avcConfigTag(SPS, PPS), AAC_CONFIG);
    publish(setup, 10);
    expect(setup.meter.read()).toEqual({
      video: {
        codec: 'H.264',
        profileLevelId: '42c00b',
        width: 1280,
        height: 720,
        hasBFrames: false,
        keyframeIntervalMs: 2000,
        framesPerSecond: 25,
        bitsPerSecond: (5000 + 9) * 8 * 25,
      },
      audio: { codec: 'AAC', sampleRateHz: 48_000, channels: 2, bitsPerSecond: 502 * 8 * 25 },
      malformedTags: 0,
      warnings: [],
    });
    expect(setup.meter.mediaMs()).toBe(9960);
    expect(setup.log.lines).toEqual([]);
  });

  test('is read the same from a clip of ffmpeg', () => {
    const setup = create();
    for (const tag of clipTags()) {
      push(setup, tag);
      setup.clock.advance(20);
    }
    expect(setup.meter.read()).toMatchObject({
      video: { codec: 'H.264', hasBFrames: false },
      audio: { codec: 'AAC' },
      malformedTags: 0,
    });
  });
});

describe('what is wrong is said in words', () => {
  test('keyframes that are 8 s apart, once in the log', () => {
    const setup = create();
    push(setup, avcConfigTag(SPS, PPS), AAC_CONFIG);
    publish(setup, 25, { keyEvery: 200 });
    expect(texts(setup)).toEqual(['keyframe every 8 s: publish one every 2 s']);
    expect(setup.meter.read().video?.keyframeIntervalMs).toBe(8000);
    expect(setup.log.lines).toHaveLength(1);
    setup.meter.restart();
    publish(setup, 9, { keyEvery: 200 });
    expect(setup.log.lines).toHaveLength(2);
  });

  test('a keyframe that does not come', () => {
    const setup = create();
    push(setup, avcConfigTag(SPS, PPS), AAC_CONFIG);
    publish(setup, 6, { keyEvery: 1_000_000 });
    expect(texts(setup)).toEqual(['no keyframe for 6 s: publish one every 2 s']);
  });

  test.each([
    ['come out of order', [120, 40, 0], true],
    ['are all late alike', [80, 80, 80], false],
  ])('pictures that %s: B-frames %s', (_, cts, expected) => {
    const setup = create();
    push(setup, avcConfigTag(SPS, PPS), AAC_CONFIG);
    publish(setup, 3, { cts });
    expect(setup.meter.read().video?.hasBFrames).toBe(expected);
    expect(codes(setup)).toEqual(expected ? ['b_frames'] : []);
    expect(setup.log.lines.filter(({ message }) => message.includes('B-frames'))).toHaveLength(
      expected ? 1 : 0,
    );
  });

  test('more than 20 Mbit/s', () => {
    const setup = create();
    push(setup, avcConfigTag(SPS, PPS), AAC_CONFIG);
    publish(setup, 5, { bytes: 110_000 });
    expect(texts(setup)).toEqual(['22.1 Mbit/s: more than 20']);
  });

  test('neither picture nor sound after 5 s, and not before', () => {
    const setup = create();
    setup.clock.advance(4999);
    expect(codes(setup)).toEqual([]);
    setup.clock.advance(1);
    expect(texts(setup)).toEqual(['no video', 'no audio']);
  });

  test('sound that has stopped, whose rate is 0 then', () => {
    const setup = create();
    push(setup, avcConfigTag(SPS, PPS), AAC_CONFIG);
    publish(setup, 4);
    expect(setup.meter.read().audio?.bitsPerSecond).toBeGreaterThan(0);
    publish(setup, 6, { sound: false });
    expect(texts(setup)).toEqual(['no audio for 6 s']);
    expect(setup.meter.read().audio?.bitsPerSecond).toBe(0);
  });

  test.each<[string, Buffer]>([
    ['a tag that is cut off', Buffer.from([9, 0, 0])],
    ['a size that is not the tag’s', Buffer.concat([videoTag('2701000000'), Buffer.from([0])])],
    ['a tag of a type that there is not', makeTag(15, Buffer.from([1]))],
    ['an AVC tag without a composition time', videoTag('270100')],
    ['an AVC packet type that there is not', videoTag('2707000000aa')],
    ['a composition time of an hour', videoTag('270136ee80aa')],
    ['a decoder record that is none', videoTag('17000000000000')],
    ['an enhanced tag without a FourCC', videoTag('9168')],
    ['a FourCC that cannot be printed', videoTag('9100010203aa')],
    ['a modifier that goes on beyond its tag', videoTag('97ff')],
    ['tracks that go on beyond their tag', audioTag('95aa')],
    ['an OpusHead that is none', audioTag('904f707573aa')],
    ['an AAC tag without a packet type', audioTag('af')],
    ['an AAC packet type that there is not', audioTag('af07aa')],
    ['an AudioSpecificConfig that is none', audioTag('af00')],
  ])('%s is counted', (_, tag) => {
    const setup = create();
    push(setup, tag);
    expect(setup.meter.read().malformedTags).toBe(1);
    expect(texts(setup)).toContain('malformed tags: 1');
  });
});

describe('codecs', () => {
  test.each([
    ['H.264', '1701000000aa', true],
    ['H.265', '1c01000000aa', false],
    ['AV1', '1d01000000aa', false],
    ['Sorenson H.263', '12aabb', false],
    ['VP6', '14aabb', false],
    ['video codec 15', '1faabb', false],
    ['H.265', '9168766331000000aa', false],
    ['H.265', '9368766331aa', false],
    ['H.264', '9161766331000000aa', true],
    ['H.264', '970200000001' + '61766331000000aa', true],
    ['H.264', '9601' + '6176633100000000aa', true],
    ['AV1', '9161763031aa', false],
    ['VP9', '9176703039aa', false],
    ['VP8', '9176703038aa', false],
    ['abcd', '9161626364aa', false],
  ])('video %s (%s) is named; carried over WebRTC: %s', (codec, hex, carried) => {
    const setup = create();
    push(setup, videoTag(hex));
    const { video } = setup.meter.read();
    expect(video).toMatchObject({ codec, profileLevelId: null });
    expect(codes(setup)).toEqual(carried ? [] : ['video_codec']);
  });

  const OFF = 'where that is off: publish H.264';
  test.each([
    ['9168766331000000aa', `H.265 video is re-encoded for WebRTC viewers, or refused ${OFF}`],
    [
      '9161763031aa',
      `AV1 video is re-encoded for WebRTC viewers that do not offer it, or refused to them ${OFF}`,
    ],
    ['14aabb', 'VP6 video is not carried to WebRTC viewers: publish H.264'],
  ])('video %s: %s', (hex, text) => {
    const setup = create();
    push(setup, videoTag(hex));
    expect(setup.meter.read().warnings).toEqual([{ code: 'video_codec', text }]);
  });

  test.each([
    ['AAC', 'af01aabb', true, null, null],
    ['MP3', '2faabb', false, 44_100, 2],
    ['PCM', '36aabb', false, 11_025, 1],
    ['G.711 A-law', '72aabb', false, null, null],
    ['Opus', '914f707573aa', true, 48_000, null],
    ['Opus', '904f707573' + opusHead(2).toString('hex'), true, 48_000, 2],
    ['Opus', '944f7075730006', false, 48_000, 6],
    ['AAC', '906d7034611190', true, 48_000, 2],
    ['AAC', '95006d703461001190', true, 48_000, 2],
    ['AC-3', '9161632d33aa', false, null, null],
  ])('audio %s (%s) is named; carried over WebRTC: %s', (codec, hex, carried, sampleRateHz, channels) => {
    const setup = create();
    push(setup, audioTag(hex));
    expect(setup.meter.read().audio).toMatchObject({ codec, sampleRateHz, channels });
    expect(codes(setup)).toEqual(carried ? [] : ['audio_codec']);
  });

  test('Opus of many channels says what would do', () => {
    const setup = create();
    push(setup, audioTag('944f7075730006'));
    expect(texts(setup)).toContain('Opus of 6 channels is not carried to WebRTC viewers: publish stereo');
  });

  test('further tracks are well-formed, and no part of what is stated', () => {
    const setup = create();
    push(setup, videoTag('96006176633101' + '00'));
    push(setup, audioTag('95014f70757301aa'));
    expect(setup.meter.read()).toMatchObject({ video: null, audio: null, malformedTags: 0 });
  });

  test('the newest one holds, without what was known of the one before', () => {
    const setup = create();
    push(setup, avcConfigTag(SPS, PPS));
    expect(setup.meter.read().video).toMatchObject({ codec: 'H.264', profileLevelId: '42c00b' });
    push(setup, videoTag('9168766331000000aa'));
    expect(setup.meter.read().video).toMatchObject({ codec: 'H.265', profileLevelId: null });
  });

  test('commands, end marks and empty tags say nothing', () => {
    const setup = create();
    push(setup, videoTag(''), audioTag(''), videoTag('5700'), videoTag('d0'), audioTag('af01'));
    expect(setup.meter.read()).toMatchObject({ video: null, malformedTags: 0 });
  });
});

test.each([
  [Number.NaN, 720],
  [-1, 720],
  [1e9, 720],
  [1280.5, 720],
])('a width of %s is left out', (width, height) => {
  const setup = create();
  push(setup, metadata(width, height), videoTag('1701000000aa'));
  expect(setup.meter.read().video).toMatchObject({ width: null, height });
});

test('a publisher that comes back is looked at anew, and its media time goes on', () => {
  const setup = create();
  push(setup, metadata(1280, 720), avcConfigTag(SPS, PPS), AAC_CONFIG, Buffer.from([9]));
  publish(setup, 4, { cts: [120, 40, 0] });
  setup.meter.restart();
  expect(setup.meter.read()).toEqual({ video: null, audio: null, malformedTags: 0, warnings: [] });
  push(setup, avcConfigTag(SPS, PPS), AAC_CONFIG);
  expect(setup.meter.read()).toMatchObject({
    video: { framesPerSecond: 0, bitsPerSecond: 0 },
    audio: { bitsPerSecond: 0 },
  });
  publish(setup, 4);
  expect(setup.meter.read()).toMatchObject({
    video: { hasBFrames: false, keyframeIntervalMs: 2000, width: null },
    warnings: [],
  });
  expect(setup.meter.mediaMs()).toBeGreaterThan(7900);
  expect(setup.meter.mediaMs()).toBeLessThan(8100);
});

test('whatever comes is counted or read, never thrown, and what is read keeps to the contract', () => {
  const bodies = fc.uint8Array({ maxLength: 40 });
  const tags = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    fc
      .tuple(fc.constantFrom(8, 9, 18), bodies, fc.nat(2 ** 32 - 1))
      .map(([type, body, timeMs]) => makeTag(type, Buffer.from(body), timeMs)),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(tags, fc.nat(5000)), { maxLength: 50 }), (list) => {
      const setup = create();
      for (const [tag, waitMs] of list) {
        push(setup, tag);
        setup.clock.advance(waitMs);
        publisherHealthSchema.parse(setup.meter.read());
      }
    }),
  );
});

test('a flood of tags of one moment stays within the contract', () => {
  const setup = create();
  const tag = videoTag('1701000000aa');
  for (let index = 0; index < 300_000; index++) setup.meter.take(tag, 0);
  setup.clock.advance(2000);
  setup.meter.take(tag, 2000);
  const { video } = publisherHealthSchema.parse(setup.meter.read());
  expect(video?.framesPerSecond).toBe(100_000);
});
