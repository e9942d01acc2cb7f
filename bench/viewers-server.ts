/**
 * A mediasoup app of the viewers bench, in a process of its own: `viewers-server.ts bare|gated`. Both have one router
 * with a video and an audio producer that RTP comes to; `bare` hands out consumers to everybody, `gated` attaches the
 * producers to a stage behind the gate.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { createWorker, type types } from 'mediasoup';
import { createStage } from '../plugin/adapters/mediasoup.ts';
import { createWhep } from '../plugin/adapters/whep.ts';
import { systemClock as clock } from '../plugin/clock.ts';
import { createGate } from '../plugin/gate.ts';
import { createNodeHandler } from '../plugin/http/node-handler.ts';
import { listen } from '../plugin/listen.ts';
import { createReplayMemory } from '../plugin/ticket/index.ts';
import { nothingRevoked, recordedRedemptions, silentLog as log } from '../test/support/doubles.ts';
import { createTicketWorld, SERVER_ID } from '../test/support/tickets.ts';
import type { Holder } from './flv-readers.ts';
import { processState, rssBytesOf } from './process-state.ts';
import { createSigningOutbox } from './signing-outbox.ts';

/** Where RTP and RTCP are to be sent to; ffmpeg sends them from different ports. */
export interface RtpPorts {
  readonly rtp: number;
  readonly rtcp: number;
}

export interface ServerReady {
  /** HTTP. */
  readonly port: number;
  readonly video: RtpPorts;
  readonly audio: RtpPorts;
}

export type ServerQuestion =
  | { readonly ask: 'usage' }
  | { readonly ask: 'memory' }
  | { readonly ask: 'state' }
  | {
      readonly ask: 'holders';
      readonly count: number;
      /** Tickets that each has besides, to renew with; default 0. */
      readonly renewals?: number;
    };

/** Of the process and its worker. */
export interface ServerUsage {
  readonly cpuSeconds: number;
}
export interface ServerMemory {
  readonly rssBytes: number;
}

/** What the bare app is told of a viewer, and tells him: as small as signalling can be. */
export interface BareOffer {
  readonly fingerprint: string;
}
export interface BareAnswer {
  readonly host: string;
  readonly port: number;
  readonly ufrag: string;
  readonly pwd: string;
}

export const PATH = '/live/bench';
export const VIDEO = { ssrc: 0x1111, payloadType: 96 };
export const AUDIO = { ssrc: 0x2222, payloadType: 97 };

const CODECS: Record<types.MediaKind, types.RouterRtpCodecCapability> = {
  video: {
    kind: 'video',
    mimeType: 'video/H264',
    clockRate: 90_000,
    parameters: { 'packetization-mode': 1, 'profile-level-id': '42e01f', 'level-asymmetry-allowed': 1 },
  },
  audio: { kind: 'audio', mimeType: 'audio/opus', clockRate: 48_000, channels: 2 },
};

/** As in `offerOf` of the receiver. */
const FEEDBACK: types.RtcpFeedback[] = [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }];

interface App {
  readonly worker: types.Worker;
  readonly router: types.Router;
  readonly video: types.Producer;
  readonly audio: types.Producer;
  readonly ports: Pick<ServerReady, 'video' | 'audio'>;
}

async function startApp(): Promise<App> {
  const worker = await createWorker();
  const router = await worker.createRouter({ mediaCodecs: Object.values(CODECS) });
  async function receive(kind: types.MediaKind, { ssrc, payloadType }: typeof VIDEO) {
    const transport = await router.createPlainTransport({
      listenInfo: { protocol: 'udp', ip: '127.0.0.1', recvBufferSize: 4 << 20 },
      rtcpMux: false,
      comedia: true,
    });
    const { kind: _, ...codec } = CODECS[kind];
    const rtpParameters = { codecs: [{ ...codec, payloadType }], encodings: [{ ssrc }] };
    return {
      producer: await transport.produce({ kind, rtpParameters }),
      ports: { rtp: transport.tuple.localPort, rtcp: transport.rtcpTuple?.localPort ?? 0 },
    };
  }
  const video = await receive('video', VIDEO);
  const audio = await receive('audio', AUDIO);
  return {
    worker,
    router,
    video: video.producer,
    audio: audio.producer,
    ports: { video: video.ports, audio: audio.ports },
  };
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** WHEP's counterpart without tickets, offers and sessions. */
async function bareHandler({ worker, router, video, audio }: App): Promise<Handler> {
  const webRtcServer = await worker.createWebRtcServer({
    listenInfos: [{ protocol: 'udp', ip: '127.0.0.1' }],
  });
  // What the readers' offer has, and a stage answers to it: neither RTX nor header extensions.
  const rtpCapabilities: types.RtpCapabilities = {
    codecs: (router.rtpCapabilities.codecs ?? [])
      .filter(({ mimeType }) => !mimeType.endsWith('/rtx'))
      .map((codec) => ({ ...codec, rtcpFeedback: codec.kind === 'video' ? FEEDBACK : [] })),
    headerExtensions: [],
  };
  async function view({ fingerprint }: BareOffer): Promise<BareAnswer> {
    const transport = await router.createWebRtcTransport({ webRtcServer, preferUdp: true });
    transport.on('icestatechange', (state) => {
      if (state === 'disconnected') transport.close();
    });
    await transport.connect({
      dtlsParameters: { role: 'client', fingerprints: [{ algorithm: 'sha-256', value: fingerprint }] },
    });
    for (const producer of [video, audio]) {
      await transport.consume({ producerId: producer.id, rtpCapabilities, enableRtx: true });
    }
    const [candidate] = transport.iceCandidates;
    const { usernameFragment: ufrag, password: pwd } = transport.iceParameters;
    return { host: '127.0.0.1', port: candidate?.port ?? 0, ufrag, pwd };
  }
  return (request, response) => {
    void (async () => {
      const body = await text(request);
      response.end(JSON.stringify(await view(JSON.parse(body) as BareOffer)));
    })();
  };
}

async function gatedHandler({ worker, router, video, audio }: App, publicUrl: URL) {
  const world = await createTicketWorld(clock);
  const stage = await createStage({ workers: [worker], listen: { ip: '127.0.0.1', port: 0 }, clock, log });
  await stage.attach(PATH, { router, video, audio, direct: true });
  const gate = createGate({
    serverId: SERVER_ID,
    keys: world.keys,
    unsealKeys: world.unsealKeys,
    nonces: world.nonces,
    replay: createReplayMemory({ clock }),
    redemptions: recordedRedemptions(),
    revocations: nothingRevoked,
    streamKeys: { authorizePublish: () => Promise.resolve() },
    sink: await createSigningOutbox(),
    clock,
    log,
  });
  const { fetch } = createWhep({ gate, stage, publicUrl, clock, log });
  const handler: Handler = createNodeHandler({ fetch, owns: () => true, trustedProxies: 0 });
  /** Made once, before anything is measured. */
  async function holders(count: number, renewals = 0): Promise<Holder[]> {
    const all: Holder[] = [];
    for (let index = 0; index < count; index++) {
      const viewer = await world.newViewer();
      const ticket = await world.ticketFor(viewer, { uri: PATH });
      const further: string[] = [];
      while (further.length < renewals) further.push(await world.ticketFor(viewer, { uri: PATH }));
      all.push({ ticket, privateJwk: viewer.proofKey.privateJwk, further });
    }
    return all;
  }
  return { handler, holders };
}

async function main(mode: string | undefined): Promise<void> {
  const app = await startApp();
  const server = createServer();
  await listen(server, 0, '127.0.0.1', 'port');
  const { port } = server.address() as AddressInfo;
  const gated =
    mode === 'gated' ? await gatedHandler(app, new URL(`http://localhost:${String(port)}`)) : undefined;
  server.on('request', gated?.handler ?? (await bareHandler(app)));

  async function usage(): Promise<ServerUsage> {
    const worker = await app.worker.getResourceUsage();
    const { user, system } = process.cpuUsage();
    return { cpuSeconds: (user + system) / 1e6 + (worker.ru_utime + worker.ru_stime) / 1e3 };
  }

  /** Costs CPU: not to be asked for while that is measured. */
  async function memory(): Promise<ServerMemory> {
    // What waits for the collector is no need of the viewers.
    globalThis.gc?.();
    const [own, workers] = await Promise.all([rssBytesOf(process.pid), rssBytesOf(app.worker.pid)]);
    return { rssBytes: own + workers };
  }

  function answer(question: ServerQuestion): Promise<unknown> {
    if (question.ask === 'usage') return usage();
    if (question.ask === 'memory') return memory();
    if (question.ask === 'state') return processState([app.worker.pid]);
    return (
      gated?.holders(question.count, question.renewals) ??
      Promise.resolve(new Array<null>(question.count).fill(null))
    );
  }

  process.on('message', (question: ServerQuestion) => {
    void answer(question).then((found) => process.send?.(found));
  });
  process.on('disconnect', () => {
    app.worker.close();
    process.exit(0);
  });
  process.send?.({ port, ...app.ports } satisfies ServerReady);
}

if (import.meta.main) await main(process.argv[2]);
