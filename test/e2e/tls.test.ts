/** With a certificate: passes and media travel encrypted, by HTTPS-FLV and by RTMPS. */
import { readFile, rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { selfSignedCertFile } from '../../plugin/tls.ts';
import { httpsAsker, type HttpsAsk } from '../support/https-ask.ts';
import { buy, offersOf, proofFor, signIn, type Purchase } from '../support/shop.ts';
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

let environment: StackEnvironment;
let order: RunningProcess;
let media: RunningProcess;
let encoder: Encoder;
let ask: HttpsAsk;
let mediaUrl: string;
let purchase: Purchase;

beforeAll(async () => {
  environment = await stackEnvironment();
  const { env, orderUrl, dataDir, rtmpPort } = environment;
  order = await startProcess('admin/main.ts', env);
  media = await startProcess('plugin/main.ts', { ...env, USHER_TLS: 'self-signed' });
  mediaUrl = environment.mediaUrl.replace('http:', 'https:');
  ask = httpsAsker(await readFile(selfSignedCertFile(`${dataDir}/media`), 'utf8'));
  const { streamKey } = order.ready.demo as { streamKey: string };
  encoder = publishTestCard(`rtmp://127.0.0.1:${String(rtmpPort)}${DEMO_PATH}?key=${streamKey}`);
  const [viewer] = DEMO_LOGINS;
  const offer = (await offersOf(orderUrl, DEMO_PATH)).get('24 hours');
  if (viewer === undefined || offer === undefined) throw new Error('no demo');
  purchase = await buy(orderUrl, offer.id, await signIn(orderUrl, viewer));
});
afterAll(async () => {
  await encoder.stop();
  await Promise.all([order.stop(), media.stop()]);
  await rm(environment.dataDir, { recursive: true, force: true });
});

async function mint(url: string): Promise<Record<string, string>> {
  const { nonce } = await ask(url, 'OPTIONS');
  const headers = {
    'content-type': 'application/json',
    authorization: `DPoP ${purchase.ticket}`,
    dpop: await proofFor(purchase, { method: 'POST', url, nonce }),
  };
  const { status, body } = await ask(url, 'POST', headers, JSON.stringify({ uri: DEMO_PATH }));
  expect(status, body).toBe(201);
  return (JSON.parse(body) as { urls: Record<string, string> }).urls;
}

/** The ticket is for one screen at a time, and the one before may not be accounted for yet. */
async function isPlayable(url: string | undefined): Promise<void> {
  const play = async (): Promise<number | null> => {
    const player = runFfmpeg(['-i', url ?? '', '-map', '0:v', '-map', '0:a', '-t', '1', '-f', 'null', '-']);
    return player.exited;
  };
  await expect.poll(play, { timeout: 20_000, interval: 500 }).toBe(0);
}

it('the media server gives passes for URLs with TLS, which play', async () => {
  const urls = await mint(`${mediaUrl}/pass`);
  const { USHER_NMS_HTTPS_PORT, USHER_RTMPS_PORT, USHER_RTSPS_PORT } = environment.env;
  const bases = Object.fromEntries(
    Object.entries(urls).map(([name, url]) => [name, url.slice(0, url.indexOf('/live/'))]),
  );
  expect(bases).toEqual({
    'http-flv': `https://localhost:${String(USHER_NMS_HTTPS_PORT)}`,
    'ws-flv': `wss://localhost:${String(USHER_NMS_HTTPS_PORT)}`,
    rtmp: `rtmps://localhost:${String(USHER_RTMPS_PORT)}`,
    rtsp: `rtsps://localhost:${String(USHER_RTSPS_PORT)}`,
  });
  await isPlayable(urls['http-flv']);
});

it('node-media-server’s own listener gives them as well, and RTMPS plays', async () => {
  const { rtmp } = await mint(`https://localhost:${String(environment.env.USHER_NMS_HTTPS_PORT)}/pass`);
  await isPlayable(rtmp);
});
