/** mediasoup's process is killed under twenty viewers: all play again, in the same sessions, within two seconds. */
import { readFile } from 'node:fs/promises';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { launchBrowser } from '../support/browser.ts';
import { openMovingViewers, type MovingViewers, type ViewerLog } from '../support/moving-viewers.ts';
import { createStreamKeyFor, createTitleWithOffer, graphql, signIn } from '../support/shop.ts';
import { publishTestCard, startStack, type Encoder, type Stack } from '../support/stack.ts';

const PATH = '/live/moving';
const VIEWERS = 20;
/** Few: twenty decoders share the machine with the encoder and the servers. */
const FPS = 10;

let stack: Stack;
let browser: Browser;
let encoder: Encoder;
let viewers: MovingViewers;
let token: string;
let playedFromMs: number;

beforeAll(async () => {
  [stack, browser] = await Promise.all([startStack(), launchBrowser()]);
  const [viewer, , staff] = DEMO_LOGINS;
  if (viewer === undefined || staff === undefined) throw new Error('no demo accounts');
  const staffToken = await signIn(stack.orderUrl, staff);
  token = await signIn(stack.orderUrl, viewer);
  const offer = { rights: { accesses: 1 } };
  const { titleId, offerId } = await createTitleWithOffer(stack.orderUrl, staffToken, PATH, offer);
  const key = await createStreamKeyFor(stack.orderUrl, staffToken, titleId);
  encoder = publishTestCard(stack.publishUrl(PATH, key), { fps: FPS, keyframeFrames: 5 });
  await vi.waitUntil(
    async () => (await (await fetch(`${stack.mediaUrl}/metrics`)).text()).includes('usher_live_streams 1'),
    { timeout: 30_000, interval: 200 },
  );
  viewers = await openMovingViewers(browser, stack, offerId, VIEWERS, token);
  await allAre(({ pictures }) => pictures > 20);
  playedFromMs = Math.max(...(await viewers.read()).map(({ playingSinceMs }) => playingSinceMs));
});
afterAll(async () => {
  await browser.close();
  await encoder.stop();
  await stack.stop();
});

/** Waits until all viewers are as they should. */
async function allAre(right: (viewer: ViewerLog, index: number) => boolean): Promise<ViewerLog[]> {
  for (const deadlineMs = Date.now() + 40_000; ;) {
    const now = await viewers.read();
    if (now.every(right)) return now;
    if (Date.now() > deadlineMs)
      throw new Error(JSON.stringify(now.filter((viewer, index) => !right(viewer, index))));
  }
}

/** The media server's children that are mediasoup's. */
async function workerPids(): Promise<number[]> {
  const pid = String(stack.media.child.pid);
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ');
  const named = await Promise.all(
    children.map(async (child) => ({
      pid: Number(child),
      name: await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => ''),
    })),
  );
  return named.filter(({ name }) => name.includes('mediasoup-worker')).map((child) => child.pid);
}

interface Usage {
  readonly mediaMs: number;
  readonly reason: string | null;
}

it('within two seconds, without another access, billed once', async () => {
  const [worker] = await workerPids();
  if (worker === undefined) throw new Error('no worker');
  const before = await viewers.read();
  const killedMs = Date.now();
  process.kill(worker, 'SIGKILL');
  const after = await allAre(({ playingSinceMs }) => playingSinceMs > killedMs);
  const tookMs = after.map(({ playingSinceMs }) => playingSinceMs - killedMs).toSorted((a, b) => a - b);
  expect(after.map(({ sessions }) => [...new Set(sessions)])).toEqual(before.map(({ sessions }) => sessions));
  expect(await workerPids()).not.toContain(worker);

  // Six seconds of them: long enough for a receipt that has both parts of the viewing in it.
  const enough = after.map(({ pictures }) => pictures + 6 * FPS);
  await allAre(({ pictures }, index) => pictures > (enough[index] ?? Infinity));
  await viewers.close();
  const longestMs = Date.now() - playedFromMs;
  const query = '{ me { receipts(first: 100) { edges { node { mediaMs reason } } } } }';
  const ended = async (): Promise<Usage[]> => {
    const { me } = await graphql<{ me: { receipts: { edges: { node: Usage }[] } } }>(
      stack.orderUrl,
      query,
      {},
      token,
    );
    return me.receipts.edges.map(({ node }) => node).filter(({ reason }) => reason !== null);
  };
  await expect.poll(async () => (await ended()).length, { timeout: 30_000 }).toBe(VIEWERS);
  for (const { mediaMs, reason } of await ended()) {
    expect(reason).toBe('viewer_left');
    expect(mediaMs).toBeGreaterThan(5000);
    // 15 s more until the server has noticed that the page is gone.
    expect(mediaMs).toBeLessThan(longestMs + 25_000);
  }
  console.info(`playing again after ${tookMs.join(' ')} ms`);
  expect(tookMs.at(-1), `milliseconds: ${tookMs.join(' ')}`).toBeLessThan(2000);
});
