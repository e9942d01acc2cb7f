/** A page of another origin plays FLV with mpegts.js in Chromium: admitted it shows the picture, refused it knows why. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { launchBrowser, quadrantColours } from '../../../support/browser.ts';
import { eventually } from '../../../support/flv-readers.ts';
import { newPath, startGuardedNms, STREAM_KEY, type GuardedNms } from '../../../support/guarded-nms.ts';
import { publishTestCard, type Encoder } from '../../../support/stack.ts';
import { colourError } from '../../../support/test-card.ts';

const live = newPath();
let house: GuardedNms;
let encoder: Encoder;
let pages: Server;
let browser: Browser;
let page: Page;

/** What mpegts.js says of an error. */
interface PlayerError {
  readonly type: string;
  readonly detail: string;
  readonly info: { readonly code?: number; readonly msg?: string };
}

declare global {
  // The script that the page loads.
  var mpegts: {
    createPlayer(
      source: { type: 'flv'; isLive: true; url: string; cors: true },
      config: { headers?: Record<string, string> },
    ): {
      attachMediaElement(element: HTMLVideoElement): void;
      on(event: 'error', listener: (type: string, detail: string, info: PlayerError['info']) => void): void;
      load(): void;
      play(): Promise<void> | undefined;
    };
  };
  var playerErrors: PlayerError[];
}

beforeAll(async () => {
  house = await startGuardedNms();
  encoder = publishTestCard(`rtmp://127.0.0.1:${String(house.ports.rtmp)}${live}?key=${STREAM_KEY}`);
  const script = await readFile(createRequire(import.meta.url).resolve('mpegts.js/dist/mpegts.js'));
  pages = createServer((request, response) => {
    if (request.url === '/mpegts.js') response.setHeader('content-type', 'text/javascript').end(script);
    else
      response
        .setHeader('content-type', 'text/html')
        .end('<video muted></video><script src="/mpegts.js"></script>');
  });
  pages.listen(0, '127.0.0.1');
  await once(pages, 'listening');
  browser = await launchBrowser();
  await eventually(() => house.guard.streams()[0]?.health.video ?? undefined);
});

afterAll(async () => {
  await browser.close();
  pages.close();
  await encoder.stop();
  await house.stop();
});

beforeEach(async () => {
  page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${String((pages.address() as AddressInfo).port)}/`);
});

afterEach(() => page.close());

/** Lets the page play a URL. */
function play(url: string, headers?: Record<string, string>): Promise<void> {
  return page.evaluate(
    ({ url, headers }) => {
      const video = document.querySelector('video');
      if (video === null) throw new Error('no video');
      globalThis.playerErrors = [];
      const player = globalThis.mpegts.createPlayer(
        { type: 'flv', isLive: true, url, cors: true },
        headers === undefined ? {} : { headers },
      );
      player.attachMediaElement(video);
      player.on('error', (type, detail, info) => globalThis.playerErrors.push({ type, detail, info }));
      player.load();
      player.play()?.catch(() => undefined);
    },
    { url, headers },
  );
}

async function expectPicture(): Promise<void> {
  await page.waitForFunction(() => (document.querySelector('video')?.currentTime ?? 0) > 0.5);
  const before = await page.evaluate(() => document.querySelector('video')?.currentTime ?? 0);
  await page.waitForFunction(
    (from) => (document.querySelector('video')?.currentTime ?? 0) > from + 0.5,
    before,
  );
  const colours = await quadrantColours(page);
  expect(colourError(colours), JSON.stringify(colours)).toBeLessThan(60);
  expect(await page.evaluate(() => globalThis.playerErrors)).toEqual([]);
}

const httpUrl = (query = ''): string => `http://localhost:${String(house.ports.http)}${live}.flv${query}`;
const wsUrl = (query = ''): string => httpUrl(query).replace('http:', 'ws:');

async function firstError(): Promise<PlayerError> {
  await page.waitForFunction(() => globalThis.playerErrors.length > 0);
  const [error] = await page.evaluate(() => globalThis.playerErrors);
  if (error === undefined) throw new Error('no error');
  return error;
}

test('HTTP-FLV with a pass', async () => {
  await play(httpUrl(`?pass=${await house.pass(live)}`));
  await expectPicture();
});

test('WebSocket-FLV with a pass', async () => {
  await play(wsUrl(`?pass=${await house.pass(live)}`));
  await expectPicture();
});

test('HTTP-FLV with ticket and proof in header fields, after a preflight', async () => {
  const { authorization, dpop } = await house.credentials(
    await house.ticket({ uri: live }),
    'GET',
    httpUrl(),
  );
  await play(httpUrl(), { Authorization: authorization, DPoP: dpop });
  await expectPicture();
});

test('HTTP-FLV without a pass: the player is told 401', async () => {
  await play(httpUrl());
  const { type, detail, info } = await firstError();
  expect([type, detail, info.code]).toEqual(['NetworkError', 'HttpStatusCodeInvalid', 401]);
});

test('a page may read why: code, challenge, nonce', async () => {
  const told = await page.evaluate(async (url) => {
    const response = await fetch(url);
    const { code } = (await response.json()) as { code: string };
    return [
      response.status,
      code,
      response.headers.get('www-authenticate'),
      response.headers.has('dpop-nonce'),
    ];
  }, httpUrl());
  expect(told).toEqual([401, 'ticket_missing', 'DPoP algs="Ed25519 ES256"', true]);
});

test('WebSocket-FLV without a pass: close code and reason are there to read', async () => {
  const told = await page.evaluate(
    (url) =>
      new Promise<unknown[]>((resolve) => {
        const socket = new WebSocket(url);
        let messages = 0;
        socket.onmessage = () => (messages += 1);
        socket.onclose = ({ code, reason }) => resolve([code, reason, messages]);
      }),
    wsUrl(),
  );
  expect(told).toEqual([4401, 'ticket_missing: A ticket is required', 0]);
});
