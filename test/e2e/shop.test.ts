/** The player's shop and account in a browser. Nothing is played, so that no media server is needed. */
import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import type { Json } from '../support/order-server.ts';
import { useShopSite } from '../support/shop-page.ts';

const [LOGIN, SECOND] = DEMO_LOGINS;

const site = useShopSite();
let page: Page;
beforeEach(async () => {
  const context = await site.browser.newContext({ viewport: { width: 1280, height: 900 } });
  page = await context.newPage();
});
afterEach(() => page.context().close());

async function signIn(login = LOGIN): Promise<void> {
  await page.goto(`${site.url}/#/sign-in`);
  await page.getByLabel(/e-?mail/i).fill(login?.email ?? '');
  await page.getByLabel(/password/i).fill(login?.password ?? '');
  await page.getByRole('button', { name: /sign in/i }).click();
  await page.getByTestId('sign-out').waitFor();
}

const openShow = (): Promise<void> =>
  page.getByTestId('title-card').filter({ hasText: 'Evening show' }).click();

interface Sold {
  readonly state: string;
  readonly provider: string | undefined;
}

/** The viewer's orders, newest first. */
async function sold(): Promise<Sold[]> {
  const { data } = await site.server.graphql(
    '{ me { orders(first: 100) { edges { node { state payment { provider } } } } } }',
    {},
    await site.server.tokenOf('viewer'),
  );
  const edges = data?.['me']?.['orders']?.['edges'] as unknown as { node: Json }[];
  return edges.map(({ node }) => ({
    state: String(node['state']),
    provider: (node['payment'] as Json | null)?.['provider'] as string | undefined,
  }));
}

const buy = (): Promise<void> => page.getByRole('button', { name: /Tonight/ }).click();
const payWith = async (card: string): Promise<void> => {
  await page.getByLabel('Pay with').selectOption({ label: card });
};

describe('a viewer pays by card', () => {
  beforeEach(async () => {
    await signIn();
    await openShow();
  });

  it('that is said to be a test, and asks for no number', async () => {
    await payWith('Card that works');
    await expect.poll(() => page.getByTestId('card-note').textContent()).toMatch(/no money moves/);
    expect(await page.locator('input[autocomplete^="cc-"], input[inputmode="numeric"]').count()).toBe(0);
    await buy();
    await page.getByTestId('ticket').waitFor();
    expect((await sold())[0]).toEqual({ state: 'ticketed', provider: 'test_card' });
  });

  it('that takes its time: the page says so, and has the ticket by itself', async () => {
    const before = (await sold()).length;
    await payWith('Slow card');
    await buy();
    await page.getByTestId('order-note').getByText('is being checked').waitFor();
    await page.getByTestId('ticket').waitFor();
    expect(await page.getByTestId('order-note').textContent()).toBe('');
    expect((await sold()).length).toBe(before + 1);
  });

  it.each(['Declined card', 'Slow card, declined'])(
    '%s: nothing is charged, and it says so',
    async (card) => {
      await payWith(card);
      await buy();
      await page.getByTestId('order-error').getByText('The payment was declined').waitFor();
      expect(await page.getByTestId('ticket').count()).toBe(0);
      expect((await sold())[0]).toEqual({ state: 'failed', provider: 'test_card' });
    },
  );

  it('and whose answers are lost is charged once, though he orders again after a reload', async () => {
    const before = (await sold()).length;
    let lost = 0;
    await page.route('**/graphql', async (route) => {
      if (!(route.request().postData() ?? '').includes('PlaceOrder')) return route.continue();
      lost++;
      await route.fetch(); // The shop has it; the answer does not come.
      await route.abort();
    });
    await payWith('Card that works');
    await buy();
    await page.getByTestId('order-error').getByText('cannot be reached').waitFor();
    expect(lost).toBe(3);
    await page.unroute('**/graphql');
    await page.reload();
    // He does not choose the card again: the shop knows the order.
    await buy();
    await page.getByTestId('ticket').waitFor();
    expect((await sold()).length).toBe(before + 1);
    expect((await sold())[0]).toEqual({ state: 'ticketed', provider: 'test_card' });
  });
});

describe('the page of the account', () => {
  it('shows an order with its history, and takes it back by keyboard alone', async () => {
    await signIn(SECOND);
    await openShow();
    await buy();
    await page.getByTestId('ticket').waitFor();
    await page.getByRole('link', { name: 'Account' }).click();
    const order = page.getByTestId('own-orders').locator('details').first();
    await order.locator('summary').focus();
    await page.keyboard.press('Enter');
    expect(await order.getByLabel('History').locator('li span').allTextContents()).toEqual([
      'Ordered · by you',
      'Payment authorized',
      'Ticket issued',
    ]);
    page.once('dialog', (dialog) => void dialog.accept());
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await order.getByText('Taken back').first().waitFor();
    const lines = page.getByTestId('statement').locator('tbody th');
    await expect
      .poll(() => lines.allTextContents())
      .toEqual(['No longer held', 'Held for an order', 'Credit by the shop']);
    await page.goto(`${site.url}/#/`);
    await openShow();
    await page.getByRole('button', { name: /Tonight/ }).waitFor();
    expect(await page.getByTestId('ticket').count()).toBe(0);
  });

  it('signs out the others, and changes the password', async () => {
    const next = 'another-password-2';
    const token = await site.server.tokenOf('second');
    await signIn(SECOND);
    await page.getByRole('link', { name: 'Account' }).click();
    const sessions = page.getByTestId('sessions').locator('li');
    await page.getByRole('button', { name: 'Sign out everywhere else' }).click();
    await expect.poll(() => sessions.count()).toBe(1);
    expect(await sessions.textContent()).toMatch(/Chrome on Linux.*This one/);
    expect((await site.server.graphql('{ me { name } }', {}, token)).data?.['me']).toBeNull();

    await page.getByLabel('Current password').fill('not the password');
    await page.getByLabel('New password').fill(next);
    await page.getByRole('button', { name: 'Change password' }).click();
    await page.getByText('The current password is not right.').waitFor();
    await page.getByLabel('Current password').fill(SECOND?.password ?? '');
    await page.getByRole('button', { name: 'Change password' }).click();
    await page.getByText('Your password is changed').waitFor();
    await page.getByTestId('sign-out').click();
    await page.getByTestId('sign-in-link').waitFor();
    await signIn(SECOND === undefined ? undefined : { ...SECOND, password: next });
  });
});
