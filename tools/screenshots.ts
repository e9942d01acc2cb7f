/**
 * Pictures of the player's shop and of GraphiQL for the documents: `node tools/screenshots.ts [FOLDER]`, docs/img when
 * none is named. The player must be built (`node player-demo/build.ts`); Chromium shows them at two pixels a point.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BrowserContext, Page } from 'playwright-core';
import { DEMO_LOGINS } from '../admin/seed.ts';
import { launchBrowser } from '../test/support/browser.ts';
import { startOrderServer } from '../test/support/order-server.ts';
import { freePorts, runFfmpeg } from '../test/support/stack.ts';

const WIDTH = 1120;
const HEIGHT = 760;
/** 256 colours are enough for a page, and a third of the bytes. */
const PALETTE =
  'split[a][b];[a]palettegen=max_colors=256:reserve_transparent=0[p];[b][p]paletteuse=dither=none';

const QUERY = `{
  me {
    name
    balances { amountMinor currency }
    orders(first: 2) {
      edges {
        node {
          name
          state
          price { amountMinor currency }
          history { to by at }
        }
      }
    }
  }
}`;

async function save(page: Page, file: string): Promise<void> {
  const full = `${file}.full.png`;
  await page.screenshot({ path: full, clip: { x: 0, y: 0, width: WIDTH, height: HEIGHT } });
  const reducing = runFfmpeg(['-y', '-i', full, '-filter_complex', PALETTE, file]);
  if ((await reducing.exited) !== 0) throw new Error(reducing.stderr());
  await rm(full);
}

async function signIn(page: Page, url: string): Promise<void> {
  const [login] = DEMO_LOGINS;
  await page.goto(`${url}/#/sign-in`);
  await page.getByLabel(/e-?mail/i).fill(login?.email ?? '');
  await page.getByLabel(/password/i).fill(login?.password ?? '');
  await page.getByRole('button', { name: /sign in/i }).click();
  await page.getByTestId('sign-out').waitFor();
}

/** What is to be bought, and a card to pay with. */
async function shop(page: Page, file: string): Promise<void> {
  await page.getByTestId('title-card').filter({ hasText: 'Usher One' }).click();
  await page.getByLabel('Pay with').selectOption({ label: 'Slow card' });
  await page.getByTestId('card-note').waitFor();
  await save(page, file);
}

/** Buys something, for the pages that show what was bought. */
async function buy(page: Page, url: string, title: string, offer: RegExp, payWith: string): Promise<void> {
  await page.goto(`${url}/#/`);
  await page.getByTestId('title-card').filter({ hasText: title }).click();
  await page.getByLabel('Pay with').selectOption({ label: payWith });
  await page.getByRole('button', { name: offer }).click();
  await page.getByTestId('ticket').waitFor();
}

/** What was ordered, and what it has cost. */
async function account(page: Page, url: string, file: string): Promise<void> {
  await page.goto(`${url}/#/account`);
  await page.getByTestId('own-orders').locator('summary').first().click();
  await page.getByTestId('statement').waitFor();
  await save(page, file);
}

async function graphiql(page: Page, url: string, file: string): Promise<void> {
  await page.goto(`${url}/graphql?query=${encodeURIComponent(QUERY)}`);
  await page.getByRole('button', { name: 'Execute query' }).click();
  await page.getByText('ticketed', { exact: false }).first().waitFor();
  await save(page, file);
}

async function take(context: BrowserContext, url: string, folder: string): Promise<void> {
  const page = await context.newPage();
  await signIn(page, url);
  await shop(page, join(folder, 'shop.png'));
  await buy(page, url, 'Evening show', /Tonight/, 'Your balance');
  await buy(page, url, 'Usher One', /24 hours/, 'Slow card');
  await account(page, url, join(folder, 'account.png'));
  await graphiql(page, url, join(folder, 'graphiql.png'));
}

const folder = process.argv[2] ?? fileURLToPath(new URL('../docs/img', import.meta.url));
const [port = 0] = await freePorts(1);
const url = `http://localhost:${String(port)}`;
const [server, browser] = await Promise.all([startOrderServer({ port, publicUrl: url }), launchBrowser()]);
try {
  const context = await browser.newContext({
    viewport: { width: WIDTH, height: 1000 },
    deviceScaleFactor: 2,
    colorScheme: 'light',
    reducedMotion: 'reduce',
    locale: 'en-GB',
    timezoneId: 'UTC',
  });
  await take(context, url, folder);
} finally {
  await browser.close();
  await server.close();
}
