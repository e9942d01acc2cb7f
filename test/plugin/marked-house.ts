/** A media server whose secrets are marked, with all that it writes, answers and measures. */
import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CompactSign } from 'jose';
import { expect } from 'vitest';
import { createWhep, type Whep } from '../../plugin/adapters/whep.ts';
import { systemClock } from '../../plugin/clock.ts';
import { asDenial, type Code } from '../../plugin/errors.ts';
import { createGate, type Gate, type GateOptions } from '../../plugin/gate.ts';
import { listen } from '../../plugin/listen.ts';
import { parseOffer } from '../../plugin/media/offer.ts';
import { createMediaMetrics, type MediaMetrics } from '../../plugin/metrics.ts';
import { createOrderServer } from '../../plugin/order-server.ts';
import type { Revocations } from '../../plugin/ports.ts';
import { createReports } from '../../plugin/reports.ts';
import {
  createProof,
  createReplayMemory,
  createStreamKey,
  generateSigningKey,
  type ProofOptions,
  type SigningKeyPair,
} from '../../plugin/ticket/index.ts';
import {
  nothingRevoked,
  recordedRedemptions,
  recordedSink,
  recordingLog,
  type RecordedRedemptions,
} from '../support/doubles.ts';
import {
  createTicketWorld,
  PATH,
  SERVER_ID,
  WHEP_URL,
  type TicketWorld,
  type Viewer,
} from '../support/tickets.ts';
import { fakeStage, type FakeStage } from './adapters/whep/fake-stage.ts';
import { OFFERS } from './media/offers/index.ts';

const clock = {
  aheadMs: 0,
  nowMs: () => Date.now() + clock.aheadMs,
  monotonicMs: () => performance.now() + clock.aheadMs,
};
export const nowSeconds = (): number => Math.floor(clock.nowMs() / 1000);
const offer = OFFERS.chromium;
const { fingerprintText } = parseOffer(offer);
const WINDOW = 16;

/** The media server of the running test, and what it has let out. */
export interface House {
  world: TicketWorld;
  viewer: Viewer;
  /** Signs for this streaming server. */
  stranger: SigningKeyPair;
  orderServer: Server;
  /** Overwrite to answer something else to a message. */
  orderServerSays: (body: string) => { status: number; body: string };
  gate: Gate;
  stage: FakeStage;
  redemptions: RecordedRedemptions;
  revocations: { -readonly [K in keyof Revocations]: Revocations[K] };
  whep: Whep;
  log: ReturnType<typeof recordingLog>;
  metrics: MediaMetrics;
  secrets: Map<string, string>;
  /** Everything that left the house, by where. */
  outputs: [string, string][];
  /** Codes of the refusals. */
  seen: Set<string>;
}
export const house = {} as House;

/** A value that is nowhere else. */
export function mark(name: string): string {
  const value = `${name}-${randomBytes(18).toString('hex')}`;
  house.secrets.set(name, value);
  return value;
}

/** Takes a token's parts for secrets, without those that every token of its kind has. */
export function guard(name: string, token: string): void {
  for (const [index, part] of token.split('.').entries()) {
    if (index > 0 || !token.includes('.')) house.secrets.set(`${name}[${index}]`, part);
  }
}

/** Names of the secrets of which a piece is in the text. */
export function leaksIn(text: string): string[] {
  return [...house.secrets].flatMap(([name, secret]) => {
    for (let at = 0; at === 0 || at + WINDOW <= secret.length; at += 1) {
      if (text.includes(secret.slice(at, at + WINDOW))) return [name];
    }
    return [];
  });
}

/** Before all tests of a file. */
export async function openHouse(): Promise<void> {
  house.world = await createTicketWorld(clock);
  house.viewer = await house.world.newViewer();
  house.stranger = await generateSigningKey();
  house.orderServer = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const answer = house.orderServerSays(body);
      response.writeHead(answer.status).end(answer.body);
    });
  });
  await listen(house.orderServer, 0, '127.0.0.1', 'port');
}
/** After all of them. */
export function closeHouse(): void {
  house.orderServer.closeAllConnections();
  house.orderServer.close();
}

/** A new media server, before each test. */
export function setUp(options: Partial<GateOptions> = {}): void {
  clock.aheadMs = 0;
  house.secrets = new Map();
  house.outputs = [];
  house.seen = new Set();
  house.log = recordingLog();
  house.stage = fakeStage();
  house.redemptions = recordedRedemptions();
  house.revocations = { ...nothingRevoked };
  house.metrics = createMediaMetrics({
    sessions: () => house.gate.sessions().length,
    liveStreams: () => 1,
    receiptsWaiting: () => 0,
    spool: () => ({ bytes: 0, trouble: null, setAside: 0 }),
    streams: () => [],
    revocationFeed: () => ({ ageMs: 0, entries: 0, reconnects: 0 }),
  });
  const { port } = house.orderServer.address() as AddressInfo;
  const client = createOrderServer({
    url: `http://127.0.0.1:${port}`,
    serverId: SERVER_ID,
    signingKey: () => house.stranger,
    clock: systemClock,
  });
  house.gate = createGate({
    serverId: SERVER_ID,
    keys: house.world.keys,
    unsealKeys: house.world.unsealKeys,
    nonces: house.world.nonces,
    replay: createReplayMemory({ clock }),
    redemptions: house.redemptions,
    revocations: house.revocations,
    reports: createReports({ send: client.reportReplay, clock, log: house.log }),
    streamKeys: client,
    sink: recordedSink(),
    clock,
    log: house.log,
    observe: house.metrics.observe,
    ...options,
  });
  house.whep = createWhep({
    gate: house.gate,
    stage: house.stage,
    publicUrl: new URL('https://media.example'),
    log: house.log,
    clock,
  });
  house.orderServerSays = () => ({ status: 200, body: '{}' });
  house.secrets.set('server key', String(house.stranger.privateJwk.d));
  house.secrets.set('holder key', String(house.viewer.proofKey.privateJwk.d));
  house.secrets.set('holder public key', String(house.viewer.proofKey.publicJwk.x));
  house.secrets.set('unseal key', String(house.world.serverKey.privateJwk['d']));
}
export interface Sent {
  readonly method?: string;
  readonly url?: string;
  readonly ticket?: string;
  readonly scheme?: string;
  readonly proof?: string | Partial<ProofOptions> | undefined;
  readonly body?: string | undefined;
  readonly headers?: Record<string, string>;
}

export const ticketFor: TicketWorld['ticketFor'] = async (...given) => {
  const ticket = await house.world.ticketFor(...given);
  guard('ticket', ticket);
  return ticket;
};

export async function proofFor(ticket: string, change: Partial<ProofOptions> = {}): Promise<string> {
  const { privateKey, publicJwk, alg } = house.viewer.proofKey;
  const proof = await createProof({
    privateKey,
    publicJwk,
    alg,
    method: 'POST',
    url: WHEP_URL,
    ticket,
    nonce: house.gate.nonce(),
    fingerprint: fingerprintText,
    nowSeconds: nowSeconds(),
    ...change,
  });
  guard('proof', proof);
  return proof;
}

/** A ticket with any payload at all, signed by the order server. */
export async function signedTicket(payload: object): Promise<string> {
  const ticket = await new CompactSign(Buffer.from(JSON.stringify(payload)))
    .setProtectedHeader({
      typ: 'ticket+jwt',
      alg: house.world.signingKey.alg,
      kid: house.world.signingKey.kid,
    })
    .sign(house.world.signingKey.privateKey);
  guard('ticket', ticket);
  return ticket;
}

/** Sends it, keeps all that comes back, and answers the response. */
export async function send(given: Sent): Promise<Response> {
  const { method = 'POST', url = WHEP_URL, scheme = 'DPoP', ticket, body = offer, headers = {} } = given;
  const proof =
    typeof given.proof === 'string' || ticket === undefined || ('proof' in given && given.proof === undefined)
      ? given.proof
      : await proofFor(ticket, given.proof ?? {});
  const response = await house.whep.fetch(
    new Request(url, {
      method,
      headers: {
        'content-type': 'application/sdp',
        ...(ticket === undefined ? {} : { authorization: `${scheme} ${ticket}` }),
        ...(typeof proof === 'string' ? { dpop: proof } : {}),
        ...headers,
      },
      ...(method === 'POST' || method === 'PATCH' ? { body } : {}),
    }),
    { peer: '192.0.2.1' },
  );
  if (response.ok) {
    const token = response.headers.get('location')?.split('/').pop();
    if (token !== undefined) house.secrets.set('session URL', token);
    return response;
  }
  const text = await response.text();
  house.outputs.push(['body', text], ['headers', JSON.stringify([...response.headers])]);
  house.seen.add((JSON.parse(text) as { code: Code }).code);
  return response;
}

const sessionUrl = (response: Response): string => response.headers.get('location') ?? '';

export async function admitted(): Promise<{ url: string; ticket: string }> {
  const ticket = await ticketFor(house.viewer, { sub: mark('sub') });
  const response = await send({ ticket });
  expect(response.status).toBe(201);
  return { url: sessionUrl(response), ticket };
}

/** A request of a session. */
export async function inSession(method: string, change: Sent & { path?: string } = {}): Promise<void> {
  const { url, ticket } = await admitted();
  const target = url + (change.path ?? '');
  await send({
    method,
    url: target,
    ticket,
    proof: { method, url: target, fingerprint: undefined },
    headers: { 'content-type': 'application/trickle-ice-sdpfrag' },
    ...change,
  });
}

export async function publish(): Promise<void> {
  const streamKey = createStreamKey();
  house.secrets.set('stream key', streamKey);
  const denial = asDenial(
    await house.gate
      .authorizePublish({ uri: PATH, streamKey, peer: '192.0.2.1' })
      .catch((error: unknown) => error),
  );
  house.seen.add(denial.code);
  house.outputs.push(['denial', JSON.stringify([denial.code, denial.message, denial.detail])]);
}
