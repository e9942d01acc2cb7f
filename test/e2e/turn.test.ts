/** Viewers who reach nothing but a TURN server, with the credentials that the answer's Link header fields give them. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { createIceServers, type IceClient } from '../../plugin/http/ice-servers.ts';
import { iceServersOf } from '../../player-demo/src/ice-servers.ts';
import { buyAndWatch, framesDecoded, launchBrowser, mediaWay } from '../support/browser.ts';
import { startCoturn, type Coturn } from '../support/coturn.ts';
import { freePorts, publishTestCard, startStack, type Encoder, type Stack } from '../support/stack.ts';

const [LOGIN = { email: '', password: '' }] = DEMO_LOGINS;
const SECRET = randomBytes(24).toString('hex');

let folder: string;
let turnPort: number;
let coturn: Coturn;
let stack: Stack;
let encoder: Encoder;
let browser: Browser;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'usher-turn-'));
  [turnPort = 0] = await freePorts(1);
  const urls = (['udp', 'tcp'] as const).map(turnUrl).join();
  [coturn, stack, browser] = await Promise.all([
    startCoturn(turnPort, SECRET, folder),
    startStack({ USHER_ICE_SERVERS: urls, USHER_TURN_SECRET: SECRET }),
    launchBrowser(),
  ]);
  encoder = publishTestCard(stack.publishUrl());
});
afterAll(async () => {
  await browser.close();
  await encoder.stop();
  await stack.stop();
  await coturn.stop();
  await rm(folder, { recursive: true, force: true });
});

const turnUrl = (transport: 'udp' | 'tcp'): string =>
  `turn:127.0.0.1:${String(turnPort)}?transport=${transport}`;

it('the player plays by TURN alone', async () => {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  onTestFinished(() => page.close());
  // To the browser every other way is closed, whatever the player asks for.
  await page.addInitScript(() => {
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(configuration: RTCConfiguration = {}) {
        super({ ...configuration, iceTransportPolicy: 'relay' });
      }
    };
  });
  await buyAndWatch(page, stack.orderUrl, LOGIN);
  await framesDecoded(page, 30);
  expect(await mediaWay(page)).toMatchObject({ localType: 'relay' });
});

const HOUR_SECONDS = 3600;
const client = (expiresInSeconds: number): IceClient => ({
  sessionId: '01890a5d-ac96-774b-bcce-b302099a8057',
  expiresAtSeconds: Math.floor(Date.now() / 1000) + expiresInSeconds,
});

interface Case {
  readonly transport: 'udp' | 'tcp';
  readonly secret: string;
  readonly expiresInSeconds: number;
  readonly relays: boolean;
}

it.each<[string, Case]>([
  ['relays by UDP', { transport: 'udp', secret: SECRET, expiresInSeconds: HOUR_SECONDS, relays: true }],
  ['relays by TCP', { transport: 'tcp', secret: SECRET, expiresInSeconds: HOUR_SECONDS, relays: true }],
  [
    'does not relay for a ticket that has ended',
    { transport: 'udp', secret: SECRET, expiresInSeconds: -HOUR_SECONDS, relays: false },
  ],
  [
    'does not relay for credentials by another secret',
    { transport: 'udp', secret: `${SECRET}0`, expiresInSeconds: HOUR_SECONDS, relays: false },
  ],
])('a TURN server %s', async (_what, { transport, secret, expiresInSeconds, relays }) => {
  const urls = [turnUrl(transport)];
  const links = createIceServers({ urls, turnSecret: secret, clock: { nowMs: () => Date.now() } });
  const iceServers = iceServersOf(links(client(expiresInSeconds)).join());
  const page = await browser.newPage();
  onTestFinished(() => page.close());
  const gathered = await page.evaluate(async (servers) => {
    const connection = new RTCPeerConnection({ iceServers: servers, iceTransportPolicy: 'relay' });
    const kinds: string[] = [];
    const whole = new Promise<void>((resolve) => {
      connection.onicecandidate = ({ candidate }) => {
        if (candidate === null) resolve();
        else if (candidate.candidate !== '') kinds.push(String(candidate.type));
      };
    });
    connection.createDataChannel('none');
    await connection.setLocalDescription();
    await whole;
    connection.close();
    return kinds;
  }, iceServers);
  expect(gathered).toEqual(relays ? ['relay'] : []);
});
