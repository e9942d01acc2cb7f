/** "Play elsewhere" in the demo player: addresses with a pass, which another player opens. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { framesDecoded, launchBrowser } from '../support/browser.ts';
import { publishTestCard, runFfmpeg, startStack, type Encoder, type Stack } from '../support/stack.ts';

const [LOGIN = { email: '', password: '' }] = DEMO_LOGINS;

let stack: Stack;
let encoder: Encoder;
let browser: Browser;
let page: Page;
beforeAll(async () => {
  [stack, browser] = await Promise.all([startStack(), launchBrowser()]);
  encoder = publishTestCard(stack.publishUrl());
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  page = await context.newPage();
});
afterAll(async () => {
  await browser.close();
  await encoder.stop();
  await stack.stop();
});

const addressOf = (label: string): Promise<string> =>
  page.getByLabel(`${label} address`, { exact: true }).inputValue();

/** Another player opens it; the ticket is for one screen at a time, and the one before may not be accounted for yet. */
async function isPlayable(url: string): Promise<void> {
  const play = async (): Promise<[number | null, string]> => {
    const player = runFfmpeg(['-i', url, '-map', '0:v', '-map', '0:a', '-t', '1', '-f', 'null', '-']);
    return [await player.exited, player.stderr()];
  };
  await expect.poll(play, { timeout: 20_000, interval: 500 }).toEqual([0, '']);
}

it('is not there without a ticket', async () => {
  await page.goto(`${stack.orderUrl}/#/sign-in`);
  await page.getByLabel(/e-?mail/i).fill(LOGIN.email);
  await page.getByLabel(/password/i).fill(LOGIN.password);
  await page.getByRole('button', { name: /sign in/i }).click();
  await page.getByTestId('title-card').filter({ hasText: 'Usher One' }).click();
  await page.getByTestId('buy').first().waitFor();
  expect(await page.getByTestId('elsewhere').isVisible()).toBe(false);
});

it('gives addresses that another player opens, each once, and copies them', async () => {
  await page.getByRole('button', { name: /24 hours/ }).click();
  await framesDecoded(page, 10);
  await page.mouse.move(400, 400); // The controls hide while nobody moves.
  await page.getByTestId('stop').click();
  await page.getByTestId('elsewhere').locator('summary').click();
  await page.getByTestId('get-pass').click();
  await page.getByTestId('pass-left').waitFor();
  expect(await page.getByTestId('pass-left').textContent()).toMatch(/Good for another (60|5\d) s/);
  const flv = await addressOf('HTTP-FLV');
  const base = `http://localhost:${String(stack.httpFlvPort)}/live/demo.flv`;
  expect(flv.replace(/ps_[\w-]{22}$/, 'PASS')).toBe(`${base}?pass=PASS`);
  await page.getByRole('button', { name: 'Copy the HTTP-FLV address' }).click();
  await page.getByText('Copied', { exact: true }).waitFor();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(flv);
  await isPlayable(flv);
  expect((await fetch(flv)).status).toBe(401);
});

it('gives an RTMP address as well', async () => {
  const before = await addressOf('RTMP');
  await page.getByTestId('get-pass').click();
  await expect.poll(() => addressOf('RTMP')).not.toBe(before);
  await isPlayable(await addressOf('RTMP'));
});
