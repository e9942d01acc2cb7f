/** The order server behind a reverse proxy that has put it under a path, and passes paths on as they are. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { startOrderServer, type TestOrderServer } from '../support/order-server.ts';

const PUBLIC_URL = 'https://example.com/usher/shop';
const BASE = '/usher/shop';

let server: TestOrderServer;
beforeAll(async () => {
  server = await startOrderServer({ publicUrl: PUBLIC_URL });
});
afterAll(() => server.close());

const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(server.url + path, { headers, redirect: 'manual' });

const isBuilt = existsSync(new URL('../../player-demo/dist/index.html', import.meta.url));

it.each<[string, number]>([
  [`${BASE}/.well-known/jwks.json`, 200],
  [`${BASE}/`, isBuilt ? 200 : 503],
  [`${BASE}/app.js`, isBuilt ? 200 : 503],
  [`${BASE}/nothing`, 404],
  [`${BASE}//`, 400],
  ['/.well-known/jwks.json', 404],
  ['/graphql', 404],
  ['/', 404],
  ['/usher/shopping/', 404],
  ['/usher', 404],
  ['/healthz', 200],
  ['/readyz', 200],
  ['/metrics', 200],
  [`${BASE}/healthz`, 404],
  [`${BASE}/metrics`, 404],
])('%s is answered %i', async (path, status) => {
  const response = await get(path);
  expect(response.status).toBe(status);
  await response.body?.cancel();
});

it('sends a page without the last slash to the one with it, since its files are named relative to it', async () => {
  const response = await get(BASE);
  expect(response.status).toBe(308);
  expect(response.headers.get('location')).toBe(`${PUBLIC_URL}/`);
});

it('GraphiQL asks the API under the path', async () => {
  const html = await (await get(`${BASE}/graphql`, { accept: 'text/html' })).text();
  expect(html).toContain(`${BASE}/graphql`);
});

it('takes operations of its own origin, and sets a cookie for its own path', async () => {
  const [login] = DEMO_LOGINS;
  const response = await fetch(`${server.url}${BASE}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: 'https://example.com' },
    body: JSON.stringify({
      query:
        'mutation ($email: String!, $password: String!) { signIn(email: $email, password: $password) { account { email } } }',
      variables: { email: login?.email, password: login?.password },
    }),
  });
  expect(response.status).toBe(200);
  const cookie = response.headers.get('set-cookie') ?? '';
  expect(cookie).toMatch(/; Path=\/usher\/shop\/(?:;|$)/);
  expect(cookie).toContain('Secure');
});

it('counts requests by route, without the path before it', async () => {
  const metrics = await (await get('/metrics')).text();
  expect(metrics).toMatch(/route="\/\.well-known\/jwks\.json",status="200"/);
  expect(metrics).not.toContain(BASE);
});
