/**
 * The example as it is, as its own process, with an order server in another: buy, watch, be billed, stop. Its public
 * URL has a path.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { framesDecoded, inboundTotals, launchBrowser, quadrantColours } from '../support/browser.ts';
import {
  openExampleShop,
  splitExample,
  startExample,
  type ExampleApp,
  type ExampleShop,
} from '../support/example.ts';
import { freePorts, sendTestCard, type Encoder } from '../support/stack.ts';
import { colourError } from '../support/test-card.ts';
import { openWhepPlayer, type WhepPlayer } from '../support/whep-player.ts';

const APP = 'examples/mediasoup/app.mjs';
const STREAM = '/live/camera';

let shop: ExampleShop;
let app: ExampleApp;
let encoder: Encoder | undefined;
let browser: Browser;

beforeAll(async () => {
  [shop, browser] = await Promise.all([openExampleShop(STREAM, '/media'), launchBrowser()]);
  const [freePort = 0] = await freePorts(1);
  // It and the three after it: seldom taken, far above the ports that are given out.
  const rtpPort = 10_000 + (freePort % 20_000);
  const { USHER_MEDIA_PORT: port, USHER_RTC_PORT } = shop.env;
  app = await startExample(APP, shop, {
    env: { PORT: port, RTP_PORT: String(rtpPort), USHER_RTC_PORT },
    url: shop.mediaUrl,
  });
  encoder = sendTestCard(rtpPort);
});
afterAll(async () => {
  await browser.close();
  await encoder?.stop();
  app.child.kill('SIGKILL');
  await shop.close();
});

it('is a mediasoup app and at most ten lines', async () => {
  const file = fileURLToPath(new URL(`../../${APP}`, import.meta.url));
  const { added, stock } = splitExample(await readFile(file, 'utf8'));
  expect(added.length).toBeLessThanOrEqual(10);
  expect(stock).not.toMatch(/usher/i);
  expect(stock).toContain('transport.produce(');
});

it('nobody gets anything without a ticket', async () => {
  const response = await fetch(`${shop.mediaUrl}/whep${STREAM}`, {
    method: 'POST',
    headers: { 'content-type': 'application/sdp' },
    body: 'v=0',
  });
  expect([response.status, await response.json()]).toMatchObject([401, { code: 'ticket_missing' }]);
});

describe('with a ticket', () => {
  let player: WhepPlayer;

  it('Chromium shows the picture and plays the sound', async () => {
    player = await openWhepPlayer(browser, shop, shop.offerId, 'all', shop.viewerToken);
    expect([player.status, player.problem]).toEqual([201, null]);
    await framesDecoded(player.page, 30);
    const { width, height, audioBytes } = await inboundTotals(player.page);
    expect([width, height]).toEqual([640, 360]);
    expect(audioBytes).toBeGreaterThan(1000);
    expect(colourError(await quadrantColours(player.page))).toBeLessThan(40);
  });

  it('the order server gets receipts of it', async () => {
    await expect
      .poll(async () => (await shop.usage())[0]?.mediaMs ?? 0, { timeout: 20_000 })
      .toBeGreaterThan(4000);
  });
});

it('ends within 2 s of SIGTERM, and bills what was watched until then', async () => {
  const startMs = performance.now();
  const exited = once(app.child, 'exit');
  app.child.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
  expect(performance.now() - startMs).toBeLessThan(2000);
  await expect
    .poll(async () => (await shop.usage()).map(({ reason }) => reason), { timeout: 5000 })
    .toEqual(['server_stopped']);
  expect(app.output()).not.toMatch(/"level":[56]0/);
});
