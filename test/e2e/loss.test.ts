/**
 * A viewer on a bad network: a relay between the media server and Chromium loses, delays and reorders. Keyframes are two
 * seconds apart, as OBS sets them by default: what is lost must come by retransmission, not with the next keyframe.
 */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, it, vi, type TestContext } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { framesDecoded, inboundTotals, launchBrowser } from '../support/browser.ts';
import { judgePlayback, publishFrameClock, watchFrameClock } from '../support/frame-clock.ts';
import { openRelayedViewer, type RelayedViewer } from '../support/relayed-viewer.ts';
import { createStreamKeyFor, createTitleWithOffer, signIn } from '../support/shop.ts';
import { startStack, type Encoder, type Stack } from '../support/stack.ts';
import type { Impairment } from '../support/udp-relay.ts';

const PATH = '/live/far';
const FPS = 30;
let stack: Stack;
let browser: Browser;
let encoder: Encoder;
let titleId: string;

beforeAll(async () => {
  [stack, browser] = await Promise.all([startStack(), launchBrowser()]);
  const login = DEMO_LOGINS.find(({ role }) => role === 'admin');
  if (login === undefined) throw new Error('no staff');
  const staff = await signIn(stack.orderUrl, login);
  ({ titleId } = await createTitleWithOffer(stack.orderUrl, staff, PATH));
  encoder = publishFrameClock(
    stack.publishUrl(PATH, await createStreamKeyFor(stack.orderUrl, staff, titleId)),
  );
  await vi.waitUntil(
    async () => (await (await fetch(`${stack.mediaUrl}/metrics`)).text()).includes('usher_live_streams 1'),
    { timeout: 30_000, interval: 200 },
  );
});
afterAll(async () => {
  await browser.close();
  await encoder.stop();
  await stack.stop();
});

/**
 * Opens a viewer with that network both ways. A failure shows the seed; with it in RELAY_SEED the same datagrams have
 * the same fate again.
 */
async function viewerBehind(
  { onTestFailed, onTestFinished }: TestContext,
  impairment: Impairment,
): Promise<RelayedViewer> {
  const { RELAY_SEED: seed } = process.env;
  const viewer = await openRelayedViewer(browser, stack, titleId, {
    towardsServer: impairment,
    towardsClients: impairment,
    ...(seed === undefined ? {} : { seed: Number(seed) }),
  });
  onTestFailed(() => console.error({ RELAY_SEED: viewer.relay.seed, ...viewer.relay.counts() }));
  onTestFinished(viewer.close);
  return viewer;
}

/** How much of the sound never came, not even when it was sent again: a share from 0 to 1. */
function lostSound(page: Page): Promise<number> {
  return page.evaluate(async () => {
    let share = NaN;
    const stats = await globalThis.usher.peerConnection?.getStats();
    stats?.forEach((stat: RTCInboundRtpStreamStats) => {
      if (stat.type !== 'inbound-rtp' || stat.kind !== 'audio') return;
      const { packetsLost = NaN, packetsReceived = NaN } = stat;
      share = packetsLost / (packetsLost + packetsReceived);
    });
    return share;
  });
}

// Two at a time: each has a relay of its own, and they mostly watch.
describe.concurrent('a viewer', () => {
  it('plays on at 5% loss each way, and the sound is nearly whole', async (context) => {
    const { expect } = context;
    const { page } = await viewerBehind(context, { loss: 0.05, delayMs: 10 });
    const before = await inboundTotals(page);
    const playback = judgePlayback(await watchFrameClock(page, 20));
    const after = await inboundTotals(page);
    const published = playback.advancedSeconds * FPS;
    expect(after.framesDecoded - before.framesDecoded).toBeGreaterThan(published * 0.8);
    expect(playback.advancedSeconds).toBeGreaterThan(playback.watchedSeconds * 0.8);
    expect(playback.outOfOrder).toBe(0);
    expect(await lostSound(page)).toBeLessThan(0.01);
  });

  it('freezes no picture for more than a second at 2% loss each way', async (context) => {
    const { expect } = context;
    const { page } = await viewerBehind(context, { loss: 0.02, delayMs: 10 });
    const playback = judgePlayback(await watchFrameClock(page, 30));
    expect(playback.longestFreezeMs).toBeLessThan(1000);
    expect(playback.advancedSeconds).toBeGreaterThan(playback.watchedSeconds * 0.8);
    expect(playback.outOfOrder).toBe(0);
  });

  it('plays with 50 ms of jitter, 1% of the packets out of order and 1% doubled', async (context) => {
    const { expect } = context;
    const { page } = await viewerBehind(context, { jitterMs: 50, reordering: 0.01, duplication: 0.01 });
    const playback = judgePlayback(await watchFrameClock(page, 15));
    expect(playback.longestFreezeMs).toBeLessThan(1000);
    expect(playback.advancedSeconds).toBeGreaterThan(playback.watchedSeconds * 0.8);
    expect(playback.outOfOrder).toBe(0);
  });

  it('comes back by itself after seconds without any network, in the same session', async (context) => {
    const { expect } = context;
    const { page, relay } = await viewerBehind(context, {});
    const connection = await page.evaluateHandle(() => globalThis.usher.peerConnection);
    relay.change({ towardsServer: { loss: 1 }, towardsClients: { loss: 1 } });
    await page.getByTestId('status').filter({ hasText: 'starts by itself' }).waitFor();
    relay.change({ towardsServer: {}, towardsClients: {} });
    const { framesDecoded: frames } = await inboundTotals(page);
    await framesDecoded(page, frames + 2 * FPS);
    await page.getByTestId('status').filter({ hasText: 'Live' }).waitFor();
    expect(await connection.evaluate((before) => before === globalThis.usher.peerConnection)).toBe(true);
  });
});
