/** The main job: an encoder publishes, a viewer buys and watches, receipts say what was watched. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import {
  framesDecoded,
  inboundTotals,
  launchBrowser,
  quadrantColours,
  settledFlashAgainstBeep,
} from '../support/browser.ts';
import { graphql, signIn } from '../support/shop.ts';
import { publishTestCard, startStack, type Encoder, type Stack } from '../support/stack.ts';

const [LOGIN] = DEMO_LOGINS;

let stack: Stack;
let encoder: Encoder;
let browser: Browser;
let page: Page;
let playedFromMs: number;
beforeAll(async () => {
  [stack, browser] = await Promise.all([startStack(), launchBrowser()]);
  encoder = publishTestCard(stack.publishUrl());
  page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
});
afterAll(async () => {
  await browser.close();
  await encoder.stop();
  await stack.stop();
});

interface Usage {
  readonly mediaMs: number;
  readonly bytes: number;
  readonly reason: string | null;
}

async function usage(token: string): Promise<Usage[]> {
  const { me } = await graphql<{ me: { receipts: { edges: { node: Usage }[] } } }>(
    stack.orderUrl,
    '{ me { receipts { edges { node { mediaMs bytes reason } } } } }',
    {},
    token,
  );
  return me.receipts.edges.map(({ node }) => node);
}

describe('a viewer', () => {
  it('signs in, buys, and sees the published picture', async () => {
    if (LOGIN === undefined) throw new Error('no demo account');
    await page.goto(stack.orderUrl);
    await page
      .getByRole('link', { name: /sign in/i })
      .first()
      .click();
    await page.getByLabel(/e-?mail/i).fill(LOGIN.email);
    await page.getByLabel(/password/i).fill(LOGIN.password);
    await page.getByRole('button', { name: /sign in/i }).click();
    await page.getByTestId('title-card').filter({ hasText: 'Usher One' }).click();
    await page.getByRole('button', { name: /24 hours/ }).click();
    await framesDecoded(page, 30);
    playedFromMs = performance.now();
    const totals = await inboundTotals(page);
    expect([totals.width, totals.height]).toEqual([640, 360]);
    expect(totals.audioBytes).toBeGreaterThan(1000);
    const [red, green, blue, yellow] = await quadrantColours(page);
    const isHigh = (value = 0): boolean => value > 180;
    const isLow = (value = 255): boolean => value < 90;
    expect(red?.map((c) => isHigh(c))).toEqual([true, false, false]);
    expect(green && isLow(green[0]) && green[1] > 90 && isLow(green[2])).toBe(true);
    expect(blue?.map((c) => isHigh(c))).toEqual([false, false, true]);
    expect(yellow?.map((c) => isHigh(c))).toEqual([true, true, false]);
  });

  it('hears the beep within 60 ms of the flash, once the browser has brought the two in step', async () => {
    expect(Math.abs(await settledFlashAgainstBeep(page))).toBeLessThan(60);
  });

  it('is billed what the browser received, within 2%', async () => {
    if (LOGIN === undefined) throw new Error('no demo account');
    const token = await signIn(stack.orderUrl, LOGIN);
    // Without a publisher nothing flows any more, so that both sides can be read at rest.
    await encoder.stop();
    const playedMs = performance.now() - playedFromMs;
    let received = await inboundTotals(page);
    await expect
      .poll(async () => {
        const before = received.bytes;
        received = await inboundTotals(page);
        return received.bytes - before;
      })
      .toBe(0);
    await page.mouse.move(400, 400); // The controls hide while nobody moves.
    await page.getByTestId('stop').click();
    await expect.poll(async () => (await usage(token))[0]?.reason, { timeout: 10_000 }).toBe('viewer_left');
    const [billed] = await usage(token);
    expect(Math.abs((billed?.bytes ?? 0) / received.bytes - 1)).toBeLessThan(0.02);
    expect(billed?.mediaMs ?? 0).toBeGreaterThan(playedMs - 1000);
  });
});
