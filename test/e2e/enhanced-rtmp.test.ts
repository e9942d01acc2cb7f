/**
 * Enhanced RTMP to Chromium: Opus, VP9 and AV1 as the encoder made them, other video re-encoded or refused, sound that
 * starts late, publishers that come back.
 */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { framesDecoded, inboundTotals, launchBrowser, quadrantColours } from '../support/browser.ts';
import {
  connectEnhanced,
  encodeOpus,
  encodeVideo,
  interleave,
  sendMessages,
  type EnhancedMessage,
} from '../support/enhanced-publisher.ts';
import { frameClockPicture, judgePlayback, watchFrameClock } from '../support/frame-clock.ts';
import { reencodersOf } from '../support/reencoders.ts';
import { createStreamKeyFor, createTitleWithOffer, signIn } from '../support/shop.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { colourError } from '../support/test-card.ts';
import { openWhepPlayer, strongestTones } from '../support/whep-player.ts';

const SECONDS = 30;
/** Left and right, in hertz. */
const TONES = [600, 1500] as const;

let stack: Stack;
let browser: Browser;
let staff: string;
let picture: EnhancedMessage[];
let sound: EnhancedMessage[];
let titles = 0;

function signInStaff({ orderUrl }: Stack): Promise<string> {
  const login = DEMO_LOGINS.find(({ role }) => role === 'admin');
  if (login === undefined) throw new Error('no staff');
  return signIn(orderUrl, login);
}

beforeAll(async () => {
  const tone = TONES.map((hertz) => `0.4*sin(2*PI*${hertz}*t)`).join('|');
  [stack, browser, picture, sound] = await Promise.all([
    // No encoder: what is passed through needs none.
    startStack({ USHER_FFMPEG: '/nonexistent/ffmpeg', USHER_REENCODE: 'off' }),
    launchBrowser(),
    encodeVideo('avc1', { seconds: SECONDS }),
    encodeOpus(SECONDS, { sound: `aevalsrc='${tone}':s=48000` }),
  ]);
  staff = await signInStaff(stack);
});
afterAll(async () => {
  await browser.close();
  await stack.stop();
});

interface Publisher {
  /** Sends more from now on, on the same clock. */
  add(messages: readonly EnhancedMessage[]): void;
  stop(): Promise<void>;
}

interface Channel {
  readonly path: string;
  readonly offerId: string;
  /** Publishes in real time until it is stopped. */
  publish(messages: readonly EnhancedMessage[]): Promise<Publisher>;
}

async function channel(on = stack, by = staff): Promise<Channel> {
  titles += 1;
  const name = `enhanced${String(titles)}`;
  const path = `/live/${name}`;
  const { titleId, offerId } = await createTitleWithOffer(on.orderUrl, by, path);
  const key = await createStreamKeyFor(on.orderUrl, by, titleId);
  return {
    path,
    offerId,
    async publish(messages) {
      const client = await connectEnhanced(on.rtmpPort, 'live', `${name}?key=${key}`);
      expect(await client.status()).toBe('NetStream.Publish.Start');
      const startMs = performance.now();
      void sendMessages(client, messages, startMs);
      const publisher: Publisher = {
        add(more) {
          const nowMs = Math.round(performance.now() - startMs);
          const shifted = more.map((message) => ({ ...message, timeMs: message.timeMs + nowMs }));
          void sendMessages(client, shifted, startMs);
        },
        async stop() {
          client.socket.destroy();
          await client.ended;
        },
      };
      onTestFinished(publisher.stop);
      return publisher;
    },
  };
}

function expectTones(heard: readonly number[]): void {
  heard.forEach((hertz, side) => expect(Math.abs(hertz - TONES[side]!)).toBeLessThan(12));
}

const FPS = 25;
/** The test card's colours, with the pictures' numbers over them. */
const CARD = frameClockPicture({ size: '320x180', fps: FPS, picture: 'card' });

/** All pictures come, in their order and their colours. */
async function expectCard(page: Page): Promise<void> {
  await framesDecoded(page, 30);
  const { pictures, outOfOrder } = judgePlayback(await watchFrameClock(page, 20, 40), FPS);
  expect({ pictures: pictures > 30, outOfOrder }).toEqual({ pictures: true, outOfOrder: 0 });
  expect(colourError(await quadrantColours(page))).toBeLessThan(60);
}

function receivedCodec(page: Page): Promise<string | undefined> {
  return page.evaluate(async () => {
    const stats = await globalThis.usher.peerConnection?.getStats();
    let codec: string | undefined;
    stats?.forEach((stat: { type: string; mimeType?: string }) => {
      if (stat.type === 'codec' && stat.mimeType?.startsWith('video/') === true) codec = stat.mimeType;
    });
    return codec;
  });
}

describe('a viewer in Chromium', () => {
  it('hears Opus of the publisher’s own on both sides, and sees H.264 by FourCC', async () => {
    const { offerId, publish } = await channel();
    await publish(interleave(picture, sound));
    const player = await openWhepPlayer(browser, stack, offerId);
    onTestFinished(() => player.page.close());
    expect(player).toMatchObject({ status: 201, problem: null });
    await framesDecoded(player.page, 30);
    expectTones(await strongestTones(player.page));
    expect(await inboundTotals(player.page)).toMatchObject({ width: 320, height: 180 });
  });

  it('who was there before the sound hears it when it starts', async () => {
    const { offerId, publish } = await channel();
    const publisher = await publish(picture);
    const player = await openWhepPlayer(browser, stack, offerId);
    onTestFinished(() => player.page.close());
    await framesDecoded(player.page, 30);
    expect((await inboundTotals(player.page)).audioBytes).toBe(0);
    publisher.add(sound);
    expectTones(await strongestTones(player.page));
  });

  it('goes on by himself when the publisher drops and comes back', async () => {
    const { offerId, publish } = await channel();
    const first = await publish(interleave(picture, sound));
    const player = await openWhepPlayer(browser, stack, offerId);
    onTestFinished(() => player.page.close());
    await framesDecoded(player.page, 30);
    await first.stop();
    const before = await inboundTotals(player.page);
    // No event: how long he is away is what is tested, and nothing comes in that time.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await publish(interleave(picture, sound));
    await framesDecoded(player.page, before.framesDecoded + 60);
    expectTones(await strongestTones(player.page));
    const after = await inboundTotals(player.page);
    expect(after.audioBytes).toBeGreaterThan(before.audioBytes + 5000);
  });
});

describe('where nothing is re-encoded', () => {
  it.each([
    // Both with pictures that are never shown, which others refer to.
    ['VP9', 'vp09', '-c:v libvpx-vp9 -deadline good -cpu-used 5 -lag-in-frames 16 -auto-alt-ref 1', true],
    ['AV1', 'av01', '-c:v libaom-av1 -usage good -cpu-used 8 -lag-in-frames 19', false],
  ] as const)('a viewer in Chromium sees %s as it was published', async (codec, fourCc, encoder, twoPass) => {
    const { offerId, publish } = await channel();
    const video = await encodeVideo(fourCc, { seconds: 12, picture: CARD, encoder, twoPass });
    await publish(interleave(video, sound));
    const { page, status, problem } = await openWhepPlayer(browser, stack, offerId);
    onTestFinished(() => page.close());
    expect([status, problem]).toEqual([201, null]);
    await expectCard(page);
    expect(await receivedCodec(page)).toBe(`video/${codec}`);
  });

  it.each([
    ['H.265', 'hvc1', undefined, 'the video is H.265, and re-encoding is off'],
    [
      'H.264 with B-frames',
      'avc1',
      '-c:v libx264 -preset ultrafast -bf 2',
      'the video has B-frames, and re-encoding is off',
    ],
  ] as const)('%s is refused with the reason', async (_name, fourCc, encoder, detail) => {
    const { path, offerId, publish } = await channel();
    const seconds = 12;
    await publish(await encodeVideo(fourCc, encoder === undefined ? { seconds } : { seconds, encoder }));
    await vi.waitFor(
      async () => {
        const metrics = await (await fetch(`${stack.mediaUrl}/metrics`)).text();
        expect(metrics).toContain(`usher_publisher_bits_per_second{path="${path}",media="video"}`);
      },
      { timeout: 20_000, interval: 200 },
    );
    const { page, ...answer } = await openWhepPlayer(browser, stack, offerId);
    onTestFinished(() => page.close());
    expect(answer).toMatchObject({ status: 422, problem: { code: 'offer_unsupported', detail } });
  });
});

describe('where there is ffmpeg', () => {
  let whole: Stack;
  let token: string;
  beforeAll(async () => {
    whole = await startStack();
    token = await signInStaff(whole);
  });
  afterAll(() => whole.stop());

  const children = (): number[] => reencodersOf(whole.media.child.pid ?? 0);

  it('H.265 is made anew for Chromium, with Opus beside it', async () => {
    const { offerId, publish } = await channel(whole, token);
    await publish(interleave(await encodeVideo('hvc1', { seconds: 15 }), sound));
    const player = await openWhepPlayer(browser, whole, offerId);
    onTestFinished(() => player.page.close());
    expect(player).toMatchObject({ status: 201, problem: null });
    await framesDecoded(player.page, 30);
    expect(await inboundTotals(player.page)).toMatchObject({ width: 320, height: 180 });
    expectTones(await strongestTones(player.page));
  });

  it('AV1 is made anew only for viewers without it', async () => {
    const { offerId, publish } = await channel(whole, token);
    const before = children();
    await publish(interleave(await encodeVideo('av01', { seconds: 15, picture: CARD }), sound));
    const { page } = await openWhepPlayer(browser, whole, offerId);
    onTestFinished(() => page.close());
    await expectCard(page);
    expect(children()).toEqual(before);
    const other = await openWhepPlayer(browser, whole, offerId, 'constrained-baseline');
    onTestFinished(() => other.page.close());
    await expectCard(other.page);
    expect([await receivedCodec(page), await receivedCodec(other.page)]).toEqual(['video/AV1', 'video/H264']);
    expect(children()).toHaveLength(before.length + 1);
  });
});
