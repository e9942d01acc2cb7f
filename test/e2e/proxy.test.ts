/** Behind a real nginx and a real Caddy, by the examples' configuration: everything under one name, one certificate and a path. */
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { loadTls, selfSignedCertFile, type Tls } from '../../plugin/tls.ts';
import {
  buyAndWatch,
  framesDecoded,
  inboundTotals,
  launchBrowser,
  stopWatching,
} from '../support/browser.ts';
import { startProxy, type Proxy, type ProxyName, type ProxyOptions } from '../support/proxies.ts';
import { graphql, signIn } from '../support/shop.ts';
import {
  DEMO_PATH,
  freePorts,
  publishTestCard,
  runFfmpeg,
  stackEnvironment,
  startProcess,
  type Encoder,
  type RunningProcess,
  type StackEnvironment,
} from '../support/stack.ts';

const [LOGIN = { email: '', password: '' }] = DEMO_LOGINS;
const STAFF = DEMO_LOGINS.find(({ email }) => email.startsWith('staff')) ?? LOGIN;

let environment: StackEnvironment;
let base: string;
let proxyOptions: ProxyOptions;
let env: NodeJS.ProcessEnv;
let tls: Tls | null;
let order: RunningProcess;
let media: RunningProcess | undefined;
let encoder: Encoder;
let browser: Browser;

beforeAll(async () => {
  const [httpPort = 0, httpsPort = 0] = await freePorts(2);
  base = `https://localhost:${String(httpsPort)}/usher`;
  environment = await stackEnvironment(() => ({ orderUrl: base, mediaUrl: `${base}/media` }));
  const folder = join(environment.dataDir, 'proxy');
  tls = await loadTls({ mode: 'self-signed', dataDir: folder });
  const certificate = selfSignedCertFile(folder);
  env = {
    ...environment.env,
    USHER_TRUSTED_PROXIES: '1',
    USHER_FLV_PUBLIC_URL: `${base}/flv`,
    NODE_EXTRA_CA_CERTS: certificate,
  };
  proxyOptions = {
    ...{ folder, httpPort, httpsPort, certificate, key: join(folder, 'tls', 'key.pem') },
    orderPort: String(env.USHER_PORT),
    mediaPort: String(env.USHER_MEDIA_PORT),
    flvPort: String(env.USHER_NMS_HTTP_PORT),
  };
  [order, browser] = await Promise.all([startProcess('admin/main.ts', env), launchBrowser()]);
});
afterAll(async () => {
  await browser.close();
  await encoder.stop();
  await Promise.all([order.stop(), media?.stop()]);
  await rm(environment.dataDir, { recursive: true, force: true });
});

/** It asks the order server through the proxy, as on another machine. */
async function startMedia(): Promise<RunningProcess> {
  const started = await startProcess('plugin/main.ts', env);
  const { streamKey } = order.ready.demo as { streamKey: string };
  encoder = publishTestCard(`rtmp://127.0.0.1:${String(environment.rtmpPort)}${DEMO_PATH}?key=${streamKey}`);
  return started;
}

describe.each<ProxyName>(['nginx', 'Caddy'])('behind %s', (name) => {
  let proxy: Proxy;
  let context: BrowserContext;
  let page: Page;

  beforeAll(async () => {
    proxy = await startProxy(name, proxyOptions);
    media ??= await startMedia();
    context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 900 } });
    page = await context.newPage();
  });
  afterAll(async () => {
    await context.close();
    await proxy.stop();
  });

  const ask = (path: string, headers: Record<string, string> = {}) =>
    context.request.get(`${base}${path}`, { headers, maxRedirects: 0 });

  it('a viewer buys and watches', async () => {
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await buyAndWatch(page, base, LOGIN);
    await framesDecoded(page, 30);
    expect(asked.filter((url) => !url.startsWith(`${base}/`))).toEqual([]);
    expect(asked).toContain(`${base}/media/whep${DEMO_PATH}`);
  });

  it('the cookie of the shop is for its path', async () => {
    const cookies = await context.cookies(`${base}/`);
    expect(cookies).toMatchObject([
      { name: '__Secure-usher_session', path: '/usher/', secure: true, sameSite: 'Strict' },
    ]);
  });

  it.each<[string, number]>([
    ['/', 200],
    ['', 308],
    ['/.well-known/jwks.json', 200],
    ['/metrics', 404],
    ['/media/metrics', 404],
    ['/flv/metrics', 404],
    ['/media/healthz', 404],
    ['/flv/live/demo.flv', 401],
  ])('%s is answered %i', async (path, status) => {
    expect((await ask(path)).status()).toBe(status);
  });

  it('GraphiQL has its API beside it', async () => {
    const graphiql = await context.newPage();
    const answered = graphiql.waitForResponse((response) => response.request().method() === 'POST');
    await graphiql.goto(`${base}/graphql`);
    expect((await answered).url()).toBe(`${base}/graphql`);
    expect((await answered).status()).toBe(200);
    await graphiql.close();
  });

  /** The newest address with a pass, as the player shows it. */
  async function newAddress(): Promise<string> {
    const panel = page.getByTestId('elsewhere');
    if ((await panel.getAttribute('open')) === null) await panel.locator('summary').click();
    await page.getByTestId('get-pass').click();
    await page.getByTestId('pass-left').waitFor();
    return page.getByLabel('HTTP-FLV address', { exact: true }).inputValue();
  }

  it('FLV plays by HTTP, with a pass and the proxy’s certificate', async () => {
    await stopWatching(page);
    // The ticket is for one screen at a time, and the one before may not be accounted for yet.
    const play = async (): Promise<number | null> => {
      const url = await newAddress();
      expect(url.startsWith(`${base}/flv${DEMO_PATH}.flv?pass=`), url).toBe(true);
      return runFfmpeg(['-i', url, '-map', '0:v', '-map', '0:a', '-t', '1', '-f', 'null', '-']).exited;
    };
    await expect.poll(play, { timeout: 30_000, interval: 500 }).toBe(0);
  });

  it('FLV plays by WebSocket', async () => {
    const play = async (): Promise<string> => {
      const url = (await newAddress()).replace(/^https/, 'wss');
      const webSocket = new WebSocket(url, { ca: tls?.cert });
      const closed = once(webSocket, 'close').then(([code]) => `closed ${String(code)}`);
      const first = once(webSocket, 'message').then(([data]) => (data as Buffer).toString('latin1', 0, 3));
      const outcome = await Promise.race([first, closed]);
      webSocket.terminate();
      return outcome;
    };
    await expect.poll(play, { timeout: 30_000, interval: 500 }).toBe('FLV');
  });

  it('what staff take back ends within moments: the feed is not held back on its way', async () => {
    // The ticket's one screen may not be accounted for as free yet.
    const tryAgain = async (): Promise<number> => {
      const play = page.getByTestId('play');
      if (await play.isVisible()) await play.click();
      return (await inboundTotals(page)).framesDecoded;
    };
    await expect.poll(tryAgain, { timeout: 60_000, interval: 1000 }).toBeGreaterThan(10);
    // At the order server itself: whatever staff ask through a proxy is not what is looked at here.
    const direct = `http://127.0.0.1:${String(environment.env.USHER_PORT)}/usher`;
    const { me } = await graphql<{ me: { orders: { edges: { node: { tickets: { id: string }[] } }[] } } }>(
      direct,
      '{ me { orders(first: 1) { edges { node { tickets { id } } } } } }',
      {},
      await signIn(direct, LOGIN),
    );
    const id = me.orders.edges[0]?.node.tickets[0]?.id;
    const ended = page.getByTestId('status').filter({ hasText: 'Ended' }).waitFor({ timeout: 10_000 });
    await graphql(
      direct,
      'mutation ($id: ID!) { revokeTicket(id: $id, reason: "test") { __typename } }',
      { id },
      await signIn(direct, STAFF),
    );
    // In a buffer of the proxy's the entry would wait for 4 KiB of heartbeats.
    await ended;
  });

  it('the proxy’s log has no pass and no session URL in it', async () => {
    const log = await proxy.log();
    if (name === 'nginx') expect(log).toContain('"GET /usher/flv/live/demo.flv" 200');
    expect(log).not.toMatch(/ps_|pass=|session\/[A-Za-z0-9]/);
  });
});
