/** Simulcast layers of an app's producer, on the way to viewers: real workers, ffmpeg, Chromium. */
import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Stage } from '../../../../plugin/adapters/mediasoup.ts';
import { askForEstimates } from '../../../../player-demo/src/estimate-offer.ts';
import { useRelay } from '../../../support/relayed-viewer.ts';
import { freePorts } from '../../../support/stack.ts';
import { startUdpRelay } from '../../../support/udp-relay.ts';
import { startAppStage, useAppWorkers } from './app-stage.ts';
import { LAYER_HEIGHTS, startSimulcastApp, type SimulcastApp } from './simulcast-app.ts';
import type { Watching } from './watching.ts';

const PATH = '/live/layers';
const [LOW, MIDDLE, HIGH] = LAYER_HEIGHTS;

const workers = useAppWorkers();
let stage: Stage;
let watching: Watching;
let app: SimulcastApp;
let port: number;

beforeEach(async () => {
  [port = 0] = await freePorts(1);
  ({ stage, watching } = await startAppStage(workers, { port }));
  app = await startSimulcastApp(workers.theirs);
  await stage.attach(PATH, app);
});
afterEach(async () => {
  await watching.close();
  stage.close();
  await app.stop();
});

/** Waits until pictures of this height are on show. */
const shows = (page: Page, height: number): Promise<unknown> =>
  page.waitForFunction((wanted) => document.querySelector('video')?.videoHeight === wanted, height, {
    timeout: 60_000,
  });

declare global {
  var askForEstimates: (sdp: string) => Promise<string>;
}

/** Runs in the page: offers are those of the demo player. */
function offerAsThePlayer(): void {
  const { createOffer } = RTCPeerConnection.prototype as {
    createOffer(): Promise<RTCSessionDescriptionInit>;
  };
  const own = async function (this: RTCPeerConnection): Promise<RTCSessionDescriptionInit> {
    const { sdp = '' } = await createOffer.call(this);
    return { type: 'offer', sdp: await globalThis.askForEstimates(sdp) };
  };
  Object.assign(RTCPeerConnection.prototype, { createOffer: own });
}

const readPictures = (page: Page): Promise<number> =>
  page.evaluate(() => document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0);

describe('a viewer of simulcast', () => {
  it('gets the best layer, a lower one when he is capped, and the best again, in one session', async () => {
    const page = await watching.watch(PATH, ['video']);
    const capped = await watching.watch(PATH, ['video']);
    await Promise.all([page, capped].map((each) => shows(each, HIGH)));
    const { viewing } = watching.gate.last();
    expect(viewing.layers).toBe(LAYER_HEIGHTS.length);
    await viewing.limitLayer(0);
    await shows(capped, LOW);
    const [low, high] = await Promise.all([capped, page].map(readPictures));
    await viewing.limitLayer(1);
    await shows(capped, MIDDLE);
    await viewing.limitLayer(null);
    await shows(capped, HIGH);
    await shows(page, HIGH);
    expect(await readPictures(capped)).toBeGreaterThan(low ?? 0);
    expect(await readPictures(page)).toBeGreaterThan(high ?? 0);
    expect(watching.gate.sessions).toHaveLength(2);
    await expect(viewing.limitLayer(-1)).rejects.toThrow(TypeError);
  });

  it('gets the next layer when the source leaves out the best, and the best when it comes back', async () => {
    const page = await watching.watch(PATH, ['video']);
    await shows(page, HIGH);
    app.sendLayers(2);
    await shows(page, MIDDLE);
    app.sendLayers(3);
    await shows(page, HIGH);
  });

  it('gets what his network carries, if he has what that is estimated from', async () => {
    const relay = await startUdpRelay({ server: { address: '127.0.0.1', port } });
    const page = await watching.watch(PATH, ['video'], async (opened) => {
      await opened.exposeFunction('askForEstimates', askForEstimates);
      await opened.evaluate(offerAsThePlayer);
      await opened.evaluate(useRelay, relay.port);
    });
    await shows(page, HIGH);
    relay.change({ towardsClients: { bitsPerSecond: 500_000 } });
    await shows(page, MIDDLE);
    relay.change({ towardsClients: {} });
    await shows(page, HIGH);
    expect(watching.gate.sessions).toHaveLength(1);
    relay.close();
  });
});
