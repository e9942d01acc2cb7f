/** Flash and beep on two ways that need no ffmpeg of the media server's; all ways, for minutes: `npm run campaign -- sync`. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, it, type TestContext } from 'vitest';
import { launchBrowser, settledFlashAgainstBeep } from '../support/browser.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { openSyncViewing, signInStaff, SYNC_BAR_MS, type SyncViewing } from '../../tools/campaign/sync.ts';
import { OPUS_PASSED_THROUGH, PUBLISHER_GONE, type SyncWay } from '../../tools/campaign/sync-publishers.ts';

let stack: Stack;
let browser: Browser;
let token: string;
beforeAll(async () => {
  [stack, browser] = await Promise.all([startStack(), launchBrowser()]);
  token = await signInStaff(stack);
});
afterAll(async () => {
  await browser.close();
  await stack.stop();
});

async function watch({ onTestFinished }: TestContext, way: SyncWay, number: number): Promise<SyncViewing> {
  const viewing = await openSyncViewing(stack, browser, token, way, { number, minutes: 1 });
  onTestFinished(async () => {
    await viewing.page.close();
    await viewing.publisher.stop();
  });
  return viewing;
}

describe.concurrent('flash and beep', () => {
  it('come together where Opus is passed through', async (context) => {
    const { page } = await watch(context, OPUS_PASSED_THROUGH, 1);
    context.expect(Math.abs(await settledFlashAgainstBeep(page, SYNC_BAR_MS))).toBeLessThan(SYNC_BAR_MS);
  });

  it('come together when the publisher was gone for 5 s', async (context) => {
    const { page, publisher } = await watch(context, PUBLISHER_GONE, 2);
    await publisher.disturb?.();
    context.expect(Math.abs(await settledFlashAgainstBeep(page, SYNC_BAR_MS))).toBeLessThan(SYNC_BAR_MS);
  });
});
