/** OBS's defaults, which browsers cannot be shown as they are: B-frames, High profile, a keyframe every eight seconds. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import {
  framesDecoded,
  inboundTotals,
  launchBrowser,
  quadrantColours,
  settledFlashAgainstBeep,
} from '../support/browser.ts';
import { reencodersOf } from '../support/reencoders.ts';
import { createStreamKeyFor, createTitleWithOffer, graphql, signIn } from '../support/shop.ts';
import { obsDefaults, publishTestCard, startStack, type Encoder, type Stack } from '../support/stack.ts';
import { colourError } from '../support/test-card.ts';
import { openWhepPlayer, type VideoOffer } from '../support/whep-player.ts';

const PATH = '/live/obs';

let stack: Stack;
let browser: Browser;
let staff: string;
let offerId: string;
let publishUrl: string;
beforeAll(async () => {
  [stack, browser] = await Promise.all([startStack(), launchBrowser()]);
  const login = DEMO_LOGINS.find(({ role }) => role === 'admin');
  if (login === undefined) throw new Error('no staff');
  staff = await signIn(stack.orderUrl, login);
  const title = await createTitleWithOffer(stack.orderUrl, staff, PATH);
  offerId = title.offerId;
  publishUrl = stack.publishUrl(PATH, await createStreamKeyFor(stack.orderUrl, staff, title.titleId));
});
afterAll(async () => {
  await browser.close();
  await stack.stop();
});

const reencoderPids = (): number[] => reencodersOf(stack.media.child.pid ?? 0);

async function metric(name: string): Promise<string | undefined> {
  const text = await (await fetch(`${stack.mediaUrl}/metrics`)).text();
  return new RegExp(`^${name}\\{[^}]*codec="H.264"[^}]*\\} (.+)$`, 'm').exec(text)?.[1];
}

async function watch(video: VideoOffer = 'all'): Promise<Page> {
  const { page, status, problem } = await openWhepPlayer(browser, stack, offerId, video);
  expect({ status, problem }).toEqual({ status: 201, problem: null });
  return page;
}

/** Who closes his connection is known to be gone; a page that only vanishes is missed after 15 s (RFC 7675). */
async function leave(page: Page): Promise<void> {
  await page.evaluate(() => globalThis.usher.peerConnection?.close());
  await page.close();
}

async function onAir(): Promise<void> {
  await vi.waitFor(
    async () => {
      const metrics = await (await fetch(`${stack.mediaUrl}/metrics`)).text();
      expect(metrics).toMatch(/usher_publisher_bits_per_second\{path="\/live\/obs",media="video"\} [1-9]/);
    },
    { timeout: 30_000, interval: 200 },
  );
}

describe('a publisher with OBS’s defaults', () => {
  let encoder: Encoder;
  let page: Page;
  beforeAll(async () => {
    encoder = publishTestCard(publishUrl, { codecs: obsDefaults() });
    await onAir();
  });
  afterAll(async () => {
    await encoder.stop();
  });

  it('costs no re-encoding while nobody watches by WebRTC', () => {
    expect(reencoderPids()).toEqual([]);
  });

  it('is seen in its own colours and its own size', async () => {
    page = await watch();
    await framesDecoded(page, 60);
    const totals = await inboundTotals(page);
    expect([totals.width, totals.height]).toEqual([640, 360]);
    expect(colourError(await quadrantColours(page))).toBeLessThan(60);
    expect(reencoderPids()).toHaveLength(1);
  });

  it('is heard within 60 ms of what is seen, once the browser has brought the two in step', async () => {
    expect(Math.abs(await settledFlashAgainstBeep(page))).toBeLessThan(60);
  });

  it('shows what it costs in metrics and in GraphQL', async () => {
    expect(await metric('usher_reencoder_running')).toBe('1');
    expect(Number(await metric('usher_reencoder_lag_seconds'))).toBeLessThan(2);
    const reencoders = async (): Promise<unknown> => {
      const { streamingServers } = await graphql<{
        streamingServers: { streams: { reencoders: unknown[] }[] }[];
      }>(
        stack.orderUrl,
        '{ streamingServers { streams { reencoders { codec running restarts } } } }',
        {},
        staff,
      );
      return streamingServers[0]?.streams[0]?.reencoders;
    };
    await expect
      .poll(reencoders, { timeout: 15_000 })
      .toEqual([{ codec: 'H.264', running: true, restarts: 0 }]);
  });

  it('comes back when the re-encoder is killed', async () => {
    const [pid] = reencoderPids();
    if (pid === undefined) throw new Error('no re-encoder');
    process.kill(pid, 'SIGKILL');
    const before = (await inboundTotals(page)).framesDecoded;
    await framesDecoded(page, before + 60);
    expect(colourError(await quadrantColours(page))).toBeLessThan(60);
    expect(await metric('usher_reencoder_restarts_total')).toBe('1');
    expect(reencoderPids()).not.toContain(pid);
  });

  it('is seen as VP8 by a viewer without H.264', async () => {
    const other = await watch('vp8');
    await framesDecoded(other, 30);
    expect(colourError(await quadrantColours(other))).toBeLessThan(60);
    expect(reencoderPids()).toHaveLength(2);
    await leave(other);
  });

  it('costs nothing again some seconds after its last viewer', async () => {
    await leave(page);
    await expect.poll(reencoderPids, { timeout: 40_000, interval: 500 }).toEqual([]);
    expect(await metric('usher_reencoder_running')).toBeUndefined();
  });
});

describe('the same without B-frames', () => {
  const second = /usher_publisher_keyframe_interval_seconds\{path="\/live\/obs"\} (\S+)/;
  const metrics = async (): Promise<string> => (await fetch(`${stack.mediaUrl}/metrics`)).text();

  it('is shown to who comes late before the next keyframe, and then passed through', async () => {
    const everyTwelveSeconds = ['-g', '360', '-sc_threshold', '0'];
    const encoder = publishTestCard(publishUrl, { codecs: [...obsDefaults(0), ...everyTwelveSeconds] });
    await onAir();
    const page = await watch();
    await framesDecoded(page, 5);
    expect(await metrics()).not.toMatch(second);
    expect(reencoderPids()).toHaveLength(1);
    expect(colourError(await quadrantColours(page))).toBeLessThan(60);
    await expect.poll(metrics, { timeout: 30_000 }).toMatch(second);
    const before = (await inboundTotals(page)).framesDecoded;
    await expect.poll(reencoderPids, { timeout: 40_000, interval: 500 }).toEqual([]);
    await framesDecoded(page, before + 60);
    expect(colourError(await quadrantColours(page))).toBeLessThan(60);
    await page.close();
    await encoder.stop();
  });
});
