/**
 * Everything over IPv6: addresses in brackets, from the shop's page to the media. On a host of its own that has IPv6 and
 * a way to the world: without one a browser takes no IPv6 address for media.
 */
import { rm } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import {
  buyAndWatch,
  findBrowser,
  framesDecoded,
  launchBrowser,
  mediaWay,
  stopWatching,
} from '../support/browser.ts';
import { connectTwoHosts, type TwoHosts } from '../support/namespaces.ts';
import {
  DEMO_PATH,
  publishTestCard,
  runFfmpeg,
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
  const { server } = hosts;
  environment = await stackEnvironment((orderPort, mediaPort) => ({
    orderUrl: `http://[::1]:${String(orderPort)}`,
    mediaUrl: `http://[::1]:${String(mediaPort)}`,
  }));
  const env = { ...environment.env, USHER_HOST: '::1', USHER_MEDIA_HOST: '::1', USHER_RTC_IP: '::1' };
  const node = await server.wrapperOf(process.execPath);
  order = await startProcess('admin/main.ts', env, node);
  media = await startProcess('plugin/main.ts', env, node);
  const { streamKey } = order.ready.demo as { streamKey: string };
  const rtmp = `rtmp://[::1]:${String(environment.rtmpPort)}${DEMO_PATH}?key=${streamKey}`;
  encoder = publishTestCard(rtmp, { enter: server.enter });
  browser = await launchBrowser(await server.wrapperOf(findBrowser()));
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
});
afterAll(async () => {
  await browser.close();
  await encoder.stop();
  await Promise.all([order.stop(), media.stop()]);
  await hosts.close();
  await rm(environment.dataDir, { recursive: true, force: true });
});

it('a viewer buys and watches', async () => {
  await buyAndWatch(page, environment.orderUrl, LOGIN);
  await framesDecoded(page, 30);
  expect(await mediaWay(page)).toMatchObject({ protocol: 'udp', remoteAddress: '::1' });
  await stopWatching(page);
});

it.each([
  ['HTTP-FLV', () => `http://[::1]:${String(environment.httpFlvPort)}${DEMO_PATH}.flv?pass=`],
  ['RTMP', () => `rtmp://[::1]:${String(environment.rtmpPort)}${DEMO_PATH}?pass=`],
])('the %s address with a pass has brackets, and plays', async (label, base) => {
  const panel = page.getByTestId('elsewhere');
  if ((await panel.getAttribute('open')) === null) await panel.locator('summary').click();
  const address = page.getByLabel(`${label} address`, { exact: true });
  // The ticket is for one screen at a time, and the one before may not be accounted for yet.
  const play = async (): Promise<number | null> => {
    await page.getByTestId('get-pass').click();
    await page.getByTestId('pass-left').waitFor();
    const url = await address.inputValue();
    expect(url.startsWith(base()), url).toBe(true);
    const args = ['-i', url, '-map', '0:v', '-map', '0:a', '-t', '1', '-f', 'null', '-'];
    return runFfmpeg(args, hosts.server.enter).exited;
  };
  await expect.poll(play, { timeout: 30_000, interval: 500 }).toBe(0);
});
