/** How producers are attached, and what is left when that fails: a real worker, and producers that send nothing. */
import { createWorker, type types } from 'mediasoup';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { createStage, type AttachedMedia, type Stage } from '../../../../plugin/adapters/mediasoup.ts';
import { openSource } from '../../../../plugin/adapters/mediasoup/producers.ts';
import { systemClock } from '../../../../plugin/clock.ts';
import { silentLog } from '../../../support/doubles.ts';

const PATH = '/live/app';
const GRACE_SECONDS = 2;
const OPUS = { mimeType: 'audio/opus', clockRate: 48_000, channels: 2 } as const;
const VP8 = { mimeType: 'video/VP8', clockRate: 90_000 } as const;

interface Media extends AttachedMedia {
  readonly video: types.Producer;
  readonly audio: types.Producer;
}

let worker: types.Worker;
let stage: Stage;

beforeAll(async () => {
  worker = await createWorker({ logLevel: 'none' });
});
afterAll(() => worker.close());
beforeEach(async () => {
  stage = await createStage({
    workers: [worker],
    listen: { ip: '127.0.0.1', port: 0 },
    clock: systemClock,
    log: silentLog,
    graceSeconds: GRACE_SECONDS,
  });
});
afterEach(() => stage.close());

async function makeMedia(): Promise<Media> {
  const router = await worker.createRouter({
    mediaCodecs: [
      { kind: 'audio', ...OPUS },
      { kind: 'video', ...VP8 },
    ],
  });
  const transport = await router.createDirectTransport();
  const [video, audio] = await Promise.all([
    transport.produce({
      kind: 'video',
      rtpParameters: { codecs: [{ ...VP8, payloadType: 96 }], encodings: [{ ssrc: 1 }] },
    }),
    transport.produce({
      kind: 'audio',
      rtpParameters: { codecs: [{ ...OPUS, payloadType: 97 }], encodings: [{ ssrc: 2 }] },
    }),
  ]);
  return { router, video, audio };
}

/** Has something happen just before the first of the stage's consumers on a router would start. */
function beforeItStarts(router: types.Router, happen: () => void): void {
  const create = router.createDirectTransport.bind(router);
  vi.spyOn(router, 'createDirectTransport').mockImplementationOnce(async () => {
    const transport = await create();
    const consume = transport.consume.bind(transport);
    vi.spyOn(transport, 'consume').mockImplementationOnce(async (options) => {
      const consumer = await consume(options);
      const resume = consumer.resume.bind(consumer);
      vi.spyOn(consumer, 'resume').mockImplementationOnce(() => {
        happen();
        return resume();
      });
      return consumer;
    });
    return transport;
  });
}

async function transportsOf(router: types.Router): Promise<number> {
  const { transportIds } = (await router.dump()) as { transportIds: string[] };
  return transportIds.length;
}

it('a replacement that fails leaves what it did not replace on the air, and its owner in charge', async () => {
  const [one, two] = [await makeMedia(), await makeMedia()];
  const attachment = await stage.attach(PATH, one);
  beforeItStarts(two.router, () => two.video.close());
  await expect(stage.attach(PATH, two)).rejects.toThrow();
  expect([stage.isLive(PATH), stage.attachedStreams().length]).toEqual([true, 1]);
  expect(await transportsOf(two.router)).toBe(1);
  attachment.detach();
  expect(stage.isLive(PATH)).toBe(false);
  expect(await transportsOf(one.router)).toBe(1);
});

it('a replacement of all that fails has the stream wait for another, for the grace time', async () => {
  const [one, two, three] = [await makeMedia(), await makeMedia(), await makeMedia()];
  const only = ({ router, video }: Media): AttachedMedia => ({ router, video });
  await stage.attach(PATH, only(one));
  beforeItStarts(two.router, () => two.video.close());
  await expect(stage.attach(PATH, only(two))).rejects.toThrow();
  expect([stage.isLive(PATH), stage.attachedStreams().length]).toEqual([true, 0]);
  await stage.attach(PATH, only(three));
  expect([stage.isLive(PATH), stage.attachedStreams().length]).toEqual([true, 1]);
  three.video.close();
  await expect.poll(() => stage.isLive(PATH), { timeout: 10_000 }).toBe(false);
});

it('half a new stream is none', async () => {
  const media = await makeMedia();
  beforeItStarts(media.router, () => media.video.close());
  await expect(stage.attach(PATH, media)).rejects.toThrow();
  expect(stage.stats().streams).toBe(0);
  expect(await transportsOf(media.router)).toBe(1);
});

it.each(['a new stream', 'a replacement'])(
  'of %s nothing is left on the router of the app when the stage closes meanwhile',
  async (what) => {
    const [one, two] = [await makeMedia(), await makeMedia()];
    if (what === 'a replacement') await stage.attach(PATH, one);
    beforeItStarts(two.router, () => setImmediate(() => stage.close()));
    await expect(stage.attach(PATH, two)).rejects.toThrow(/closed|ended/);
    expect([await transportsOf(one.router), await transportsOf(two.router)]).toEqual([1, 1]);
  },
);

it('the way into this process keeps no packets for retransmission', async () => {
  const { router, video } = await makeMedia();
  const { consumer } = await openSource(router, video, 0);
  const feedback = consumer.rtpParameters.codecs.flatMap(({ rtcpFeedback = [] }) => rtcpFeedback);
  const nacks = feedback.filter(({ type }) => type === 'nack');
  expect(nacks).toEqual([{ type: 'nack', parameter: 'pli' }]);
});
