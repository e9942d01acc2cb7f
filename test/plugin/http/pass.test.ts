import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import type { AccessRequest } from '../../../plugin/contract.ts';
import { Denial, type Code } from '../../../plugin/errors.ts';
import { createPassDesk, type PassDesk, type PassDeskOptions } from '../../../plugin/http/pass.ts';
import { recordingLog } from '../../support/doubles.ts';

const TICKET = 'eyJhbGciOiJFZERTQSJ9.c2VjcmV0LXRpY2tldA.c2lnbmF0dXJl';
const PROOF = 'eyJhbGciOiJFUzI1NiJ9.cHJvb2Y.c2ln';
const PASS = 'ps_0123456789abcdefghijkl';
const PUBLIC = 'https://media.example/base';
// The server sees its own address; what viewers see is configured.
const LOCAL = 'http://127.0.0.1:8000/base';
const CLIENT = { peer: '192.0.2.7', confidential: true };
const BODY = '{"uri":"/live/demo"}';

let asked: AccessRequest[];
let refuseWith: Error | undefined;
let log: ReturnType<typeof recordingLog>;
let desk: PassDesk;

const makeDesk = (more: Partial<PassDeskOptions> = {}): PassDesk =>
  createPassDesk({
    gate: {
      nonce: () => 'nonce-1',
      async mintPass(request) {
        asked.push(request);
        if (refuseWith !== undefined) throw refuseWith;
        return { pass: PASS, expiresInSeconds: 60, key: null };
      },
    },
    publicUrl: new URL(PUBLIC),
    endpoints: (uri) => ({
      'http-flv': `https://flv.example${uri}.flv`,
      'ws-flv': undefined,
      rtmp: `rtmp://flv.example${uri}`,
    }),
    log,
    bodyDeadlineMs: 50,
    ...more,
  });

beforeEach(() => {
  asked = [];
  refuseWith = undefined;
  log = recordingLog();
  desk = makeDesk();
});

interface Sent {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: BodyInit;
  readonly client?: typeof CLIENT;
}

function send({ method = 'POST', path = '/pass', headers = {}, body = BODY, client = CLIENT }: Sent = {}) {
  const request = new Request(LOCAL + path, {
    method,
    headers: { 'content-type': 'application/json', authorization: `DPoP ${TICKET}`, dpop: PROOF, ...headers },
    ...(method === 'POST' || method === 'PUT' ? { body } : {}),
    ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
  });
  return desk.fetch(request, client);
}

describe('POST /pass', () => {
  it('answers 201 with the pass and a URL for each way that the server has', async () => {
    const response = await send({ headers: { 'content-type': 'Application/JSON; charset=utf-8' } });
    expect(response.status).toBe(201);
    expect(await response.json()).toEqual({
      pass: PASS,
      expiresIn: 60,
      urls: {
        'http-flv': `https://flv.example/live/demo.flv?pass=${PASS}`,
        rtmp: `rtmp://flv.example/live/demo?pass=${PASS}`,
      },
    });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'dpop-nonce': 'nonce-1',
      'access-control-allow-origin': '*',
    });
    expect(response.headers.get('access-control-expose-headers')).toContain('DPoP-Nonce');
  });

  it('asks the gate with the public URL, the hash of the body and what the listener saw', async () => {
    await send({ headers: { host: 'evil.example' }, client: { peer: '192.0.2.9', confidential: false } });
    expect(asked).toEqual([
      {
        protocol: 'pass',
        uri: '/live/demo',
        authorization: `DPoP ${TICKET}`,
        proof: PROOF,
        method: 'POST',
        url: `${PUBLIC}/pass`,
        bodyHash: createHash('sha256').update(BODY).digest('base64url'),
        peer: '192.0.2.9',
        confidential: false,
      },
    ]);
  });

  it('hands a bearer ticket on as it is', async () => {
    const request = new Request(`${LOCAL}/pass`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${TICKET}` },
      body: BODY,
    });
    expect((await desk.fetch(request, CLIENT)).status).toBe(201);
    expect(asked).toMatchObject([{ authorization: `Bearer ${TICKET}`, proof: undefined }]);
  });

  const slow = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(Buffer.from('{"uri":')),
  });
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(512).fill(32)),
  });
  it.each<[string, number, Code, Sent]>([
    ['no content type of JSON', 415, 'unsupported_media_type', { headers: { 'content-type': 'text/plain' } }],
    ['no ticket', 401, 'ticket_missing', { headers: { authorization: '' } }],
    [
      'two tickets',
      401,
      'ticket_malformed',
      { headers: { authorization: `DPoP ${TICKET}, DPoP ${TICKET}` } },
    ],
    ['two proofs', 401, 'proof_invalid', { headers: { dpop: `${PROOF}, ${PROOF}` } }],
    [
      'a body above 1 KiB',
      413,
      'body_too_large',
      { body: JSON.stringify({ uri: `/live/${'a'.repeat(1024)}` }) },
    ],
    ['a body without an end', 413, 'body_too_large', { body: endless }],
    ['a body that comes too slowly', 400, 'request_malformed', { body: slow }],
    ['a body that is not UTF-8', 400, 'request_malformed', { body: new Uint8Array([0x22, 0xff, 0x22]) }],
    ['no body', 400, 'request_malformed', { body: '' }],
    ['a body that is no JSON', 400, 'request_malformed', { body: '{"uri":' }],
    ['a body that is no object', 400, 'request_malformed', { body: '"/live/demo"' }],
    ['a list', 400, 'request_malformed', { body: '[{"uri":"/live/demo"}]' }],
    ['no uri', 400, 'request_malformed', { body: '{}' }],
    ['a uri that is no text', 400, 'request_malformed', { body: '{"uri":["/live/demo"]}' }],
    ['an unknown member', 400, 'request_malformed', { body: '{"uri":"/live/demo","for":"me"}' }],
    ['a path with dots', 400, 'request_malformed', { body: '{"uri":"/live/../demo"}' }],
    ['an encoded path', 400, 'request_malformed', { body: '{"uri":"/live/de%6do"}' }],
    ['a query in the path', 400, 'request_malformed', { body: '{"uri":"/live/demo?pass=1"}' }],
    ['a query', 400, 'request_malformed', { path: '/pass?uri=/live/demo' }],
    ['a longer path', 404, 'not_found', { path: '/pass/' }],
    ['another path', 404, 'not_found', { path: '/passes' }],
    ['GET', 405, 'method_not_allowed', { method: 'GET' }],
    ['PUT', 405, 'method_not_allowed', { method: 'PUT' }],
  ])('refuses %s with %i %s, and does not ask the gate', async (_name, status, code, sent) => {
    const response = await send(sent);
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([status, code]);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.get('dpop-nonce')).toBe('nonce-1');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('www-authenticate') !== null).toBe(status === 401);
    expect(response.headers.get('allow')).toBe(status === 405 ? 'POST, OPTIONS' : null);
    expect(asked).toEqual([]);
  });

  it.each<[Code, number, string | null]>([
    ['ticket_expired', 401, 'error="invalid_token"'],
    ['proof_nonce_required', 401, 'error="use_dpop_nonce"'],
    ['transport_insecure', 403, null],
    ['overloaded', 503, null],
  ])('says what the gate says: %s', async (code, status, challenge) => {
    refuseWith = new Denial(code);
    const response = await send();
    expect([response.status, await response.json()]).toMatchObject([status, { code }]);
    if (challenge === null) expect(response.headers.get('www-authenticate')).toBeNull();
    else expect(response.headers.get('www-authenticate')).toContain(challenge);
    expect(response.headers.get('retry-after')).toBe(code === 'overloaded' ? '10' : null);
  });

  it('answers a fault of its own with 500, and tells only the log what it was', async () => {
    refuseWith = new RangeError('the inner secret');
    const response = await send();
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('secret');
    expect(log.lines.join()).toContain('RangeError');
  });
});

describe('a page of another origin', () => {
  const origin = 'https://shop.example';

  it('may ask first', async () => {
    const response = await send({ method: 'OPTIONS', headers: { origin } });
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      allow: 'POST, OPTIONS',
      'accept-post': 'application/json',
      'access-control-allow-methods': 'POST, OPTIONS',
      'access-control-allow-headers': expect.stringContaining('DPoP') as string,
      'dpop-nonce': 'nonce-1',
    });
  });

  it('reads nothing where other origins are named', async () => {
    desk = makeDesk({ corsOrigins: ['https://player.example'] });
    const response = await send({ headers: { origin } });
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
    expect(response.headers.get('vary')).toBe('Origin');
  });
});

it('is at the root where the public URL has no path', async () => {
  desk = makeDesk({ publicUrl: new URL('http://localhost:8000') });
  const request = new Request('http://localhost:8000/pass', {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `DPoP ${TICKET}` },
    body: BODY,
  });
  expect((await desk.fetch(request, CLIENT)).status).toBe(201);
  expect(asked[0]?.url).toBe('http://localhost:8000/pass');
});
