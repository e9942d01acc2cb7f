/**
 * Encoder settings against viewers' offers: whatever is published, the viewer sees the right colours, pictures in the
 * right order and hears the right tones.
 */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, it, type TestContext } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { framesDecoded, inboundTotals, launchBrowser, quadrantColours } from '../support/browser.ts';
import {
  judgePlayback,
  publishFrameClock,
  watchFrameClock,
  type FrameClockOptions,
} from '../support/frame-clock.ts';
import { createStreamKeyFor, createTitleWithOffer, signIn } from '../support/shop.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { colourError } from '../support/test-card.ts';
import { openWhepPlayer, strongestTones, type VideoOffer } from '../support/whep-player.ts';

let stack: Stack;
let browser: Browser;
let staff: string;
let titles = 0;

beforeAll(async () => {
  [stack, browser] = await Promise.all([startStack(), launchBrowser()]);
  const login = DEMO_LOGINS.find(({ role }) => role === 'admin');
  if (login === undefined) throw new Error('no staff');
  staff = await signIn(stack.orderUrl, login);
});
afterAll(async () => {
  await browser.close();
  await stack.stop();
});

/** x264 as encoders set it, one line of ffmpeg's options. */
const x264 = (options: string): string[] => `-c:v libx264 -pix_fmt yuv420p ${options}`.split(' ');

const BASELINE = x264('-preset ultrafast -tune zerolatency -profile:v baseline -g 30');
const MAIN = x264('-preset veryfast -profile:v main -bf 0 -g 50');
const HIGH = x264('-preset veryfast -profile:v high -bf 0 -g 60');
const MONO = { channels: 1, sampleRate: 48_000 } as const;

/** Puts a title of its own on the air until the test has ended; answers its free offer. */
async function publish(
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  settings: FrameClockOptions,
): Promise<string> {
  titles += 1;
  const path = `/live/row${String(titles)}`;
  const { titleId, offerId } = await createTitleWithOffer(stack.orderUrl, staff, path);
  const key = await createStreamKeyFor(stack.orderUrl, staff, titleId);
  const encoder = publishFrameClock(stack.publishUrl(path, key), { picture: 'card', ...settings });
  onTestFinished(() => encoder.stop());
  return offerId;
}

interface Expected {
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  /** Hertz on the left and on the right; `null` for a silent stream. */
  readonly tones: readonly [number, number] | null;
  /** True when it is re-encoded: what a busy machine cannot keep up with is then left out. */
  readonly isRemade: boolean;
}

const DEFAULTS: Expected = { width: 640, height: 360, fps: 30, tones: [1000, 2000], isRemade: false };
const PICTURES = 45;

/** Publishes, buys, plays, and compares what is seen and heard. */
async function plays(
  { expect, onTestFinished }: TestContext,
  settings: FrameClockOptions,
  expected: Partial<Expected> = {},
  video: VideoOffer = 'all',
): Promise<void> {
  const { width, height, fps, tones, isRemade } = { ...DEFAULTS, ...expected };
  const offerId = await publish(
    { onTestFinished },
    {
      size: `${String(width)}x${String(height)}`,
      fps,
      ...settings,
    },
  );
  const { page, status, problem } = await openWhepPlayer(browser, stack, offerId, video);
  onTestFinished(() => page.close());
  expect({ status, problem }).toEqual({ status: 201, problem: null });
  // Where a cached group of pictures came first, that is behind by now.
  await framesDecoded(page, 60);
  const before = await inboundTotals(page);
  const playback = judgePlayback(await watchFrameClock(page, 30, PICTURES), fps);
  const after = await inboundTotals(page);
  expect([after.width, after.height]).toEqual([width, height]);
  // By the pictures' own numbers, so that an encoder on a busy machine may take its time: all are decoded, and those
  // that are shown come in their order.
  const published = playback.advancedSeconds * fps;
  const decoded = after.framesDecoded - before.framesDecoded;
  expect(decoded).toBeGreaterThan(isRemade ? PICTURES * 0.8 : published * 0.8 - 5);
  expect(playback.pictures).toBeGreaterThan(PICTURES * 0.8);
  expect(playback.outOfOrder).toBe(0);
  expect(colourError(await quadrantColours(page))).toBeLessThan(60);
  if (tones === null) expect(after.audioBytes).toBe(0);
  else {
    const heard = await strongestTones(page);
    expect(Math.abs(heard[0] - tones[0])).toBeLessThan(10);
    expect(Math.abs(heard[1] - tones[1])).toBeLessThan(10);
  }
}

// Two at a time: there is little to compute, and each picture has to be waited for.
describe.concurrent('what goes out as it is', () => {
  it.for<[string, FrameClockOptions, Partial<Expected>]>([
    ['baseline, 30 pictures a second, a keyframe each second', { video: BASELINE }, {}],
    ['main, 25 pictures a second, mono', { video: MAIN, sound: MONO }, { fps: 25, tones: [1000, 1000] }],
    ['high, sound of 44.1 kHz', { video: HIGH, sound: { channels: 2, sampleRate: 44_100 } }, {}],
    [
      'high, 60 pictures a second, mono of 44.1 kHz',
      { video: HIGH, sound: { channels: 1, sampleRate: 44_100 } },
      { fps: 60, tones: [1000, 1000] },
    ],
    ['a keyframe every 8 seconds', { video: x264('-preset ultrafast -tune zerolatency -g 240') }, {}],
    ['four slices a picture', { video: x264('-preset ultrafast -tune zerolatency -g 30 -slices 4') }, {}],
    ['426x240', { video: HIGH }, { width: 426, height: 240 }],
    ['638x358: no multiple of anything', { video: HIGH }, { width: 638, height: 358 }],
    ['360x640: upright', { video: HIGH }, { width: 360, height: 640 }],
    [
      '1280x720',
      { video: x264('-preset ultrafast -profile:v high -bf 0 -g 60') },
      { width: 1280, height: 720 },
    ],
    ['no sound', { video: HIGH, sound: null }, { tones: null }],
    [
      'AAC of 64 kbit/s, mono',
      { video: HIGH, audio: ['-c:a', 'aac', '-b:a', '64k'], sound: MONO },
      { tones: [1000, 1000] },
    ],
  ])('%s', async ([, settings, expected], context) => {
    await plays(context, settings, expected);
  });
});

// One at a time: an encoder that shares two cores with another pair is told to do with less.
describe('what is made anew', () => {
  /** OBS Studio's defaults: x264, veryfast, High, B-frames, CBR of 2,500 kbit/s, a keyframe every 2 seconds. */
  const OBS = x264('-preset veryfast -profile:v high -bf 2 -g 60 -b:v 2500k -maxrate 2500k -bufsize 2500k');

  it.for<[string, FrameClockOptions, VideoOffer]>([
    ["OBS's defaults, for a browser that offers all it has", { video: OBS }, 'all'],
    ["OBS's defaults, for a viewer of VP8 alone", { video: OBS }, 'vp8'],
    [
      "x264's defaults: 3 B-frames, a keyframe every 250 pictures",
      { video: x264('-preset veryfast') },
      'all',
    ],
    ['high 4:2:2', { video: x264('-preset veryfast -bf 0 -g 60 -pix_fmt yuv422p') }, 'all'],
    ['high, for a viewer of constrained baseline alone', { video: HIGH }, 'constrained-baseline'],
    ['constrained baseline, for a viewer of VP8 alone', { video: BASELINE }, 'vp8'],
  ])('%s', async ([, settings, video], context) => {
    await plays(context, settings, { isRemade: true }, video);
  });
});

it('a viewer of VP9 alone is refused with the reason', async ({ expect, onTestFinished }) => {
  const { page, status, problem } = await openWhepPlayer(
    browser,
    stack,
    await publish({ onTestFinished }, { video: HIGH }),
    'vp9',
  );
  onTestFinished(() => page.close());
  expect(status).toBe(422);
  expect(problem?.code).toBe('offer_unsupported');
  expect(problem?.detail).toMatch(/^no H\.264 profile 6400 or .*VP8 in the offer$/);
});
