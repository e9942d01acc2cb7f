/** The RTSP server with the real gate and a stream that the test plays, and what a client says to begin with. */
import { expect } from 'vitest';
import { openRtsp, type RtspOptions, type RtspServer } from '../../../../plugin/adapters/rtsp.ts';
import { createRequests, type Answer } from '../../../../plugin/adapters/rtsp/requests.ts';
import { systemClock } from '../../../../plugin/clock.ts';
import { createProof } from '../../../../plugin/ticket/index.ts';
import { makeGrant, silentLog } from '../../../support/doubles.ts';
import { setUpGate } from '../../../support/gates.ts';
import { connectRtsp, type RtspAnswer, type RtspTestClient } from '../../../support/rtsp-client.ts';
import { createTicketWorld, PATH, type TicketWorld, type Viewer } from '../../../support/tickets.ts';
import { createFakeStream, type FakeStream } from './fake-stream.ts';

export const PUBLIC = 'rtsp://media.example:8554';
export const URL = `rtsp://127.0.0.1${PATH}`;

export interface RtspWorld {
  readonly world: TicketWorld;
  readonly house: ReturnType<typeof setUpGate>;
  readonly stream: FakeStream;
  readonly server: RtspServer;
  /** Another server of the same gate and stream. */
  open(options: Partial<RtspOptions>): Promise<RtspServer>;
  connect(to?: RtspServer): Promise<RtspTestClient>;
  /** A ticket that is not bound to a key, with counted accesses. */
  bearer(claims?: Record<string, unknown>): Promise<string>;
  /** A pass for such a ticket. */
  pass(): Promise<string>;
  /** A proof of a viewer's key for the stream's public URL, with a nonce that is good. */
  proofBy(viewer: Viewer, ticket: string, method: string): Promise<string>;
  describeIt(client: RtspTestClient): Promise<RtspAnswer>;
  /** Describes from another machine, over a link that is not confidential. @throws what `Requests.answer` does */
  describeInTheClear(headers: Record<string, string>): Promise<Answer>;
  /** Describes and sets up both lines on channels 0 to 3. */
  setUpByTcp(client: RtspTestClient): Promise<{ session: string; sdp: string; transport: string }>;
  /** Closes the gate and all that was opened, also what the test adds here. */
  close(): Promise<void>;
  readonly opened: { close(): void }[];
}

export const control = (line: 'video' | 'audio'): string => `${URL}/track=${line}`;
export const sessionOf = (answer: RtspAnswer): string => answer.headers.get('session')?.split(';')[0] ?? '';
export const payloadOf = (packet: Buffer): Buffer => packet.subarray(12);

/** Status and code of an answer. */
export async function rejectionOf(answer: Promise<RtspAnswer>): Promise<[number, unknown]> {
  const { status, body } = await answer;
  return [status, body === '' ? undefined : (JSON.parse(body) as { code: string }).code];
}

export async function createRtspWorld(): Promise<RtspWorld> {
  const world = await createTicketWorld(systemClock);
  const house = setUpGate(world, systemClock);
  const stream = createFakeStream();
  const opened: { close(): void }[] = [];

  async function open(options: Partial<RtspOptions> = {}): Promise<RtspServer> {
    const rtsp = await openRtsp({
      gate: house.gate,
      stage: stream,
      host: '127.0.0.1',
      rtsp: { port: 0, publicUrl: PUBLIC },
      udpPort: 0,
      clock: systemClock,
      log: silentLog,
      ...options,
    });
    opened.push(rtsp);
    return rtsp;
  }
  const server = await open();

  async function connect(to = server): Promise<RtspTestClient> {
    const client = await connectRtsp(to.ports.rtsp);
    opened.push({ close: () => client.socket.destroy() });
    return client;
  }

  async function bearer(claims = {}): Promise<string> {
    const { rights } = makeGrant();
    return `Bearer ${await world.ticketFor(await world.newViewer(), { cnf: undefined, rights, ...claims })}`;
  }

  async function pass(): Promise<string> {
    const minted = await house.gate.mintPass({
      ...{ protocol: 'pass', uri: PATH, authorization: await bearer(), proof: undefined, method: 'POST' },
      ...{ url: '', bodyHash: '', peer: '', confidential: true },
    });
    return minted.pass;
  }

  function proofBy({ proofKey }: Viewer, ticket: string, method: string): Promise<string> {
    const { privateKey, publicJwk, alg } = proofKey;
    const nonce = house.gate.nonce();
    return createProof({ privateKey, publicJwk, alg, method, url: PUBLIC + PATH, ticket, nonce });
  }

  function describeInTheClear(headers: Record<string, string>): Promise<Answer> {
    const requests = createRequests({
      ...{ gate: house.gate, stage: stream, publicUrl: PUBLIC, peer: '192.0.2.1', address: '192.0.2.1' },
      udp: { ports: [1, 2], open: () => undefined, close: () => undefined },
      link: { write: () => undefined, pendingBytes: () => 0, waitedMs: () => 0 },
      ...{ confidential: false, clock: systemClock, log: silentLog, stalledAfterMs: undefined },
      ...{ elsewhere: new Map(), onEnded: () => undefined, onSign: () => undefined },
    });
    const fields = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
    return requests.answer({
      ...({ kind: 'request', method: 'DESCRIBE', url: URL, cseq: 1 } as const),
      ...{ headers: new Map(fields), body: Buffer.alloc(0) },
    });
  }

  async function describeIt(client: RtspTestClient): Promise<RtspAnswer> {
    const answer = await client.ask('DESCRIBE', URL, { Authorization: await bearer() });
    expect(answer.status, answer.body).toBe(200);
    return answer;
  }

  async function setUpByTcp(client: RtspTestClient) {
    const { body: sdp } = await describeIt(client);
    const video = await client.ask('SETUP', control('video'), {
      Transport: 'RTP/AVP/TCP;unicast;interleaved=0-1',
    });
    expect(video.status).toBe(200);
    const session = sessionOf(video);
    const audio = await client.ask('SETUP', control('audio'), {
      Transport: 'RTP/AVP/TCP;unicast;interleaved=2-3',
      Session: session,
    });
    expect([audio.status, sessionOf(audio)]).toEqual([200, session]);
    return { session, sdp, transport: video.headers.get('transport') ?? '' };
  }

  async function close(): Promise<void> {
    await house.gate.close('server_stopped');
    for (const each of opened.splice(0)) each.close();
  }
  return {
    ...{ world, house, stream, server, open, connect, bearer, pass, proofBy },
    ...{ describeIt, describeInTheClear, setUpByTcp, close, opened },
  };
}
