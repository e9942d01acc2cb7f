/**
 * From the click to "connected" in Chromium, through the gate (ticket, proof, reservation with the order server) and
 * without it, on the same stage. The wait for the first picture, which is the wait for a keyframe, is told apart.
 */
import { rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import { DEMO_LOGINS } from '../admin/seed.ts';
import { createWhep } from '../plugin/adapters/whep.ts';
import { systemClock as clock } from '../plugin/clock.ts';
import { readMediaConfig } from '../plugin/config.ts';
import { listen } from '../plugin/listen.ts';
import { startMediaServer } from '../plugin/media-server.ts';
import { openGate } from '../test/plugin/adapters/whep/open-gate.ts';
import { framesOnAir } from '../test/support/air.ts';
import { launchBrowser } from '../test/support/browser.ts';
import {
  buy,
  createOffer,
  createStreamKeyFor,
  createTitleWithOffer,
  fetchNonce,
  signIn,
  type Purchase,
} from '../test/support/shop.ts';
import { freePorts, publishTestCard, stackEnvironment, startProcess } from '../test/support/stack.ts';
import { silentLog } from '../test/support/doubles.ts';
import { compared, interleave, type Bench, type Figure } from './harness.ts';
import { connectOnce, type Times } from './ttff-page.ts';

const PAIRS = 25;
const BAR = 1.1;
const SETTLE_MS = 700;
const PATH = '/live/bench';

async function run(progress: (line: string) => void): Promise<Figure[]> {
  const environment = await stackEnvironment();
  const order = await startProcess('admin/main.ts', environment.env);
  const media = await startMediaServer(readMediaConfig(environment.env), silentLog);
  // Both on one origin and in one page, so that neither pays for a preflight or for being brought to the front.
  const [frontPort = 0] = await freePorts(1);
  const front = `http://localhost:${String(frontPort)}`;
  // "Without": everybody gets the media, nothing is checked, counted or told to anybody.
  const shared = { stage: media.stage, log: silentLog, clock };
  const gatedWhep = createWhep({ ...shared, gate: media.gate, publicUrl: new URL(`${front}/gated`) });
  const bareWhep = createWhep({ ...shared, gate: openGate(), publicUrl: new URL(`${front}/bare`) });
  const server = createAdaptorServer({
    fetch: (request) => {
      const whep = new URL(request.url).pathname.startsWith('/gated/') ? gatedWhep : bareWhep;
      return whep.fetch(request, { peer: '127.0.0.1' });
    },
  }) as Server;
  await listen(server, frontPort, '127.0.0.1', 'port');
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
    const uncountedOffer = await createOffer(environment.orderUrl, token, titleId, {});
    const counted = await buy(environment.orderUrl, offerId);
    const uncounted = await buy(environment.orderUrl, uncountedOffer);
    const page = await browser.newPage();
    await page.goto(`${front}/bare/`);
    const gatedUrl = `${front}/gated/whep${PATH}`;

    async function connect(purchase: Purchase | null): Promise<Times> {
      // Receipts and reports of the try before shall not fall into this one.
      await page.waitForTimeout(SETTLE_MS);
      if (purchase === null) return page.evaluate(connectOnce, { bareUrl: `${front}/bare/whep${PATH}` });
      const { kty, crv, x } = purchase.proofKey.publicJwk;
      const publicJwk = { kty, crv, x } as JsonWebKey;
      const privateJwk = { ...publicJwk, d: purchase.proofKey.privateJwk.d } as JsonWebKey;
      const nonce = await fetchNonce(gatedUrl);
      const { ticket } = purchase;
      return page.evaluate(connectOnce, { gated: { url: gatedUrl, ticket, privateJwk, publicJwk, nonce } });
    }
    const bare = (): Promise<Times> => connect(null);
    const against = (purchase: Purchase) => interleave(PAIRS, () => connect(purchase), bare, progress);

    await connect(counted);
    await bare();
    const main = await against(counted);
    const offline = await against(uncounted);
    const same = await interleave(PAIRS, bare, bare, progress);
    await encoder.stop();
    const connected = (all: Times[]): number[] => all.map(({ connectedMs }) => connectedMs);
    const picture = (all: Times[]): number[] => all.map(({ pictureMs }) => pictureMs);
    return [
      compared(
        'click to connected, counted ticket, beside no gate',
        'ms',
        connected(main.a),
        connected(main.b),
        BAR,
      ),
      compared(
        'click to connected, uncounted ticket (order server not asked), beside no gate',
        'ms',
        connected(offline.a),
        connected(offline.b),
        BAR,
      ),
      compared('A/A (without, without)', 'ms', connected(same.a), connected(same.b)),
      compared('connected to first picture (keyframe every 0.5 s)', 'ms', picture(main.a), picture(main.b)),
    ];
  } finally {
    await browser.close();
    server.closeAllConnections();
    server.close();
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
