/**
 * From the click to "connected" in Chromium, through the gate (ticket, proof, reservation with the order server) and
 * without it, on the same stage. The wait for the first picture, which is the wait for a keyframe, is told apart.
 */
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import { uuidv7 } from 'uuidv7';
import { DEMO_LOGINS } from '../admin/seed.ts';
import { createWhep, type WhepGate } from '../plugin/adapters/whep.ts';
import { systemClock as clock } from '../plugin/clock.ts';
import { readMediaConfig } from '../plugin/config.ts';
import type { AccessRequest, EndReason } from '../plugin/contract.ts';
import type { Media } from '../plugin/gate.ts';
import { listen } from '../plugin/listen.ts';
import { startMediaServer } from '../plugin/media-server.ts';
import type { Log, Viewing } from '../plugin/ports.ts';
import type { Session } from '../plugin/session.ts';
import { framesOnAir } from '../test/support/air.ts';
import { launchBrowser } from '../test/support/browser.ts';
import { buy, createTitleWithOffer, createStreamKeyFor, fetchNonce, signIn } from '../test/support/shop.ts';
import { freePorts, publishTestCard, stackEnvironment, startProcess } from '../test/support/stack.ts';
import { compared, interleave, type Bench, type Figure } from './harness.ts';
import { connectOnce, type Times } from './ttff-page.ts';

const PAIRS = 40;
const BAR = 1.1;
const PATH = '/live/bench';
const NO_LOG: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** WHEP without a gate: everybody gets the media, nothing is checked, counted or told to anybody. */
const openDoor: WhepGate = {
  async admit<V extends Viewing>(request: AccessRequest, media: Media<V>): Promise<Session<V>> {
    const id = uuidv7();
    const grant = {
      sessionId: id,
      ticketId: id,
      issuer: '',
      subject: '',
      uri: request.uri,
      rights: {
        action: 'play' as const,
        accesses: null,
        seconds: null,
        bytes: null,
        concurrent: null,
        window: null,
        onExcess: 'reject-new' as const,
        controls: [],
        tier: {},
      },
      ask: { action: 'play' as const },
      jkt: null,
      attempt: null,
      expiresAtSeconds: Number.MAX_SAFE_INTEGER,
      key: null,
      watermark: null,
    };
    const viewing = await media.open(grant);
    const { promise: ended, resolve } = Promise.withResolvers<EndReason>();
    return {
      id,
      token: randomBytes(16).toString('base64url'),
      grant,
      viewing,
      ended,
      isEnded: () => false,
      end: (reason) => {
        viewing.close();
        resolve(reason);
        return Promise.resolve();
      },
      receipts: () => [],
    };
  },
  prove: () => Promise.resolve(),
  nonce: () => '',
};

async function run(progress: (line: string) => void): Promise<Figure[]> {
  const environment = await stackEnvironment();
  const order = await startProcess('admin/main.ts', environment.env);
  const media = await startMediaServer(readMediaConfig(environment.env), NO_LOG);
  const [barePort = 0] = await freePorts(1);
  const bareUrl = `http://localhost:${String(barePort)}`;
  const bareWhep = createWhep({
    gate: openDoor,
    stage: media.stage,
    publicUrl: new URL(bareUrl),
    log: NO_LOG,
    clock,
  });
  const bareServer = createAdaptorServer({
    fetch: (request) => bareWhep.fetch(request, { peer: '127.0.0.1' }),
  }) as Server;
  await listen(bareServer, barePort, '127.0.0.1', 'port');
  const browser = await launchBrowser();
  try {
    const staff = DEMO_LOGINS.find(({ email }) => email.startsWith('staff'));
    if (staff === undefined) throw new Error('no staff account');
    const token = await signIn(environment.orderUrl, staff);
    const rights = { accesses: 10_000, concurrent: 10 };
    const { titleId, offerId } = await createTitleWithOffer(environment.orderUrl, token, PATH, { rights });
    const streamKey = await createStreamKeyFor(environment.orderUrl, token, titleId);
    const encoder = publishTestCard(
      `rtmp://127.0.0.1:${String(environment.rtmpPort)}${PATH}?key=${streamKey}`,
    );
    await framesOnAir(media.stage, PATH);
    const purchase = await buy(environment.orderUrl, offerId);
    // A page on each server's own origin, so that neither pays for a preflight.
    const [gatedPage, barePage] = [await browser.newPage(), await browser.newPage()];
    await gatedPage.goto(`${environment.mediaUrl}/healthz`);
    await barePage.goto(`${bareUrl}/healthz`);

    async function throughTheGate(): Promise<Times> {
      const { kty, crv, x } = purchase.proofKey.publicJwk;
      const gated = {
        url: purchase.whepUrl,
        ticket: purchase.ticket,
        privateJwk: { kty, crv, x, d: purchase.proofKey.privateJwk.d } as JsonWebKey,
        publicJwk: { kty, crv, x } as JsonWebKey,
        nonce: await fetchNonce(purchase.whepUrl),
      };
      await gatedPage.bringToFront();
      return gatedPage.evaluate(connectOnce, { gated });
    }
    async function bare(): Promise<Times> {
      await barePage.bringToFront();
      return barePage.evaluate(connectOnce, { bareUrl: `${bareUrl}/whep${PATH}` });
    }

    await throughTheGate();
    await bare();
    const main = await interleave(PAIRS, throughTheGate, bare, progress);
    const same = await interleave(PAIRS, bare, bare, progress);
    await encoder.stop();
    const connected = (all: Times[]): number[] => all.map(({ connectedMs }) => connectedMs);
    const picture = (all: Times[]): number[] => all.map(({ pictureMs }) => pictureMs);
    return [
      compared(
        'click to connected, with the gate, beside without',
        'ms',
        connected(main.a),
        connected(main.b),
        BAR,
      ),
      compared('A/A (without, without)', 'ms', connected(same.a), connected(same.b)),
      compared('connected to first picture (keyframe every 0.5 s)', 'ms', picture(main.a), picture(main.b)),
    ];
  } finally {
    await browser.close();
    bareServer.closeAllConnections();
    bareServer.close();
    await media.close();
    await order.stop();
    await rm(environment.dataDir, { recursive: true, force: true });
  }
}

export const bench: Bench = {
  name: 'ttff',
  what: `click to connected in Chromium, ${String(PAIRS)} pairs`,
  run,
};
