/** A viewer who has forgotten the password, in a browser: from the sign-in page by mail to a new one. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { useShopSite } from '../support/shop-page.ts';

const EMAIL = 'viewer@example.com';

const site = useShopSite();

async function mailedLink(): Promise<string> {
  const directory = join(site.server.dataDir, 'mail');
  const names = await readdir(directory).catch(() => []);
  const texts = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')));
  const link = new RegExp(`${site.url}/#/reset/[A-Za-z0-9_-]{43}`).exec(
    texts.join('\n').replaceAll('=\r\n', ''),
  );
  return link?.[0] ?? '';
}

it('chooses a new password by the link of a mail, once', async () => {
  const page = await site.browser.newPage();
  await page.goto(`${site.url}/#/sign-in`);
  await page.getByRole('link', { name: 'Forgotten your password?' }).click();
  await page.getByLabel('E-mail').fill(EMAIL);
  await page.getByRole('button', { name: 'Mail me a link' }).click();
  await page.getByText('a mail is on its way').waitFor();
  await expect.poll(mailedLink, { timeout: 20_000 }).not.toBe('');
  const link = await mailedLink();

  // Servers are never told the token: it is in the fragment.
  const asked: string[] = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(link);
  await page.getByLabel('New password').fill('a new password');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Your password is changed').waitFor();
  expect(asked.filter((each) => each.includes('reset'))).toEqual([]);

  await page.getByRole('main').getByRole('link', { name: 'Sign in' }).click();
  await page.getByLabel('E-mail').fill(EMAIL);
  await page.getByLabel('Password').fill('a new password');
  await page.getByTestId('sign-in-form').getByRole('button', { name: 'Sign in' }).click();
  await expect
    .poll(async () => (await page.context().cookies(site.url)).map(({ name }) => name))
    .toEqual(['usher_session']);

  await page.goto(`${site.url}/#/`);
  await page.goto(link);
  await page.getByLabel('New password').fill('yet another one');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('This link was used, or is too old').waitFor();
});
