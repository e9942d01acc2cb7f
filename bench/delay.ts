/**
 * What the gate costs in time: the number burnt into each picture, read from Chromium's pixels, through gate and stage
 * and from bare mediasoup. One encoder sends both apps the same packets, one page watches both at once: each picture is
 * compared with itself.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createWorker, type types } from 'mediasoup';
import { createStage } from '../plugin/adapters/mediasoup.ts';
import { formOf } from '../plugin/adapters/mediasoup/codecs.ts';
import { matchOffer } from '../plugin/adapters/mediasoup/match.ts';
import { createRouterPool } from '../plugin/adapters/mediasoup/routers.ts';
import { openViewing } from '../plugin/adapters/mediasoup/viewing.ts';
import { createWhep } from '../plugin/adapters/whep.ts';
import { systemClock as clock } from '../plugin/clock.ts';
import { parseOffer, type Offer } from '../plugin/media/offer.ts';
import { createProof } from '../plugin/ticket/index.ts';
import { launchBrowser } from '../test/support/browser.ts';
import { silentLog as log } from '../test/support/doubles.ts';
import { FRAME_CLOCK_BITS, frameClockPicture } from '../test/support/frame-clock.ts';
import { setUpGate } from '../test/support/gates.ts';
import { runFfmpeg } from '../test/support/stack.ts';
import { createTicketWorld } from '../test/support/tickets.ts';
import { watchSides, type Seen } from './delay-page.ts';
import type { Bench, Figure } from './harness.ts';
import { meanOf, median } from './statistics.ts';

const PAIRS = 10;
const MEASURED_MS = 6000;
const FRAMES_PER_SECOND = 30;
const BAR_MS = 5;
const PATH = '/live/bench';
const ORIGIN = 'http://127.0.0.1';
const RTP = { ssrc: 0x1111, payloadType: 96 };
const FORM = formOf({ name: 'H264', profileLevelId: '42e01f' });

interface Ingest {
  readonly producer: types.Producer;
  /** Where ffmpeg is to send RTP, and RTCP from another port of its own. */
  readonly url: string;
}

async function ingest(router: types.Router): Promise<Ingest> {
  const transport = await router.createPlainTransport({
    listenInfo: { protocol: 'udp', ip: '127.0.0.1', recvBufferSize: 4 << 20 },
    rtcpMux: false,
    comedia: true,
  });
  const { mimeType = '', parameters = {} } = FORM ?? {};
  const { ssrc, payloadType } = RTP;
  const producer = await transport.produce({
    kind: 'video',
    rtpParameters: {
      codecs: [{ mimeType, clockRate: 90_000, payloadType, parameters }],
      encodings: [{ ssrc }],
    },
  });
  const { localPort: rtp } = transport.tuple;
  const rtcp = transport.rtcpTuple?.localPort ?? 0;
  return { producer, url: `rtp://127.0.0.1:${String(rtp)}?rtcpport=${String(rtcp)}&pkt_size=1200` };
}

interface Side {
  readonly url: string;
  /** SDP for SDP. */
  view(offer: string): Promise<string>;
}

function match(offer: Offer) {
  if (FORM === undefined) throw new Error('H.264 has no form');
  const rendition = { form: FORM, onDemand: false };
  return matchOffer(offer, { video: [rendition], videoRefusal: null, hasAudio: false });
}

/** The stage's own viewing, straight on the producer: no gate, no session, nothing in between. */
async function openBare(worker: types.Worker, sampleOffer: string): Promise<Side> {
  const webRtcServer = await worker.createWebRtcServer({
    listenInfos: [{ protocol: 'udp', ip: '127.0.0.1' }],
  });
  const { router } = await createRouterPool(worker, 1).lease(match(parseOffer(sampleOffer)).profile);
  const { producer, url } = await ingest(router);
  return {
    url,
    async view(sdp) {
      const offer = parseOffer(sdp);
      const { answer } = await openViewing({
        ...{ router, webRtcServer, offer, match: match(offer), clock, log },
        feed: {
          video: producer,
          audio: undefined,
          layers: { video: () => [], audio: () => [] },
          release: () => undefined,
        },
        tier: {},
        mediaMs: () => 0,
        connectTimeoutMs: 20_000,
        silenceMs: 15_000,
        onClosed: () => undefined,
      });
      return answer;
    },
  };
}

async function openGated(worker: types.Worker): Promise<Side> {
  const world = await createTicketWorld(clock);
  const { gate } = setUpGate(world, clock);
  const router = await worker.createRouter({
    mediaCodecs: [
      { kind: 'video', mimeType: 'video/H264', clockRate: 90_000, parameters: { ...FORM?.parameters } },
    ],
  });
  const { producer, url } = await ingest(router);
  const stage = await createStage({ workers: [worker], listen: { ip: '127.0.0.1', port: 0 }, clock, log });
  await stage.attach(PATH, { router, video: producer });
  const whep = createWhep({ gate, stage, publicUrl: new URL(ORIGIN), clock, log });
  const endpoint = `${ORIGIN}/whep${PATH}`;
  return {
    url,
    async view(offer) {
      const viewer = await world.newViewer();
      const ticket = await world.ticketFor(viewer, { uri: PATH });
      const [, fingerprint = ''] = /^a=fingerprint:(\S+ \S+)/m.exec(offer) ?? [];
      const [algorithm = '', value = ''] = fingerprint.split(' ');
      const { privateKey, publicJwk, alg } = viewer.proofKey;
      const dpop = await createProof({
        ...{ privateKey, publicJwk, alg, method: 'POST', url: endpoint, ticket },
        nonce: world.nonces.current(),
        attempt: crypto.randomUUID(),
        ask: { action: 'play' },
        fingerprint: `${algorithm} ${value.toUpperCase()}`,
      });
      const headers = { 'content-type': 'application/sdp', authorization: `DPoP ${ticket}`, dpop };
      const request = new Request(endpoint, { method: 'POST', headers, body: offer });
      const response = await whep.fetch(request, { peer: '127.0.0.1' });
      const text = await response.text();
      if (response.status !== 201) throw new Error(`${String(response.status)} ${text}`);
      return text;
    },
  };
}

/** Milliseconds by which a picture was there later on the first side than on the second: the median. */
function laterMs([a = [], b = []]: readonly Seen[][]): number {
  const times = new Map(b);
  const differences = a.flatMap(([number, atMs]) => {
    const other = times.get(number);
    return other === undefined ? [] : [atMs - other];
  });
  if (differences.length < (MEASURED_MS / 1000) * FRAMES_PER_SECOND * 0.8) {
    throw new Error(`only ${String(differences.length)} pictures were seen on both sides`);
  }
  return median(differences);
}

async function run(progress: (line: string) => void, quick: boolean): Promise<Figure[]> {
  const pairs = quick ? 3 : PAIRS;
  const worker = await createWorker();
  const browser = await launchBrowser();
  const page = await browser.newPage();
  // Pictures may be read from a secure context only.
  const front = createServer((_request, response) => void response.end('<!doctype html>')).listen(
    0,
    '127.0.0.1',
  );
  await once(front, 'listening');
  const address = front.address();
  await page.goto(`${ORIGIN}:${String(typeof address === 'object' ? address?.port : '')}/`);
  const sampleOffer = await page.evaluate(async () => {
    const connection = new RTCPeerConnection();
    connection.addTransceiver('video', { direction: 'recvonly' });
    const { sdp = '' } = await connection.createOffer();
    // Without a description it has neither candidates nor an end; as it is, it is an offer all the same.
    connection.close();
    return sdp;
  });
  const sides: Record<string, Side> = {
    gated: await openGated(worker),
    bare: await openBare(worker, sampleOffer),
  };
  await page.exposeFunction('delayAnswer', (side: string, offer: string) => sides[side]?.view(offer));
  const tee = Object.values(sides)
    .map(({ url }) => `[f=rtp:payload_type=${String(RTP.payloadType)}:ssrc=${String(RTP.ssrc)}]${url}`)
    .join('|');
  const encoder = runFfmpeg([
    ...['-re', '-f', 'lavfi', '-i', frameClockPicture({ fps: FRAMES_PER_SECOND })],
    ...'-c:v libx264 -preset ultrafast -tune zerolatency -profile:v baseline -pix_fmt yuv420p'.split(' '),
    ...'-b:v 1M -maxrate 1M -bufsize 1M -g 30'.split(' '),
    ...['-map', '0:v', '-f', 'tee', tee],
  ]);
  try {
    async function compare(first: string, second: string): Promise<number[]> {
      const later: number[] = [];
      for (let pair = 0; pair < pairs; pair++) {
        // Which one is connected, and read, first changes from pair to pair.
        const order = pair % 2 === 0 ? [first, second] : [second, first];
        const ask = { sides: order, forMs: MEASURED_MS, bits: FRAME_CLOCK_BITS };
        const seen = await page.evaluate(watchSides, ask);
        later.push(laterMs(pair % 2 === 0 ? seen : seen.toReversed()));
        progress(`${first} and ${second}: pair ${String(pair + 1)} of ${String(pairs)}`);
      }
      return later;
    }
    function figure(name: string, later: number[], barMs?: number): Figure {
      const { value, low, high } = meanOf(later);
      const judged = barMs === undefined ? {} : { bar: barMs, ok: high <= barMs };
      return { name, value, unit: 'ms', interval: [low, high], ...judged };
    }
    return [
      figure('a picture comes later than from bare mediasoup by', await compare('gated', 'bare'), BAR_MS),
      figure('A/A (bare, bare)', await compare('bare', 'bare')),
    ];
  } finally {
    await encoder.stop();
    await browser.close();
    front.close();
    worker.close();
  }
}

export const bench: Bench = {
  name: 'delay',
  what: `burnt-in number to Chromium's pixels, median of ${String(MEASURED_MS / 1000)} s of pictures, ${String(PAIRS)} pairs`,
  run,
};
