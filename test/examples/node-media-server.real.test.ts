/** The example as it is, as its own process, with an order server in another: buy, publish, play, be billed, stop. */
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  openExampleShop,
  splitExample,
  startExample,
  type ExampleApp,
  type ExampleShop,
  type Usage,
} from '../support/example.ts';
import { buy, createStreamKeyFor, fetchNonce, graphql, proofFor, type Purchase } from '../support/shop.ts';
import { publishTestCard, runFfmpeg, type Encoder } from '../support/stack.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const APP = 'examples/node-media-server/app.mjs';
const CONFIG = 'examples/node-media-server/config.json';
const STREAM = '/live/example';

let shop: ExampleShop;
let app: ExampleApp;
let encoder: Encoder | undefined;
let flvUrl: string;
let rtmpUrl: string;
let streamKey: string;
let purchase: Purchase;

beforeAll(async () => {
  shop = await openExampleShop(STREAM);
  const { dataDir, orderUrl, rtmpPort, httpFlvPort } = shop;
  flvUrl = `http://127.0.0.1:${String(httpFlvPort)}`;
  rtmpUrl = `rtmp://127.0.0.1:${String(rtmpPort)}`;

  const config = JSON.parse(await readFile(join(ROOT, CONFIG), 'utf8')) as Record<string, unknown>;
  const own = { bind: '127.0.0.1', rtmp: { port: rtmpPort }, http: { port: httpFlvPort } };
  const configFile = join(dataDir, 'nms.json');
  await writeFile(configFile, JSON.stringify({ ...config, ...own, store: { path: join(dataDir, 'nms') } }));
  app = await startExample(APP, shop, {
    args: [configFile],
    env: { USHER_FLV_PUBLIC_URL: flvUrl, USHER_RTMP_PUBLIC_URL: rtmpUrl },
    url: `${flvUrl}${STREAM}.flv`,
  });
  streamKey = await createStreamKeyFor(orderUrl, shop.staffToken, shop.titleId);
  purchase = await buy(orderUrl, shop.offerId, shop.viewerToken);
  encoder = publishTestCard(`${rtmpUrl}${STREAM}?key=${streamKey}`);
});
afterAll(async () => {
  await encoder?.stop();
  app.child.kill('SIGKILL');
  await shop.close();
});

interface Minted {
  readonly pass: string;
  readonly expiresIn: number;
  readonly urls: { readonly 'http-flv': string; readonly 'ws-flv': string; readonly rtmp: string };
}

async function mint(): Promise<Minted> {
  const url = `${flvUrl}/pass`;
  const proof = await proofFor(purchase, { method: 'POST', url, nonce: await fetchNonce(url) });
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `DPoP ${purchase.ticket}`,
      dpop: proof,
    },
    body: JSON.stringify({ uri: STREAM }),
  });
  expect(response.status, await response.clone().text()).toBe(201);
  return (await response.json()) as Minted;
}

/** Plays two seconds of picture and sound; answers ffmpeg's exit code and complaints. */
async function play(url: string): Promise<[number | null, string]> {
  const player = runFfmpeg(['-i', url, '-map', '0:v', '-map', '0:a', '-t', '2', '-f', 'null', '-']);
  return [await player.exited, player.stderr()];
}

it('is the stock app and at most five lines', async () => {
  const { added, stock } = splitExample(await readFile(join(ROOT, APP), 'utf8'));
  expect(added.length).toBeLessThanOrEqual(5);
  expect(stock).not.toMatch(/usher/i);
  expect(stock).toContain('new NodeMediaServer(config)');
});

describe('without a right to it', () => {
  it('nobody plays over HTTP-FLV', async () => {
    for (const [query, code] of [
      ['', 'ticket_missing'],
      ['?pass=ps_AAAAAAAAAAAAAAAAAAAAAA', 'pass_invalid'],
    ]) {
      const response = await fetch(`${flvUrl}${STREAM}.flv${query ?? ''}`);
      expect([response.status, await response.json()]).toMatchObject([401, { code }]);
    }
  });

  it('nobody plays over RTMP', async () => {
    expect((await play(`${rtmpUrl}${STREAM}`))[0]).not.toBe(0);
    expect((await play(`${rtmpUrl}${STREAM}?pass=ps_AAAAAAAAAAAAAAAAAAAAAA`))[0]).not.toBe(0);
  });

  it('nobody publishes', async () => {
    const intruder = publishTestCard(`${rtmpUrl}/live/other?key=${streamKey}`);
    expect(await intruder.exited).not.toBe(0);
  });

  it('nobody gets a pass', async () => {
    const response = await fetch(`${flvUrl}/pass`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ uri: STREAM }),
    });
    expect([response.status, await response.json()]).toMatchObject([401, { code: 'ticket_missing' }]);
  });
});

describe('with a pass', () => {
  it('a viewer plays over HTTP-FLV as soon as the stream is on the air, once', async () => {
    const { pass, expiresIn, urls } = await mint();
    expect(urls).toEqual({
      'http-flv': `${flvUrl}${STREAM}.flv?pass=${pass}`,
      'ws-flv': `${flvUrl.replace('http', 'ws')}${STREAM}.flv?pass=${pass}`,
      rtmp: `${rtmpUrl}${STREAM}?pass=${pass}`,
    });
    expect(expiresIn).toBe(60);
    // Off the air it costs nothing.
    await expect
      .poll(
        async () => {
          const response = await fetch(urls['http-flv']);
          await response.body?.cancel();
          return response.status;
        },
        { timeout: 20_000 },
      )
      .toBe(200);
    const again = await fetch(urls['http-flv']);
    expect([again.status, await again.json()]).toMatchObject([401, { code: 'pass_invalid' }]);
  });

  it('ffmpeg plays picture and sound, over HTTP-FLV and over RTMP', async () => {
    expect(await play((await mint()).urls['http-flv'])).toEqual([0, '']);
    expect(await play((await mint()).urls.rtmp)).toEqual([0, '']);
  });

  it('the order server gets a receipt of each viewing', async () => {
    // Two seconds each, of which what came from the cache (half a second at most) is not counted; a look at the
    // stream before was shorter.
    const watched = async (): Promise<Usage[]> =>
      (await shop.usage()).filter(({ reason, mediaMs }) => reason === 'viewer_left' && mediaMs >= 1000);
    await expect.poll(async () => (await watched()).length, { timeout: 15_000 }).toBe(2);
    for (const { mediaMs, bytes } of await watched()) {
      expect(mediaMs).toBeLessThan(10_000);
      expect(bytes).toBeGreaterThan(10_000);
    }
  });
});

it('the order server shows operators what is on the air, and how its publisher is doing', async () => {
  interface OnAir {
    readonly streamingServers: {
      readonly streams: { readonly path: string; readonly video: { codec: string; hasBFrames: boolean } }[];
    }[];
  }
  const query = '{ streamingServers { streams { path video { codec hasBFrames } } } }';
  const onAir = async () => {
    const { streamingServers } = await graphql<OnAir>(shop.orderUrl, query, {}, shop.staffToken);
    return streamingServers.flatMap(({ streams }) => streams);
  };
  // A report goes out at each change, and every 10 s.
  await expect
    .poll(onAir, { timeout: 15_000 })
    .toEqual([{ path: STREAM, video: { codec: 'H.264', hasBFrames: false } }]);
});

it('writes neither pass nor ticket nor stream key into its log', async () => {
  const { pass, urls } = await mint();
  await play(urls.rtmp);
  for (const secret of [pass, streamKey, ...purchase.ticket.split('.')])
    expect(app.output()).not.toContain(secret);
});

it('ends within 2 s of SIGTERM, and bills what was watched until then', async () => {
  const { urls } = await mint();
  const player = runFfmpeg(['-i', urls['http-flv'], '-f', 'null', '-']);
  // The first progress receipt comes after 5 s.
  const running = async (): Promise<boolean> => (await shop.usage()).some(({ reason }) => reason === null);
  await expect.poll(running, { timeout: 20_000 }).toBe(true);
  const startMs = performance.now();
  const exited = once(app.child, 'exit');
  app.child.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
  expect(performance.now() - startMs).toBeLessThan(2000);
  await player.exited;
  await expect
    .poll(async () => (await shop.usage()).filter(({ reason }) => reason === 'server_stopped'), {
      timeout: 5000,
    })
    .toMatchObject([{ mediaMs: expect.toSatisfy((ms: number) => ms > 4000) as number }]);
});
