import { describe, expect, onTestFinished, test } from 'vitest';
import { createLiveFeed, type LiveFeed } from '../../../plugin/media/live.ts';
import { audioTag, CODED_FRAMES } from '../rtp/enhanced-tags.ts';
import { atTime, avcConfigTag, avcTag, makeTag } from '../rtp/flv-clip.ts';
import { depacketizeH264 } from '../rtp/rtp-reader.ts';
import {
  createManualClock,
  createRecordedLog,
  createRecordingStage,
  trackOf,
  type ManualClock,
  type RecordedLog,
  type RecordingStage,
} from './fakes.ts';

const SPS = Buffer.from('6742c00bda0a0f', 'hex');
const OTHER_SPS = Buffer.from('674d400bda0a0f', 'hex');
const PPS = Buffer.from('68ce3c80', 'hex');
const CONFIG = avcConfigTag(SPS, PPS);
const AAC_CONFIG = makeTag(8, Buffer.from('af001208', 'hex'));

function picture(
  timeMs: number,
  options: { key?: boolean; cts?: number; bytes?: number; nal?: Buffer } = {},
): Buffer {
  const { key = false, cts = 0, bytes = 20, nal } = options;
  const slice = nal ?? Buffer.alloc(bytes, 0x11);
  if (nal === undefined) slice[0] = key ? 0x65 : 0x41;
  return avcTag([slice], { key, cts, timeMs });
}

interface Setup {
  readonly feed: LiveFeed;
  readonly stage: RecordingStage;
  readonly clock: ManualClock;
  readonly log: RecordedLog;
}

/** No ffmpeg, and no re-encoding: these tests are about pictures that go out as they are. */
function create(opened?: Promise<void>, onEnd?: () => void): Setup {
  const stage = createRecordingStage(opened);
  const clock = createManualClock();
  const log = createRecordedLog();
  const feed = createLiveFeed({
    path: '/live/test',
    stage,
    clock,
    log,
    ffmpegPath: '/nonexistent/ffmpeg',
    reencode: 'off',
    ...(onEnd === undefined ? {} : { onEnd }),
  });
  onTestFinished(() => feed.close());
  return { feed, stage, clock, log };
}

/** Pushes pictures 40 ms apart, the first one a keyframe. */
function publish({ feed, clock }: Setup, count: number, startMs = 0): void {
  for (let index = 0; index < count; index++) {
    clock.advance(40);
    feed.pushTag(picture((startMs + index * 40) >>> 0, { key: index === 0 }));
  }
}

async function ready(setup: Setup, stream = 0) {
  return setup.stage.until(() => trackOf(setup.stage, 'video', stream));
}

describe('going on air', () => {
  test('the stage hears of the stream with its first SPS, and of the profile', async () => {
    const setup = create();
    setup.feed.pushTag(makeTag(18, Buffer.from([2, 0, 0])));
    expect(setup.stage.streams).toHaveLength(0);
    setup.feed.pushTag(CONFIG);
    expect(setup.stage.streams.map(({ path }) => path)).toEqual(['/live/test']);
    expect(await ready(setup)).toMatchObject({
      kind: 'video',
      codec: { name: 'H264', profileLevelId: '42c00b' },
      onDemand: false,
    });
    expect(setup.stage.streams[0]!.mediaMs).toBe(setup.feed.mediaMs);
  });

  test('what comes while the stage is opening is held from the last keyframe on', async () => {
    const gate = Promise.withResolvers<void>();
    const setup = create(gate.promise);
    setup.feed.pushTag(CONFIG);
    publish(setup, 5);
    publish(setup, 3, 200);
    gate.resolve();
    const track = await ready(setup);
    const pictures = depacketizeH264(
      await setup.stage.until(() => (track.rtp.length >= 5 ? track.rtp : undefined)),
    );
    expect(pictures.map(({ nals }) => nals.map((nal) => nal[0]! & 0x1f))).toEqual([[7, 8, 5], [1], [1]]);
  });

  test('what is held is bounded, and after too much the next keyframe is the first', async () => {
    const gate = Promise.withResolvers<void>();
    const setup = create(gate.promise);
    setup.feed.pushTag(CONFIG);
    setup.feed.pushTag(picture(0, { key: true, bytes: 3_000_000 }));
    setup.feed.pushTag(picture(40, { bytes: 3_000_000 }));
    setup.feed.pushTag(picture(80));
    gate.resolve();
    const track = await ready(setup);
    setup.feed.pushTag(picture(120));
    expect(track.rtp).toHaveLength(0);
    setup.feed.pushTag(picture(160, { key: true }));
    expect(track.rtp).toHaveLength(3);
  });

  test('what is held are whole tags, however little is in them', async () => {
    const gate = Promise.withResolvers<void>();
    const setup = create(gate.promise);
    setup.feed.pushTag(CONFIG);
    setup.feed.pushTag(picture(0, { key: true }));
    const padding = Buffer.alloc(4 * 1024 * 1024);
    setup.feed.pushTag(makeTag(9, Buffer.concat([picture(40).subarray(11, -4), padding]), 40));
    gate.resolve();
    const track = await ready(setup);
    setup.feed.pushTag(picture(80));
    expect(track.rtp).toHaveLength(0);
  });

  test('an Opus packet that RTP does not carry is left out, also while the stage is opening', async () => {
    const gate = Promise.withResolvers<void>();
    const setup = create(gate.promise);
    setup.feed.pushTag(CONFIG);
    for (const bytes of [1277, 1276])
      setup.feed.pushTag(audioTag('Opus', CODED_FRAMES, Buffer.alloc(bytes, 0x0c), 0));
    gate.resolve();
    const track = await setup.stage.until(() => trackOf(setup.stage, 'audio'));
    await setup.stage.until(() => (track.rtp.length > 0 ? track : undefined));
    expect(track.rtp.map(({ payload }) => payload.length)).toEqual([1276]);
  });

  test('nothing goes out before a keyframe', async () => {
    const setup = create();
    setup.feed.pushTag(CONFIG);
    const track = await ready(setup);
    setup.feed.pushTag(picture(0));
    expect(track.rtp).toHaveLength(0);
    setup.feed.pushTag(picture(40, { key: true }));
    setup.feed.pushTag(picture(80));
    expect(depacketizeH264(track.rtp)).toHaveLength(2);
  });

  test('a stage that refuses is a line in the log, not the end of the publisher', async () => {
    const setup = create(Promise.reject(new Error('full')));
    setup.feed.pushTag(CONFIG);
    publish(setup, 3);
    await new Promise((resolve) => setImmediate(resolve));
    expect(setup.log.lines).toContainEqual(
      expect.objectContaining({ level: 'error', message: 'the stage refused a track' }),
    );
  });
});

describe('timestamps', () => {
  test('RTP time is decoding time plus composition time at 90 kHz', async () => {
    const setup = create();
    setup.feed.pushTag(CONFIG);
    const track = await ready(setup);
    setup.feed.pushTag(picture(1000, { key: true, cts: 80 }));
    setup.feed.pushTag(picture(1040, { cts: 200 }));
    setup.feed.pushTag(picture(1080, { cts: 80 }));
    const [first, ...rest] = depacketizeH264(track.rtp).map(({ timestamp }) => timestamp);
    expect(rest.map((timestamp) => (timestamp - first!) | 0)).toEqual([160 * 90, 80 * 90]);
  });

  test.each([
    ['wrap', 2 ** 32 - 80],
    ['are anywhere', 3_000_000_000],
  ])('are continuous when the publisher’s %s', async (_, startMs) => {
    const setup = create();
    setup.feed.pushTag(CONFIG);
    const track = await ready(setup);
    publish(setup, 6, startMs);
    const times = depacketizeH264(track.rtp).map(({ timestamp }) => timestamp);
    expect(times.map((time) => ((time - times[0]!) | 0) / 90)).toEqual([0, 40, 80, 120, 160, 200]);
  });

  test('a returning publisher goes on in the same stream: SSRC, sequence numbers and time', async () => {
    const setup = create();
    setup.feed.pushTag(CONFIG);
    const track = await ready(setup);
    publish(setup, 3, 50_000);
    setup.feed.restart();
    setup.clock.advance(5000);
    setup.feed.pushTag(CONFIG);
    publish(setup, 3);
    expect(setup.stage.streams).toHaveLength(1);
    expect(setup.stage.streams[0]!.tracks.filter(({ kind }) => kind === 'video')).toHaveLength(1);
    const times = depacketizeH264(track.rtp).map(({ timestamp }) => timestamp);
    expect(times.map((time) => ((time - times[0]!) | 0) / 90)).toEqual([0, 40, 80, 5120, 5160, 5200]);
    expect(new Set(track.rtp.map(({ ssrc }) => ssrc))).toEqual(new Set([track.ssrc]));
    expect(setup.feed.mediaMs()).toBe(160);
  });

  test('the host’s timestamp gives way to the publisher’s own', async () => {
    const setup = create();
    setup.feed.pushTag(CONFIG);
    const track = await ready(setup);
    setup.feed.pushTag(picture(777_000, { key: true }), 0);
    setup.feed.pushTag(picture(1_777_000), 40);
    const times = depacketizeH264(track.rtp).map(({ timestamp }) => timestamp);
    expect((times[1]! - times[0]!) | 0).toBe(40 * 90);
  });
});

describe('sender reports', () => {
  test('come with the first packet and then every second of packets, and say that it was captured 3 s before', async () => {
    const setup = create();
    setup.feed.pushTag(CONFIG);
    const track = await ready(setup);
    for (let index = 0; index <= 75; index++) {
      setup.feed.pushTag(picture(index * 40, { key: index === 0 }));
      setup.clock.advance(40);
    }
    expect(track.reports).toHaveLength(4);
    const first = track.rtp[0]!.timestamp;
    for (const [second, report] of track.reports.entries()) {
      expect(Math.abs(report.ntpMs - (1_800_000_000_000 + second * 1000))).toBeLessThan(0.01);
      expect((report.rtpTimestamp - first) | 0).toBe((second + 3) * 90_000);
      expect(report.ssrc).toBe(track.ssrc);
    }
    expect(new Set(track.reports.map(({ cname }) => cname)).size).toBe(1);
    expect(track.reports.at(-1)!.packets).toBe(track.rtp.length);
  });

  // mediasoup makes reports of its own from them, and none right on media captured after this moment.
  test('name a moment before, however far ahead of its clock the publisher is', async () => {
    const setup = create();
    setup.feed.pushTag(CONFIG);
    const track = await ready(setup);
    for (let index = 0; index <= 250; index++) {
      setup.feed.pushTag(picture(index * 40, { key: index === 0 }));
      setup.clock.advance(20);
      const report = track.reports.at(-1)!;
      const sinceMs = setup.clock.nowMs() - report.ntpMs;
      const capturedMs = ((track.rtp.at(-1)!.timestamp - report.rtpTimestamp) | 0) / 90;
      expect(capturedMs).toBeLessThan(sinceMs);
    }
  });
});

test('a publisher whose clock runs away is reported on at once, so that the tracks agree', async () => {
  const setup = create();
  setup.feed.pushTag(CONFIG);
  const track = await ready(setup);
  for (let index = 0; index <= 60; index++) setup.feed.pushTag(picture(index * 40, { key: index === 0 }));
  expect(track.reports).toHaveLength(2);
  const [before, after] = track.reports;
  expect(after!.ntpMs).toBe(before!.ntpMs);
  expect(((after!.rtpTimestamp - before!.rtpTimestamp) | 0) / 90).toBeGreaterThan(2000);
});

describe('what changes under way', () => {
  test.each([
    ['sequence header', avcConfigTag(OTHER_SPS, PPS), picture(80, { key: true })],
    ['keyframe', CONFIG, avcTag([OTHER_SPS, PPS, Buffer.from([0x65, 1])], { key: true, timeMs: 80 })],
  ])('another profile in the %s closes the stream and opens a new one', async (_, config, keyframe) => {
    const setup = create();
    setup.feed.pushTag(CONFIG);
    const old = await ready(setup);
    publish(setup, 2);
    setup.feed.pushTag(config);
    setup.feed.pushTag(keyframe);
    const track = await ready(setup, 1);
    expect(setup.stage.streams.map(({ closed }) => closed)).toEqual([true, false]);
    expect(old.closed).toBe(true);
    expect(track.codec).toEqual({ name: 'H264', profileLevelId: '4d400b' });
    const packets = await setup.stage.until(() => (track.rtp.length >= 3 ? track.rtp : undefined));
    expect(depacketizeH264(packets)[0]!.nals[0]).toEqual(OTHER_SPS);
  });

  test('video other than H.264 is not put on the stage, with one warning', () => {
    const setup = create();
    for (let index = 0; index < 5; index++)
      setup.feed.pushTag(makeTag(9, Buffer.from('906876633101', 'hex'), index));
    expect(setup.stage.streams).toHaveLength(0);
    expect(setup.log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  test('malformed tags are left out, and the stream goes on', async () => {
    const setup = create();
    setup.feed.pushTag(CONFIG);
    const track = await ready(setup);
    setup.feed.pushTag(picture(0, { key: true }));
    setup.feed.pushTag(Buffer.from([9, 0, 0]));
    setup.feed.pushTag(makeTag(9, Buffer.from([0x27, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1])));
    setup.feed.pushTag(picture(40));
    expect(depacketizeH264(track.rtp)).toHaveLength(2);
    expect(setup.log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });
});

describe('the end', () => {
  test('close ends the stream once, and what comes later goes nowhere', async () => {
    let ends = 0;
    const setup = create(undefined, () => (ends += 1));
    setup.feed.pushTag(CONFIG);
    const track = await ready(setup);
    publish(setup, 2);
    const sent = track.rtp.length;
    setup.feed.close();
    setup.feed.close();
    publish(setup, 2, 80);
    setup.feed.pushTag(AAC_CONFIG);
    expect([ends, track.rtp.length, track.closed, setup.stage.streams[0]!.closed]).toEqual([
      1,
      sent,
      true,
      true,
    ]);
  });

  test('an input that opens after the end is closed', async () => {
    const gate = Promise.withResolvers<void>();
    const setup = create(gate.promise);
    setup.feed.pushTag(CONFIG);
    setup.feed.close();
    gate.resolve();
    expect(
      await setup.stage.until(() => (trackOf(setup.stage, 'video')?.closed ? 'closed' : undefined)),
    ).toBe('closed');
  });
});

test('without ffmpeg the pictures go on alone', async () => {
  const setup = create();
  setup.feed.pushTag(CONFIG);
  setup.feed.pushTag(AAC_CONFIG);
  const track = await ready(setup);
  setup.feed.pushTag(atTime(makeTag(8, Buffer.from('af01aabbcc', 'hex')), 0));
  publish(setup, 3);
  await new Promise((resolve) => setTimeout(resolve, 50));
  publish(setup, 3, 120);
  expect(depacketizeH264(track.rtp)).toHaveLength(6);
  // Its place is there, should ffmpeg start after all.
  expect(trackOf(setup.stage, 'audio')?.rtp).toEqual([]);
});
