/** The way from an app's router to one of the stage, on real workers. */
import { createWorker, type types } from 'mediasoup';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { openLink, type Origin } from '../../../../plugin/adapters/mediasoup/direct.ts';
import { createStream } from '../../../../plugin/adapters/mediasoup/stream.ts';
import { rtpPacket, vp8Keyframe } from './vp8.ts';

const SSRC = 7;
const PAYLOAD_TYPE = 96;
const PARAMETERS: types.RtpParameters = {
  codecs: [
    {
      mimeType: 'video/VP8',
      clockRate: 90_000,
      payloadType: PAYLOAD_TYPE,
      rtcpFeedback: [{ type: 'nack', parameter: 'pli' }],
    },
  ],
  encodings: [{ ssrc: SSRC }],
  rtcp: { cname: 'app' },
};
const MEDIA_CODECS: types.RouterRtpCodecCapability[] = [
  { kind: 'video', mimeType: 'video/VP8', clockRate: 90_000 },
];

let workers: types.Worker[];
let theirs: types.Router;
let ours: types.Router;
let producer: types.Producer;
let origin: Origin;
beforeAll(async () => {
  workers = await Promise.all([0, 1].map(() => createWorker({ logLevel: 'error' })));
});
afterAll(() => {
  for (const worker of workers) worker.close();
});
beforeEach(async () => {
  const [app, stage] = workers;
  if (app === undefined || stage === undefined) throw new Error('there are two workers');
  theirs = await app.createRouter({ mediaCodecs: MEDIA_CODECS });
  ours = await stage.createRouter({ mediaCodecs: MEDIA_CODECS });
  const source = await theirs.createDirectTransport();
  producer = await source.produce({ kind: 'video', rtpParameters: PARAMETERS });
  origin = { router: theirs, producer };
});

const transportsOn = async (router: types.Router): Promise<string[]> =>
  ((await router.dump()) as { transportIds: string[] }).transportIds;

it('brings the whole of a burst that is larger than the receive buffer', async () => {
  const BURST_PACKETS = 300;
  const link = await openLink(origin, ours, PARAMETERS, 64 << 10);
  const viewer = await ours.createDirectTransport();
  const consumer = await viewer.consume({
    producerId: link.producer.id,
    rtpCapabilities: ours.rtpCapabilities,
  });
  const came = new Set<number>();
  consumer.on('rtp', (packet) => came.add(packet.readUInt16BE(packet.length - 2)));
  let sequence = 0;
  const send = (): void => {
    const packet = Buffer.concat([rtpPacket(SSRC, vp8Keyframe(360)), Buffer.alloc(1100)]);
    packet.writeUInt8(PAYLOAD_TYPE, 1);
    packet.writeUInt16BE(sequence, 2);
    packet.writeUInt16BE(sequence++, packet.length - 2);
    producer.send(packet);
  };
  for (let sent = 0; sent < BURST_PACKETS; sent++) send();
  // What is missing shows by what follows.
  const next = setInterval(send, 20);
  const missing = (): number =>
    Array.from({ length: BURST_PACKETS }).filter((_each, number) => !came.has(number)).length;
  try {
    await expect.poll(missing, { timeout: 5000 }).toBe(0);
  } finally {
    clearInterval(next);
    link.close();
  }
});

it.each(['theirs', 'ours'] as const)(
  'leaves nothing behind when of the routers %s has gone',
  async (which) => {
    const [gone, left] = which === 'theirs' ? [theirs, ours] : [ours, theirs];
    const before = await transportsOn(left);
    gone.close();
    await expect(openLink(origin, ours, PARAMETERS)).rejects.toThrow();
    expect(await transportsOn(left)).toEqual(before);
  },
);

it('whose producer is closed while it is opened leaves the viewer waiting, as those who came before', async () => {
  const stream = createStream({ mediaMs: () => 0, onClose: () => undefined });
  await stream.addVideo(
    { ssrc: SSRC, payloadType: PAYLOAD_TYPE, codec: { name: 'VP8' } },
    {
      origin,
      hear: () => () => undefined,
      isHeard: () => false,
      count: async () => false,
      counted: () => ({ bytes: 0, octets: 0 }),
    },
  );
  const [video] = stream.tracks().video;
  const before = await transportsOn(theirs);
  const feeding = stream.feed({ router: ours, release: () => undefined }, { video, audio: false });
  producer.close();
  const feed = await feeding;
  expect([feed.video?.kind, feed.video?.closed]).toEqual(['video', false]);
  expect(await transportsOn(theirs)).toEqual(before);
  stream.close();
});
