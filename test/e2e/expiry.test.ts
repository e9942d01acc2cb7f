/** A ticket's end is the end of its media, on the browser's side of the wire. */
import { decodeJwt } from 'jose';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { connectAndHold, lastArrivalMs } from '../support/whep-page.ts';
import { launchBrowser } from '../support/browser.ts';
import {
  buy,
  createOffer,
  createStreamKeyFor,
  createTitleWithOffer,
  fetchNonce,
  fingerprintOf,
  graphql,
  proofFor,
  signIn,
  type Purchase,
  type StaffOffer,
} from '../support/shop.ts';
import { OFFERS } from '../plugin/media/offers/index.ts';
import { publishTestCard, startStack, type Encoder, type Stack } from '../support/stack.ts';

const PATH = '/live/short';
let stack: Stack;
let browser: Browser;
let encoder: Encoder;
let staff: string;
let titleId: string;

beforeAll(async () => {
  [stack, browser] = await Promise.all([startStack(), launchBrowser()]);
  const login = DEMO_LOGINS.find(({ role }) => role === 'admin');
  if (login === undefined) throw new Error('no staff');
  staff = await signIn(stack.orderUrl, login);
  ({ titleId } = await createTitleWithOffer(stack.orderUrl, staff, PATH));
  encoder = publishTestCard(stack.publishUrl(PATH, await createStreamKeyFor(stack.orderUrl, staff, titleId)));
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

const newOffer = (offer: StaffOffer): Promise<string> => createOffer(stack.orderUrl, staff, titleId, offer);

/** Buys the offer and plays it in a page until nothing has come for two seconds; `watching` runs once it plays. */
async function watchToTheEnd(
  offerId: string,
  watching?: (purchase: Purchase, page: Page) => Promise<void>,
): Promise<{ expMs: number; firstMs: number; lastMs: number }> {
  const purchase = await buy(stack.orderUrl, offerId);
  const page = await browser.newPage();
  await page.goto(`${stack.mediaUrl}/healthz`);
  await page.exposeFunction('proofFor', async (sdp: string) =>
    proofFor(
      purchase,
      { method: 'POST', url: purchase.whepUrl, nonce: await fetchNonce(purchase.whepUrl) },
      { fingerprint: fingerprintOf(sdp) },
    ),
  );
  const firstMs = await page.evaluate(connectAndHold, { url: purchase.whepUrl, ticket: purchase.ticket });
  await watching?.(purchase, page);
  const lastMs = await page.evaluate(lastArrivalMs);
  await page.close();
  return { expMs: (decodeJwt(purchase.ticket).exp ?? 0) * 1000, firstMs, lastMs };
}

describe('media ends', () => {
  it('within a second of the ticket’s expiry, and not before', async () => {
    const { expMs, lastMs } = await watchToTheEnd(await newOffer({ validSeconds: 10 }));
    expect(lastMs - expMs).toBeGreaterThan(-1000);
    expect(lastMs - expMs).toBeLessThan(1000);
  });

  it('within a second of used-up seconds', async () => {
    const { firstMs, lastMs } = await watchToTheEnd(await newOffer({ rights: { seconds: 5 } }));
    expect((lastMs - firstMs) / 1000).toBeGreaterThan(4);
    expect((lastMs - firstMs) / 1000).toBeLessThan(6);
  });

  it('within a second of the revocation of its ticket, which is then refused', async () => {
    let revokedMs = 0;
    const { lastMs } = await watchToTheEnd(await newOffer({}), async (purchase, page) => {
      await page.waitForFunction(() => globalThis.arrivals.lastMs - globalThis.arrivals.firstMs > 2000);
      revokedMs = Date.now();
      const { jti } = decodeJwt(purchase.ticket);
      await graphql(
        stack.orderUrl,
        'mutation ($id: ID!) { revokeTicket(id: $id, reason: "test") { __typename } }',
        { id: jti },
        staff,
      );
      await vi.waitFor(async () => {
        const refused = await fetch(purchase.whepUrl, {
          method: 'POST',
          headers: { 'content-type': 'application/sdp', authorization: `DPoP ${purchase.ticket}` },
          body: OFFERS.chromium,
        });
        expect(await refused.json()).toMatchObject({ code: 'ticket_revoked', status: 403 });
      });
    });
    expect(lastMs - revokedMs).toBeGreaterThan(-200);
    expect(lastMs - revokedMs).toBeLessThan(1000);
  });
});
