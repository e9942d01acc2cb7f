/** Enhanced RTMP to Chromium: Opus as the encoder made it, other video re-encoded, sound that starts late, publishers that come back. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { framesDecoded, inboundTotals, launchBrowser } from '../support/browser.ts';
import {
  connectEnhanced,
  encodeOpus,
  encodeVideo,
  interleave,
  sendMessages,
  type EnhancedMessage,
} from '../support/enhanced-publisher.ts';
import { createStreamKeyFor, createTitleWithOffer, signIn } from '../support/shop.ts';
import { startStack, type Stack } from '../support/stack.ts';
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
    startStack({ USHER_FFMPEG: '/nonexistent/ffmpeg' }),
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
  readonly offerId: string;
  /** Publishes in real time until it is stopped. */
  publish(messages: readonly EnhancedMessage[]): Promise<Publisher>;
}

async function channel(on = stack, by = staff): Promise<Channel> {
  titles += 1;
  const name = `enhanced${String(titles)}`;
  const { titleId, offerId } = await createTitleWithOffer(on.orderUrl, by, `/live/${name}`);
  const key = await createStreamKeyFor(on.orderUrl, by, titleId);
  return {
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
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await publish(interleave(picture, sound));
    await framesDecoded(player.page, before.framesDecoded + 60);
    expectTones(await strongestTones(player.page));
    const after = await inboundTotals(player.page);
    expect(after.audioBytes).toBeGreaterThan(before.audioBytes + 5000);
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

  it.each(['hvc1', 'vp09', 'av01'] as const)(
    '%s is seen in Chromium, and Opus heard beside it',
    async (fourCc) => {
      const { offerId, publish } = await channel(whole, token);
      await publish(interleave(await encodeVideo(fourCc, { seconds: 15 }), sound));
      const player = await openWhepPlayer(browser, whole, offerId);
      onTestFinished(() => player.page.close());
      expect(player).toMatchObject({ status: 201, problem: null });
      await framesDecoded(player.page, 30);
      expect(await inboundTotals(player.page)).toMatchObject({ width: 320, height: 180 });
      expectTones(await strongestTones(player.page));
    },
  );
});
