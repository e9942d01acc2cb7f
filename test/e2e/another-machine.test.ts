/** The viewer on one host, the servers on another: by UDP, and by TCP where UDP does not get through. */
import { rm } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { selfSignedCertFile } from '../../plugin/tls.ts';
import {
  buyAndWatch,
  findBrowser,
  framesDecoded,
  inboundTotals,
  launchBrowser,
  mediaWay,
} from '../support/browser.ts';
import { connectTwoHosts, type TwoHosts } from '../support/namespaces.ts';
import {
  DEMO_PATH,
  publishTestCard,
  stackEnvironment,
  startProcess,
  type Encoder,
  type RunningProcess,
  type StackEnvironment,
} from '../support/stack.ts';

const [LOGIN = { email: '', password: '' }] = DEMO_LOGINS;

let hosts: TwoHosts;
let environment: StackEnvironment;
let order: RunningProcess;
let media: RunningProcess;
let encoder: Encoder;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  hosts = await connectTwoHosts();
  const { server, viewer } = hosts;
  environment = await stackEnvironment((orderPort, mediaPort) => ({
    orderUrl: `https://${server.ipv4}:${String(orderPort)}`,
    mediaUrl: `https://${server.ipv4}:${String(mediaPort)}`,
  }));
  // As README says for another machine; and IPv6 beside it.
  const env = {
    ...environment.env,
    USHER_TLS: 'self-signed',
    USHER_HOST: '::',
    USHER_MEDIA_HOST: '::',
    USHER_RTC_IP: '0.0.0.0,::',
    USHER_RTC_ANNOUNCED_ADDRESS: `${server.ipv4},${server.ipv6}`,
    NODE_EXTRA_CA_CERTS: selfSignedCertFile(environment.dataDir),
  };
  const node = await server.wrapperOf(process.execPath);
  order = await startProcess('admin/main.ts', env, node);
  media = await startProcess('plugin/main.ts', env, node);
  const { streamKey } = order.ready.demo as { streamKey: string };
  const rtmp = `rtmp://127.0.0.1:${String(environment.rtmpPort)}${DEMO_PATH}?key=${streamKey}`;
  encoder = publishTestCard(rtmp, { enter: server.enter });
  browser = await launchBrowser(await viewer.wrapperOf(findBrowser()));
  // Nobody has signed the certificate: the viewer accepts it, once.
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: 1280, height: 800 },
  });
  page = await context.newPage();
});
afterAll(async () => {
  await browser.close();
  await encoder.stop();
  await Promise.all([order.stop(), media.stop()]);
  await hosts.close();
  await rm(environment.dataDir, { recursive: true, force: true });
});

it('a viewer on another host buys and watches, by UDP', async () => {
  await buyAndWatch(page, environment.orderUrl, LOGIN);
  await framesDecoded(page, 30);
  expect(await mediaWay(page)).toMatchObject({ protocol: 'udp', remoteAddress: hosts.server.ipv4 });
});

it('where UDP gets through no more it goes on by TCP: by itself, or in the next viewing', async () => {
  hosts.server.dropUdp();
  // Chromium tries its other candidates; if the server misses it for longer than that takes, the viewing ends, and the
  // viewer decides, since the ticket counts accesses.
  const ended = page.getByTestId('status').filter({ hasText: 'Ended' });
  await expect
    .poll(
      async () => {
        if (await ended.isVisible()) await page.getByTestId('play').click();
        return mediaWay(page).catch(() => null);
      },
      { timeout: 90_000, interval: 500 },
    )
    .toMatchObject({ protocol: 'tcp', remoteAddress: hosts.server.ipv4 });
  const { framesDecoded: frames } = await inboundTotals(page);
  await framesDecoded(page, frames + 30);
});
