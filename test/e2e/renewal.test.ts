/** Tickets that are about to end, in the player: renewed by itself where that is free, warned of where it is not. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { framesDecoded, inboundTotals, launchBrowser } from '../support/browser.ts';
import { createStreamKeyFor, createTitleWithOffer, graphql, signIn } from '../support/shop.ts';
import { publishTestCard, startStack, type Encoder, type Stack } from '../support/stack.ts';

const FREE = { path: '/live/free', validSeconds: 16, priceMinor: 0 };
const PAID = { path: '/live/paid', validSeconds: 24, priceMinor: 150 };

let stack: Stack;
let browser: Browser;
const encoders: Encoder[] = [];
const titles = new Map<string, string>();

beforeAll(async () => {
  [stack, browser] = await Promise.all([startStack(), launchBrowser()]);
  const login = DEMO_LOGINS.find(({ role }) => role === 'admin');
  if (login === undefined) throw new Error('no staff');
  const staff = await signIn(stack.orderUrl, login);
  for (const { path, ...offer } of [FREE, PAID]) {
    const { titleId } = await createTitleWithOffer(stack.orderUrl, staff, path, offer);
    titles.set(path, titleId);
    const key = await createStreamKeyFor(stack.orderUrl, staff, titleId);
    encoders.push(publishTestCard(stack.publishUrl(path, key)));
  }
  await vi.waitUntil(
    async () => (await (await fetch(`${stack.mediaUrl}/metrics`)).text()).includes('usher_live_streams 2'),
    { timeout: 30_000, interval: 200 },
  );
});
afterAll(async () => {
  await browser.close();
  await Promise.all(encoders.map((encoder) => encoder.stop()));
  await stack.stop();
});

async function openTitle(path: string, login?: { email: string; password: string }): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  if (login !== undefined) {
    await page.goto(`${stack.orderUrl}/#/sign-in`);
    await page.getByLabel(/e-?mail/i).fill(login.email);
    await page.getByLabel(/password/i).fill(login.password);
    await page.getByRole('button', { name: /sign in/i }).click();
    await page.getByTestId('title-card').first().waitFor();
  }
  await page.goto(`${stack.orderUrl}/#/title/${titles.get(path) ?? ''}`);
  await page.getByTestId('buy').first().click();
  await framesDecoded(page, 10);
  return page;
}

/** What the page has lost since its connection began, and how often its picture stood. */
const losses = (page: Page): Promise<{ lost: number; freezes: number }> =>
  page.evaluate(async () => {
    const totals = { lost: 0, freezes: 0 };
    const stats = await globalThis.usher.peerConnection?.getStats();
    stats?.forEach((stat: RTCInboundRtpStreamStats & { freezeCount?: number }) => {
      if (stat.type !== 'inbound-rtp') return;
      totals.lost += stat.packetsLost ?? 0;
      totals.freezes += stat.freezeCount ?? 0;
    });
    return totals;
  });

interface Session {
  readonly reason: string | null;
}

// Side by side: each is over when its tickets are.
describe.concurrent('a ticket that is about to end', () => {
  it('is renewed by itself where that is free: the picture goes on, in the same connection, without loss', async () => {
    const page = await openTitle(FREE.path);
    await page.evaluate(() => Object.assign(globalThis, { first: globalThis.usher.peerConnection }));
    const before = await losses(page);
    // Over the ends of three tickets.
    await page.waitForTimeout(3 * FREE.validSeconds * 1000);
    const { framesDecoded: decoded } = await inboundTotals(page);
    await framesDecoded(page, decoded + 10);
    expect(
      await page.evaluate(
        () => globalThis.usher.peerConnection === (globalThis as unknown as { first: unknown }).first,
      ),
    ).toBe(true);
    const after = await losses(page);
    console.info('over three renewals:', { before, after });
    expect(after).toEqual(before);
    await page.close();
  });

  it('is warned of in words where renewing costs something, and goes on when the viewer buys', async () => {
    const [viewer] = DEMO_LOGINS;
    if (viewer === undefined) throw new Error('no viewer');
    const page = await openTitle(PAID.path, viewer);
    const bar = page.getByTestId('renewal');
    await bar.getByText(/Your ticket ends in \d+ seconds?\./).waitFor({ timeout: 40_000 });
    expect(await bar.textContent()).toContain('The picture stops then, unless you buy more.');
    const directory = process.env.USHER_TEST_SCREENSHOTS;
    if (directory !== undefined) await page.screenshot({ path: `${directory}/renewal.png` });
    await page.getByTestId('renew').click();
    await bar.getByText(/Your ticket ends in/).waitFor({ state: 'hidden', timeout: 10_000 });
    // Beyond the end of the first.
    await page.waitForTimeout((PAID.validSeconds / 4 + 2) * 1000);
    expect(await page.getByTestId('status').textContent()).toBe('Live');
    // What it was renewed with ends as well: in words, and at once.
    await page.getByTestId('message').getByText('Your ticket has expired').waitFor({ timeout: 60_000 });
    const token = await signIn(stack.orderUrl, viewer);
    await vi.waitUntil(
      async () => {
        const { me } = await graphql<{ me: { orders: { edges: { node: { sessions: Session[] } }[] } } }>(
          stack.orderUrl,
          '{ me { orders(first: 5) { edges { node { sessions { reason } } } } } }',
          {},
          token,
        );
        const reasons = me.orders.edges.flatMap(({ node }) => node.sessions.map(({ reason }) => reason));
        return reasons.join() === 'expired,replaced';
      },
      { timeout: 20_000, interval: 500 },
    );
    await page.close();
  });
});
