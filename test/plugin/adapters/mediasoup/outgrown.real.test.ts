/** A stream of one layer that becomes more than a viewer's ticket covers, on the stage of a real worker. */
import { createWorker, type types } from 'mediasoup';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStage, type Stage } from '../../../../plugin/adapters/mediasoup.ts';
import { systemClock } from '../../../../plugin/clock.ts';
import type { EndReason } from '../../../../plugin/contract.ts';
import { parseOffer } from '../../../../plugin/media/offer.ts';
import { silentLog } from '../../../support/doubles.ts';
import { RECORDED_OFFERS } from '../../../vectors/sdp/offers.ts';
import { rtpPacket, vp8Keyframe } from './vp8.ts';

const PATH = '/live/grows';
const SSRC = 7;

let worker: types.Worker;
let stage: Stage;
beforeAll(async () => {
  worker = await createWorker({ logLevel: 'error' });
  const listen = { ip: '127.0.0.1', port: 0 };
  stage = await createStage({ workers: [worker], listen, clock: systemClock, log: silentLog });
});
afterAll(() => {
  stage.close();
  worker.close();
});

it('ends who has a ticket for less, saying why, and nobody else; what he is renewed to counts', async () => {
  const stream = stage.openStream(PATH, () => performance.now());
  const input = await stream.addVideo({ ssrc: SSRC, payloadType: 96, codec: { name: 'VP8' } });
  const offer = parseOffer(RECORDED_OFFERS['Chromium 156 that wants VP8']);
  input.sendRtp(rtpPacket(SSRC, vp8Keyframe(360)));
  const ended: string[] = [];
  const watch = async (name: string, maxHeight: number) => {
    const viewing = await stage.view(PATH, offer, { maxHeight });
    const gone = Promise.withResolvers<EndReason>();
    viewing.onGone((reason) => {
      ended.push(`${name}: ${reason}`);
      gone.resolve(reason);
    });
    return { viewing, gone: gone.promise };
  };
  const [, renewed, outgrown] = [
    await watch('may have more', 1080),
    await watch('is renewed', 480),
    await watch('may not', 480),
  ];
  input.sendRtp(rtpPacket(SSRC, vp8Keyframe(720)));
  const grownMs = performance.now();
  await renewed.viewing.limit({ maxHeight: 720 });
  await outgrown.gone;
  const tookMs = performance.now() - grownMs;
  expect(ended).toEqual(['may not: above_tier']);
  expect(tookMs).toBeGreaterThan(4900);
  expect(tookMs).toBeLessThan(8000);
  stream.close();
});
