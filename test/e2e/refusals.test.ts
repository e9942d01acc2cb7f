/**
 * A real media server with a real publisher, and an order server of the test's own, so that tickets can be wrong in
 * every way that a real one would not sign.
 */
import { readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Code } from '../../plugin/errors.ts';
import { listen } from '../../plugin/listen.ts';
import { loadOrCreateServerKeys } from '../../plugin/server-keys.ts';
import {
  generateSigningKey,
  hashStreamKey,
  type ProofOptions,
  type SigningKeyPair,
} from '../../plugin/ticket/index.ts';
import { fingerprintOf } from '../support/shop.ts';
import {
  DEMO_PATH,
  freePorts,
  publishTestCard,
  runFfmpeg,
  stackEnvironment,
  startProcess,
  type Encoder,
  type RunningProcess,
  type StackEnvironment,
} from '../support/stack.ts';
import { answerWithEmptyFeed } from '../support/revocations.ts';
import { createTicketWorld, type TicketWorld, type Viewer } from '../support/tickets.ts';
import { systemClock } from '../../plugin/clock.ts';

const STREAM_KEY = 'sk_0123456789abcdefghijkl';
const OFFER_FILE = new URL('../plugin/media/offers/chromium.sdp', import.meta.url);

let environment: StackEnvironment;
let issuer: string;
let orderServer: Server;
let media: RunningProcess;
let encoder: Encoder;
let world: TicketWorld;
let viewer: Viewer;
let stranger: SigningKeyPair;
let server: { kid: string; publicJwk: Record<string, unknown> };
let offer: string;
let whepUrl: string;
/** What the media server asked the order server, newest last. */
const redemptions: string[] = [];

/** An order server that says yes, but for a wrong stream key. */
async function startOrderServer(port: number): Promise<Server> {
  const http = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const answer = (status: number, body: object): void => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      };
      if (request.url === '/.well-known/jwks.json')
        return answer(200, { keys: [world.signingKey.publicJwk] });
      if (request.url?.startsWith('/v1/revocations') === true) return answerWithEmptyFeed(response);
      const message = decodeJwt<{ op: string; session: string; keyHash?: string }>(
        Buffer.concat(chunks).toString(),
      );
      if (request.url === '/v1/receipts') return answer(200, { stored: 1, refused: [] });
      if (request.url === '/v1/streams') return answer(200, {});
      redemptions.push(message.op);
      if (message.op === 'publish') {
        if (message.keyHash === hashStreamKey(STREAM_KEY)) return answer(200, {});
        return answer(403, { code: 'stream_key_invalid' });
      }
      if (message.op === 'release' || message.op === 'report') return answer(200, {});
      answer(200, {
        session: message.session,
        expiresAt: null,
        mediaMsLeft: null,
        bytesLeft: null,
        leaseSeconds: 30,
      });
    });
  });
  await listen(http, port, '127.0.0.1', 'port');
  return http;
}

const mediaEnv = (): NodeJS.ProcessEnv => ({
  ...environment.env,
  USHER_ORDER_SERVER_URL: issuer,
  USHER_REPLAY_MEMORY: 'shared',
});

beforeAll(async () => {
  environment = await stackEnvironment();
  const [port = 0] = await freePorts(1);
  issuer = `http://127.0.0.1:${String(port)}`;
  [world, stranger, offer] = await Promise.all([
    createTicketWorld(systemClock),
    generateSigningKey(),
    readFile(OFFER_FILE, 'utf8'),
  ]);
  viewer = await world.newViewer();
  orderServer = await startOrderServer(port);
  media = await startProcess('plugin/main.ts', mediaEnv());
  const keys = await loadOrCreateServerKeys(join(environment.dataDir, 'media'), 'demo', environment.mediaUrl);
  server = { kid: keys.sealing.kid, publicJwk: { ...keys.registration.sealingKey } };
  whepUrl = `${environment.mediaUrl}/whep${DEMO_PATH}`;
  encoder = publishTestCard(rtmp(STREAM_KEY));
  await vi.waitUntil(async () => (await play({})).status === 201, { timeout: 20_000, interval: 200 });
});
afterAll(async () => {
  await encoder.stop();
  await media.stop();
  orderServer.closeAllConnections();
  orderServer.close();
  await rm(environment.dataDir, { recursive: true, force: true });
});
beforeEach(() => {
  redemptions.length = 0;
});

const rtmp = (key: string): string =>
  `rtmp://127.0.0.1:${String(environment.rtmpPort)}${DEMO_PATH}?key=${key}`;
const nowSeconds = (): number => Math.floor(Date.now() / 1000);

interface Wrong {
  claims?: Record<string, unknown>;
  signingKey?: SigningKeyPair;
  proof?: Partial<ProofOptions>;
  /** Changes the headers before they are sent. */
  headers?: (made: Record<string, string>) => Record<string, string>;
  body?: string;
}

async function headersFor({
  claims = {},
  signingKey,
  proof = {},
  headers,
}: Wrong): Promise<Record<string, string>> {
  const ticket = await world.ticketFor(
    viewer,
    { iss: issuer, aud: ['demo'], endpoints: [whepUrl], uri: DEMO_PATH, ...claims },
    { server, ...(signingKey === undefined ? {} : { signingKey }) },
  );
  const nonce = (await fetch(whepUrl, { method: 'OPTIONS' })).headers.get('dpop-nonce') ?? '';
  const request = await world.request(viewer, ticket, {
    proof: { url: whepUrl, nonce, fingerprint: fingerprintOf(offer), ...proof },
  });
  const made = {
    'content-type': 'application/sdp',
    authorization: request.authorization ?? '',
    dpop: request.proof ?? '',
  };
  return headers?.(made) ?? made;
}

async function play(wrong: Wrong): Promise<Response> {
  return fetch(whepUrl, { method: 'POST', headers: await headersFor(wrong), body: wrong.body ?? offer });
}

async function gauge(name: string): Promise<number> {
  const text = await (await fetch(`${environment.mediaUrl}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
}

/** Changes one character in the middle of a part of a compact JWS. */
function tamper(token: string, part: number): string {
  const parts = token.split('.');
  const text = parts[part] ?? '';
  const at = Math.floor(text.length / 2);
  parts[part] = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
  return parts.join('.');
}

/** Changes the ciphertext of the sealed part and signs the ticket again, as nobody but the issuer could. */
async function tamperSealedPart(headers: Record<string, string>): Promise<Record<string, string>> {
  const ticket = (headers.authorization ?? '').slice('DPoP '.length);
  const claims = decodeJwt<{ ss: { ciphertext: string } }>(ticket);
  claims.ss.ciphertext = tamper(claims.ss.ciphertext, 0);
  const { CompactSign } = await import('jose');
  const header = decodeProtectedHeader(ticket) as { alg: string };
  const resigned = await new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader(header)
    .sign(world.signingKey.privateKey);
  const nonce = (await fetch(whepUrl, { method: 'OPTIONS' })).headers.get('dpop-nonce') ?? '';
  const { proof } = await world.request(viewer, resigned, {
    proof: { url: whepUrl, nonce, fingerprint: fingerprintOf(offer) },
  });
  return { ...headers, authorization: `DPoP ${resigned}`, dpop: proof ?? '' };
}

const without =
  (...names: string[]) =>
  (made: Record<string, string>): Record<string, string> =>
    Object.fromEntries(Object.entries(made).filter(([name]) => !names.includes(name)));

const CASES: [string, number, Code, () => Wrong][] = [
  ['no ticket', 401, 'ticket_missing', () => ({ headers: without('authorization') })],
  [
    'a malformed ticket',
    401,
    'ticket_malformed',
    () => ({ headers: (made) => ({ ...made, authorization: 'DPoP a.b.c' }) }),
  ],
  ['a ticket for another stream', 403, 'ticket_wrong_uri', () => ({ claims: { uri: '/live/other' } })],
  ['a ticket for another server', 403, 'ticket_wrong_audience', () => ({ claims: { aud: ['elsewhere'] } })],
  [
    'an expired ticket',
    401,
    'ticket_expired',
    () => ({ claims: { iat: nowSeconds() - 60, nbf: nowSeconds() - 60, exp: nowSeconds() } }),
  ],
  ['a ticket of the future', 403, 'ticket_not_yet_valid', () => ({ claims: { nbf: nowSeconds() + 60 } })],
  [
    'a tampered signature',
    401,
    'ticket_untrusted',
    () => ({ headers: (made) => ({ ...made, authorization: tamper(made.authorization ?? '', 2) }) }),
  ],
  ['a key that the order server does not have', 401, 'ticket_untrusted', () => ({ signingKey: stranger })],
  ['another order server', 401, 'ticket_untrusted', () => ({ claims: { iss: 'https://elsewhere.example' } })],
  ['no proof', 401, 'proof_missing', () => ({ headers: without('dpop') })],
  [
    'a proof by another key',
    401,
    'proof_invalid',
    () => ({ proof: { privateKey: stranger.privateKey, publicJwk: stranger.publicJwk } }),
  ],
  ['a proof without a nonce', 401, 'proof_nonce_required', () => ({ proof: { nonce: undefined } })],
  [
    'a proof with a nonce of another server',
    401,
    'proof_nonce_required',
    () => ({ proof: { nonce: 'A'.repeat(43) } }),
  ],
  [
    'a proof for another fingerprint',
    401,
    'proof_invalid',
    () => ({ proof: { fingerprint: `sha-256 ${'AA:'.repeat(31)}AA` } }),
  ],
  [
    'an offer that is not the one proven',
    401,
    'proof_invalid',
    () => ({ body: offer.replaceAll(/^a=fingerprint:.*$/gm, `a=fingerprint:sha-256 ${'AB:'.repeat(31)}AB`) }),
  ],
  [
    'a bound ticket as Bearer',
    401,
    'proof_missing',
    () => ({
      headers: (made) => ({ ...made, authorization: (made.authorization ?? '').replace('DPoP', 'Bearer') }),
    }),
  ],
];

describe('WHEP refuses', () => {
  it.each(CASES)('%s with %i %s, opens nothing and asks nobody', async (_name, status, code, wrong) => {
    const sessions = await gauge('usher_sessions');
    const response = await play(wrong());
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([status, code]);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.get('dpop-nonce')).toMatch(/./);
    expect(response.headers.has('location')).toBe(false);
    expect(await gauge('usher_sessions')).toBe(sessions);
    expect(redemptions).toEqual([]);
  });

  it('a tampered sealed part, even when the signature is good', async () => {
    const response = await fetch(whepUrl, {
      method: 'POST',
      headers: await tamperSealedPart(await headersFor({})),
      body: offer,
    });
    expect([response.status, await response.json()]).toMatchObject([401, { code: 'ticket_malformed' }]);
    expect(redemptions).toEqual([]);
  });

  it('the same proof a second time', async () => {
    const headers = await headersFor({});
    const first = await fetch(whepUrl, { method: 'POST', headers, body: offer });
    expect(first.status).toBe(201);
    const second = await fetch(whepUrl, { method: 'POST', headers, body: offer });
    expect([second.status, await second.json()]).toMatchObject([401, { code: 'proof_replayed' }]);
    await vi.waitUntil(() => redemptions.includes('report'));
  });

  it('the same proof in another process behind the same URL, and after a restart of it', async () => {
    const [port = 0, rtc = 0, rtmpPort = 0, flv = 0, rtsp = 0] = await freePorts(5);
    const neighbourUrl = `http://localhost:${String(port)}`;
    const start = (): Promise<RunningProcess> =>
      startProcess('plugin/main.ts', {
        ...mediaEnv(),
        USHER_MEDIA_PUBLIC_URL: environment.mediaUrl,
        USHER_MEDIA_PORT: String(port),
        USHER_RTC_PORT: String(rtc),
        USHER_RTMP_PORT: String(rtmpPort),
        USHER_NMS_HTTP_PORT: String(flv),
        USHER_RTSP_PORT: String(rtsp),
      });
    const neighbour = (init: RequestInit): Promise<Response> =>
      fetch(`${neighbourUrl}/whep${DEMO_PATH}`, { method: 'POST', ...init });
    let process = await start();
    const headers = await headersFor({});
    expect((await fetch(whepUrl, { method: 'POST', headers, body: offer })).status).toBe(201);
    await vi.waitUntil(async () => (await neighbour({ headers, body: offer })).status !== 503);
    expect(await (await neighbour({ headers, body: offer })).json()).toMatchObject({
      code: 'proof_replayed',
    });
    // Nothing is on the air there: a proof that is good gets past the gate, no further, and is used.
    const fresh = await headersFor({});
    const codes = async (): Promise<unknown> =>
      (await neighbour({ headers: fresh, body: offer })).json() as Promise<unknown>;
    expect(await codes()).toMatchObject({ code: 'stream_offline' });
    await process.stop('SIGKILL');
    process = await start();
    await vi.waitUntil(async () => (await neighbour({ headers: fresh, body: offer })).status !== 503);
    expect(await codes()).toMatchObject({ code: 'proof_replayed' });
    await process.stop();
  });
});

describe('RTMP', () => {
  it('refuses a wrong stream key, and the running publisher goes on', async () => {
    const intruder = publishTestCard(rtmp('sk_wrongwrongwrongwrong00'));
    expect(await intruder.exited).not.toBe(0);
    expect((await play({})).status).toBe(201);
    expect(encoder.child.exitCode).toBeNull();
  });

  it('refuses a second publisher with the right key', async () => {
    const second = publishTestCard(rtmp(STREAM_KEY));
    expect(await second.exited).not.toBe(0);
    expect(encoder.child.exitCode).toBeNull();
  });

  it('lets nobody play with the stream key', async () => {
    const player = runFfmpeg(['-i', rtmp(STREAM_KEY), '-t', '1', '-f', 'null', '-']);
    expect(await player.exited).not.toBe(0);
  });

  it('lets nobody play over HTTP-FLV without a ticket', async () => {
    const url = `http://127.0.0.1:${String(environment.httpFlvPort)}${DEMO_PATH}.flv`;
    const response = await fetch(url);
    expect([response.status, await response.json()]).toMatchObject([401, { code: 'ticket_missing' }]);
  });
});

describe('the log of the media server', () => {
  it('holds no ticket, no proof and no stream key', async () => {
    const headers = await headersFor({ claims: { uri: '/live/other' } });
    await fetch(whepUrl, { method: 'POST', headers, body: offer });
    const output = media.output();
    const secrets = [
      ...(headers.authorization ?? '').slice(5).split('.'),
      ...(headers.dpop ?? '').split('.'),
      STREAM_KEY,
    ];
    for (const secret of secrets) expect(output).not.toContain(secret);
  });
});
