/** A publisher's sound that is Opus already, whatever becomes of its timestamps: no encoder is needed. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { createLiveFeed, type LiveFeed } from '../../../plugin/media/live.ts';
import {
  audioTag,
  CODED_FRAMES,
  MULTICHANNEL_CONFIG,
  opusHead,
  SEQUENCE_START,
} from '../rtp/enhanced-tags.ts';
import { avcConfigTag, avcTag, makeTag } from '../rtp/flv-clip.ts';
import { depacketizeH264 } from '../rtp/rtp-reader.ts';
import {
  createManualClock,
  createRecordedLog,
  createRecordingStage,
  trackOf,
  type ManualClock,
  type RecordedLog,
  type RecordedTrack,
  type RecordingStage,
} from './fakes.ts';

const AVC_CONFIG = avcConfigTag(Buffer.from('6742c00bd9', 'hex'), Buffer.from('68ce3c80', 'hex'));
const OPUS_CONFIG = audioTag('Opus', SEQUENCE_START, opusHead(2));
/** Full band, stereo, one frame of 20 ms (RFC 6716 section 3.1). */
const opusPacket = (fill = 1): Buffer => Buffer.from([0xfc, fill, fill, fill]);
const STEP_MS = 20;

interface Setup {
  readonly feed: LiveFeed;
  readonly stage: RecordingStage;
  readonly clock: ManualClock;
  readonly log: RecordedLog;
}

/** Without ffmpeg: nothing here may need it. */
function create(): Setup {
  const stage = createRecordingStage();
  const clock = createManualClock();
  const log = createRecordedLog();
  const feed = createLiveFeed({ path: '/live/test', stage, clock, log, ffmpegPath: '/nonexistent/ffmpeg' });
  onTestFinished(() => feed.close());
  return { feed, stage, clock, log };
}

const sound = (timeMs: number, fill?: number): Buffer =>
  audioTag('Opus', CODED_FRAMES, opusPacket(fill), timeMs >>> 0);

const picture = (timeMs: number, key = false): Buffer =>
  avcTag([Buffer.from([key ? 0x65 : 0x41, 1, 2])], { key, timeMs: timeMs >>> 0 });

/** Both tracks for a while, a picture and two packets of sound each 40 ms. */
function publish({ feed, clock }: Setup, fromMs: number, lastsMs: number, soundFromMs = fromMs): void {
  for (let ms = 0; ms < lastsMs; ms += STEP_MS) {
    if (ms % 40 === 0) feed.pushTag(picture(fromMs + ms, ms === 0));
    feed.pushTag(sound(soundFromMs + ms));
    clock.advance(STEP_MS);
  }
}

async function tracks({ stage }: Setup): Promise<{ video: RecordedTrack; audio: RecordedTrack }> {
  const video = await stage.until(() => trackOf(stage, 'video'));
  const audio = await stage.until(() => trackOf(stage, 'audio'));
  return { video, audio };
}

const gapsMs = ({ rtp }: RecordedTrack): number[] =>
  rtp.slice(1).map(({ timestamp }, index) => ((timestamp - rtp[index]!.timestamp) | 0) / 48);

/** Where an RTP timestamp lies on the wall clock, by the track's latest sender report. */
function wallMs(track: RecordedTrack, timestamp: number, clockRate: number): number {
  const report = track.reports.at(-1)!;
  return report.ntpMs + (((timestamp - report.rtpTimestamp) | 0) / clockRate) * 1000;
}

/** How much later than the latest picture's tag the latest packet of sound seems to a viewer. */
function lagMs({ video, audio }: { video: RecordedTrack; audio: RecordedTrack }): number {
  const pictureMs = wallMs(video, depacketizeH264(video.rtp).at(-1)!.timestamp, 90_000);
  return Math.round((wallMs(audio, audio.rtp.at(-1)!.timestamp, 48_000) - pictureMs) * 100) / 100;
}

const warnings = ({ log }: Setup): string[] =>
  log.lines.filter(({ level }) => level === 'warn' || level === 'error').map(({ message }) => message);

describe('Opus is passed through', () => {
  test('packet by packet, at the times of its tags, and no encoder is started', async () => {
    const setup = create();
    setup.feed.pushTag(AVC_CONFIG);
    setup.feed.pushTag(OPUS_CONFIG);
    const { audio } = await tracks(setup);
    for (let index = 0; index < 50; index++) setup.feed.pushTag(sound(5000 + index * STEP_MS, index));
    expect(audio.rtp.map(({ payload }) => payload)).toEqual(
      Array.from({ length: 50 }, (_, index) => opusPacket(index)),
    );
    expect(new Set(gapsMs(audio))).toEqual(new Set([STEP_MS]));
    expect(audio.rtp.map(({ marker }) => marker)).toEqual([true, ...Array<boolean>(49).fill(false)]);
    expect(warnings(setup)).toEqual([]);
  });

  test('packets of other lengths, and tags in whole milliseconds, make no gaps', async () => {
    const setup = create();
    setup.feed.pushTag(AVC_CONFIG);
    const { audio } = await tracks(setup);
    // Full band, stereo, 2.5 ms.
    for (let index = 0; index < 400; index++) {
      setup.feed.pushTag(audioTag('Opus', CODED_FRAMES, Buffer.from([0xe4, 1]), Math.floor(index * 2.5)));
    }
    expect(new Set(gapsMs(audio))).toEqual(new Set([2.5]));
  });

  test('a publisher without pictures is on air once a second of sound has come', async () => {
    const setup = create();
    for (let ms = 0; ms <= 1000; ms += STEP_MS) setup.feed.pushTag(sound(ms));
    expect(setup.stage.streams).toHaveLength(0);
    for (let ms = 1020; ms <= 2000; ms += STEP_MS) setup.feed.pushTag(sound(ms));
    const audio = await setup.stage.until(() => trackOf(setup.stage, 'audio'));
    expect(setup.stage.streams).toHaveLength(1);
    setup.feed.pushTag(sound(2020));
    expect(audio.rtp.length).toBeGreaterThan(40);
  });

  test.each([
    ['OpusHead', audioTag('Opus', SEQUENCE_START, opusHead(6, 1, 4))],
    ['channel configuration', audioTag('Opus', MULTICHANNEL_CONFIG, Buffer.from([1, 6, 0, 0, 0, 63]))],
  ])('six channels by the %s are refused with one warning, until there are two', async (_, config) => {
    const setup = create();
    setup.feed.pushTag(AVC_CONFIG);
    setup.feed.pushTag(config);
    const { audio } = await tracks(setup);
    publish(setup, 0, 200);
    setup.feed.pushTag(config);
    publish(setup, 200, 200);
    expect(audio.rtp).toHaveLength(0);
    expect(warnings(setup)).toEqual(['viewers get no audio: only mono and stereo Opus is carried']);
    setup.feed.pushTag(OPUS_CONFIG);
    publish(setup, 400, 200);
    expect(audio.rtp).toHaveLength(10);
  });

  test('who comes back without a word on channels has two', async () => {
    const setup = create();
    setup.feed.pushTag(AVC_CONFIG);
    setup.feed.pushTag(audioTag('Opus', SEQUENCE_START, opusHead(6, 1, 4)));
    const { audio } = await tracks(setup);
    publish(setup, 0, 100);
    setup.feed.restart();
    setup.feed.pushTag(AVC_CONFIG);
    publish(setup, 0, 100);
    expect(audio.rtp).toHaveLength(5);
  });

  test('what is no Opus packet, or one too long for RTP, is left out', async () => {
    const setup = create();
    setup.feed.pushTag(AVC_CONFIG);
    const { audio } = await tracks(setup);
    setup.feed.pushTag(sound(0));
    setup.feed.pushTag(audioTag('Opus', CODED_FRAMES, Buffer.from([0xff]), 20));
    setup.feed.pushTag(audioTag('Opus', CODED_FRAMES, Buffer.alloc(1300, 0xfc), 40));
    setup.feed.pushTag(sound(60));
    expect(gapsMs(audio)).toEqual([60]);
    expect(audio.rtp[1]!.marker).toBe(true);
    expect(warnings(setup)).toEqual(['malformed media is left out']);
  });

  test('sound of further tracks is left out with one warning', async () => {
    const setup = create();
    setup.feed.pushTag(AVC_CONFIG);
    const { audio } = await tracks(setup);
    const other = Buffer.concat([
      Buffer.from([0x95, 0x01]),
      Buffer.from('Opus'),
      Buffer.from([1]),
      opusPacket(),
    ]);
    for (let index = 0; index < 5; index++) {
      setup.feed.pushTag(sound(index * STEP_MS));
      setup.feed.pushTag(makeTag(8, other, index * STEP_MS));
    }
    expect(audio.rtp).toHaveLength(5);
    expect(warnings(setup)).toEqual(['viewers get the first audio track only']);
  });
});

describe('sound that starts late', () => {
  test.each([
    ['on the clock of the pictures', 8000],
    ['on a clock of its own', 0],
  ])('%s has its place from the start, and is in step', async (_, soundFromMs) => {
    const setup = create();
    setup.feed.pushTag(AVC_CONFIG);
    const { video, audio } = await tracks(setup);
    for (let ms = 0; ms < 8000; ms += 40) {
      setup.feed.pushTag(picture(ms, ms % 2000 === 0));
      setup.clock.advance(40);
    }
    expect(audio.rtp).toHaveLength(0);
    publish(setup, 8000, 4000, soundFromMs);
    expect(audio.rtp).toHaveLength(200);
    expect(new Set(gapsMs(audio))).toEqual(new Set([STEP_MS]));
    // The latest picture is one packet of sound older than the latest sound.
    expect(Math.abs(lagMs({ video, audio }) - STEP_MS)).toBeLessThanOrEqual(20);
  });

  test('or never leaves the pictures alone', async () => {
    const setup = create();
    setup.feed.pushTag(AVC_CONFIG);
    const { video, audio } = await tracks(setup);
    for (let ms = 0; ms < 8000; ms += 40) setup.feed.pushTag(picture(ms, ms === 0));
    expect(audio.rtp).toHaveLength(0);
    expect(depacketizeH264(video.rtp)).toHaveLength(200);
  });
});

describe('timestamps, and what viewers get', () => {
  const BEFORE_MS = 4000;
  const AFTER_MS = 4000;

  interface Case {
    /** The first timestamp, and the one after 4 s. */
    readonly fromMs: number;
    readonly thenMs: number;
    /** Nothing comes for this long in between. */
    readonly pauseMs: number;
    readonly returns?: boolean;
    /** What the viewers' clock makes of it. */
    readonly gapMs: number;
  }

  test.each<[string, Case]>([
    ['go on', { fromMs: 0, thenMs: 4000, pauseMs: 0, gapMs: 20 }],
    ['wrap', { fromMs: 2 ** 32 - 2000, thenMs: 2 ** 32 + 2000, pauseMs: 0, gapMs: 20 }],
    ['wrap between two tags', { fromMs: 2 ** 32 - 4000, thenMs: 2 ** 32, pauseMs: 0, gapMs: 20 }],
    ['become negative', { fromMs: 2 ** 31 - 2000, thenMs: 2 ** 31 + 2000, pauseMs: 0, gapMs: 20 }],
    ['jump a day forward', { fromMs: 0, thenMs: 86_400_000, pauseMs: 0, gapMs: 20 }],
    ['jump back to 0', { fromMs: 1_000_000, thenMs: 0, pauseMs: 0, gapMs: 20 }],
    ['jump 2 s back', { fromMs: 10_000, thenMs: 12_000, pauseMs: 0, gapMs: 20 }],
    ['pause for 10 s', { fromMs: 0, thenMs: 14_000, pauseMs: 10_000, gapMs: 10_020 }],
    ['stand still for 10 s', { fromMs: 0, thenMs: 4000, pauseMs: 10_000, gapMs: 20 }],
    [
      'start anew with a returning publisher',
      { fromMs: 0, thenMs: 0, pauseMs: 5000, returns: true, gapMs: 5020 },
    ],
    [
      'go on with a returning publisher',
      { fromMs: 0, thenMs: 9000, pauseMs: 5000, returns: true, gapMs: 5020 },
    ],
  ])('that %s: one stream, in step', async (_, { fromMs, thenMs, pauseMs, returns = false, gapMs }) => {
    const setup = create();
    setup.feed.pushTag(AVC_CONFIG);
    setup.feed.pushTag(OPUS_CONFIG);
    const both = await tracks(setup);
    publish(setup, fromMs, BEFORE_MS);
    const before = lagMs(both);
    setup.clock.advance(pauseMs);
    if (returns) {
      setup.feed.restart();
      setup.feed.pushTag(AVC_CONFIG);
      setup.feed.pushTag(OPUS_CONFIG);
    }
    publish(setup, thenMs, AFTER_MS);
    const { video, audio } = both;
    expect(setup.stage.streams).toHaveLength(1);
    expect([lagMs(both), audio.rtp.length, depacketizeH264(video.rtp).length]).toEqual([before, 400, 200]);
    const gaps = gapsMs(audio);
    expect(gaps.filter((_step, index) => index !== 199).every((step) => step === STEP_MS)).toBe(true);
    expect(gaps[199]).toBe(gapMs);
    expect(
      audio.rtp.every(({ sequence }, index) => ((sequence - audio.rtp[0]!.sequence) & 0xffff) === index),
    ).toBe(true);
    expect(warnings(setup)).toEqual([]);
  });
});
