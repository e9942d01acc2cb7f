import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { createWhep, type Whep, type WhepViewing } from '../../../plugin/adapters/whep.ts';
import { Denial, type Code } from '../../../plugin/errors.ts';
import { fakeTimerClock, recordingLog } from '../../support/doubles.ts';
import { OFFERS } from '../media/offers/index.ts';
import { ANSWER, fakeStage, type FakeStage } from './whep/fake-stage.ts';
import { openGate, type OpenGate } from './whep/open-gate.ts';
import { codeOf } from './whep/replies.ts';

const SECRET = 'eyJhbGciOiJFZERTQSJ9.c2VjcmV0LXRpY2tldA.c2lnbmF0dXJl';
const PROOF = 'eyJhbGciOiJFUzI1NiJ9.cHJvb2Y.c2ln';
const PUBLIC = 'https://media.example/base';
// The server sees its own address; what viewers see is configured.
const LOCAL = 'http://127.0.0.1:4001/base';
const FRAGMENT = 'application/trickle-ice-sdpfrag';

describe('WHEP', () => {
  let gate: OpenGate<WhepViewing>;
  let stage: FakeStage;
  let log: ReturnType<typeof recordingLog>;
  let whep: Whep;

  beforeEach(() => {
    gate = openGate<WhepViewing>();
    stage = fakeStage();
    log = recordingLog();
    whep = createWhep({
      gate,
      stage,
      publicUrl: new URL(PUBLIC),
      log,
      clock: fakeTimerClock,
      bodyDeadlineMs: 50,
      signReceipts: (receipts) => ({ heads: `of ${String(receipts.length)}`, key: { kty: 'OKP' } }),
    });
  });

  const send = (method: string, path: string, init: RequestInit = {}): Promise<Response> =>
    whep.fetch(new Request(`${LOCAL}${path}`, { method, ...init }), { peer: '192.0.2.7' });

  const post = (
    init: { headers?: Record<string, string>; body?: BodyInit; path?: string } = {},
  ): Promise<Response> =>
    send('POST', init.path ?? '/whep/live/test', {
      headers: {
        'content-type': 'application/sdp',
        authorization: `DPoP ${SECRET}`,
        dpop: PROOF,
        ...init.headers,
      },
      body: init.body ?? OFFERS.chromium,
      ...(init.body instanceof ReadableStream ? { duplex: 'half' } : {}),
    });

  /** The path of a new session's URL. */
  async function open(): Promise<string> {
    const location = (await post()).headers.get('location') ?? '';
    expect(location.startsWith(`${PUBLIC}/session/`)).toBe(true);
    return location.slice(PUBLIC.length);
  }

  const patch = (path: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
    send('PATCH', path, { headers: { 'content-type': FRAGMENT, ...headers }, body });

  describe('POST', () => {
    it('answers 201 with the answer, the session URL and an ETag', async () => {
      const response = await post({ headers: { 'content-type': 'Application/SDP; charset=utf-8' } });
      expect(response.status).toBe(201);
      expect(await response.text()).toBe(ANSWER);
      expect(response.headers.get('content-type')).toBe('application/sdp');
      expect(response.headers.get('location')).toBe(`${PUBLIC}/session/token-of-session-0`);
      expect(response.headers.get('etag')).toBe('"ice-0"');
      expect(response.headers.get('accept-patch')).toBe(FRAGMENT);
      expect(stage.views.map(({ path }) => path)).toEqual(['/live/test']);
    });

    it('asks the gate with the public URL, the fingerprint and the hash of the offer', async () => {
      await post({ headers: { host: 'evil.example' } });
      expect(gate.requests).toEqual([
        {
          protocol: 'whep',
          uri: '/live/test',
          authorization: `DPoP ${SECRET}`,
          proof: PROOF,
          method: 'POST',
          url: `${PUBLIC}/whep/live/test`,
          fingerprint: stage.views[0]?.offer.fingerprintText,
          bodyHash: createHash('sha256').update(OFFERS.chromium).digest('base64url'),
          peer: '192.0.2.7',
          confidential: true,
        },
      ]);
    });

    it('answers a repeated attempt with the same session', async () => {
      const [one, two] = [await post(), await post()];
      expect(two.status).toBe(201);
      expect(two.headers.get('location')).toBe(one.headers.get('location'));
      expect(two.headers.get('etag')).toBe(one.headers.get('etag'));
      expect(await two.text()).toBe(await one.text());
      expect(stage.views).toHaveLength(1);
    });

    const slow = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from('v=0\r\n')),
    });
    const broken = new ReadableStream<Uint8Array>({
      start: (controller) => controller.error(new Error('reset')),
    });
    const endless = (): ReadableStream<Uint8Array> =>
      new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(10_000).fill(97)),
      });
    it.each<[string, number, Code, Parameters<typeof post>[0]]>([
      [
        'another content type',
        415,
        'unsupported_media_type',
        { headers: { 'content-type': 'application/json' } },
      ],
      [
        'a content type that only begins so',
        415,
        'unsupported_media_type',
        { headers: { 'content-type': 'application/sdpx' } },
      ],
      ['no ticket', 401, 'ticket_missing', { headers: { authorization: '' } }],
      [
        'two Authorization fields',
        401,
        'ticket_malformed',
        { headers: { authorization: `DPoP ${SECRET}, DPoP ${SECRET}` } },
      ],
      ['two proofs', 401, 'proof_invalid', { headers: { dpop: `${PROOF}, ${PROOF}` } }],
      ['a body that is no SDP', 400, 'sdp_malformed', { body: 'hello' }],
      ['an empty body', 400, 'sdp_malformed', { body: '' }],
      ['a body that is not UTF-8', 400, 'request_malformed', { body: new Uint8Array([0xff, 0xfe]) }],
      [
        'a body that is announced too large',
        413,
        'body_too_large',
        { headers: { 'content-length': '70000' } },
      ],
      ['a body that does not end', 413, 'body_too_large', { body: endless() }],
      ['a body that comes too slowly', 400, 'request_malformed', { body: slow }],
      ['a body that breaks off', 400, 'request_malformed', { body: broken }],
      [
        'an offer without audio and video',
        422,
        'offer_unsupported',
        { body: OFFERS.chromium.replaceAll('recvonly', 'inactive') },
      ],
      ['a query', 400, 'request_malformed', { path: '/whep/live/test?ticket=x' }],
      ['a path of one segment', 404, 'not_found', { path: '/whep/live' }],
      ['an encoded path', 404, 'not_found', { path: '/whep/live/te%73t' }],
      ['an empty segment', 404, 'not_found', { path: '/whep//live/test' }],
      ['a path that climbs', 404, 'not_found', { path: '/whep/live/..' }],
      ['a path elsewhere', 404, 'not_found', { path: '/other/live/test' }],
    ])('refuses %s: %i', async (_name, status, code, init) => {
      expect(await codeOf(await post(init))).toEqual([status, code]);
      expect(gate.sessions).toEqual([]);
    });

    it.each<[Code, number, string | null]>([
      ['proof_nonce_required', 401, 'DPoP algs="Ed25519 ES256", error="use_dpop_nonce"'],
      ['proof_replayed', 401, 'DPoP algs="Ed25519 ES256", error="invalid_dpop_proof"'],
      ['ticket_expired', 401, 'DPoP algs="Ed25519 ES256", error="invalid_token"'],
      ['ticket_missing', 401, 'DPoP algs="Ed25519 ES256"'],
      ['ticket_wrong_uri', 403, null],
      ['rights_exhausted', 403, null],
      ['order_server_unreachable', 503, null],
    ])('passes on the gate refusing with %s: %i', async (code, status, challenge) => {
      gate.check = () => {
        throw new Denial(code);
      };
      const response = await post();
      expect(response.headers.get('www-authenticate')).toBe(challenge);
      expect(response.headers.get('retry-after')).toBe(code === 'order_server_unreachable' ? '5' : null);
      expect(await codeOf(response)).toEqual([status, code]);
    });

    it('says 409 and when to come again while the stream is off air', async () => {
      stage.failure = new Denial('stream_offline');
      const response = await post();
      expect(response.headers.get('retry-after')).toBe('3');
      expect(await codeOf(response)).toEqual([409, 'stream_offline']);
    });

    it('masks what went wrong inside, and logs it without the ticket', async () => {
      stage.failure = new Error('the worker is on fire');
      const response = await post();
      expect(await response.clone().text()).not.toContain('fire');
      expect(await codeOf(response)).toEqual([500, 'internal']);
      expect(log.lines.join()).toContain('the worker is on fire');
      expect(log.lines.join()).not.toContain(SECRET);
    });

    it('logs neither ticket, proof, session URL nor offer', async () => {
      const path = await open();
      await send('DELETE', path);
      for (const secret of [SECRET, PROOF, 'token-of-session', 'ice-pwd']) {
        expect(log.lines.join()).not.toContain(secret);
      }
    });
  });

  describe('PATCH', () => {
    const trickle = `a=ice-ufrag:odez\r\na=ice-pwd:sGP6xw7/w7B8Fdm8PrOvvFsT\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.9 5 typ host\r\n`;
    const restart = 'a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n';

    it('takes trickled candidates: 204 without an ETag', async () => {
      const response = await patch(await open(), trickle, { 'if-match': '"ice-0"' });
      expect(response.status).toBe(204);
      expect(response.headers.get('etag')).toBeNull();
      expect(stage.restarts).toBe(0);
    });

    it.each(['*', '"*"', '"ice-0"'])(
      'restarts ICE for If-Match %s: 200, fragment, new ETag',
      async (ifMatch) => {
        const path = await open();
        const response = await patch(path, restart, { 'if-match': ifMatch });
        expect(response.status).toBe(200);
        expect(response.headers.get('content-type')).toBe(FRAGMENT);
        expect(response.headers.get('etag')).toBe('"ice-1"');
        expect((await response.text()).split('\r\n')).toEqual([
          'a=ice-lite',
          'a=group:BUNDLE 1',
          'm=audio 9 UDP/TLS/RTP/SAVPF 111',
          'a=mid:1',
          'a=ice-ufrag:new1',
          'a=ice-pwd:newnewnewnewnewnewnewnew',
          'a=candidate:udp 1 udp 1 192.0.2.1 4002 typ host',
          'a=end-of-candidates',
          '',
        ]);
        expect((await patch(path, restart, { 'if-match': '"ice-1"' })).status).toBe(204);
        expect(await codeOf(await patch(path, trickle, { 'if-match': '"ice-0"' }))).toEqual([
          412,
          'precondition_failed',
        ]);
      },
    );

    it('keeps the ICE session when a restart fails', async () => {
      const path = await open();
      stage.failure = new Denial('overloaded');
      expect(await codeOf(await patch(path, restart, { 'if-match': '*' }))).toEqual([503, 'overloaded']);
      expect((await patch(path, trickle, { 'if-match': '"ice-0"' })).status).toBe(204);
    });

    it.each<[string, number, Code, string, Record<string, string>]>([
      ['without If-Match', 428, 'precondition_required', trickle, {}],
      ['with another ETag', 412, 'precondition_failed', trickle, { 'if-match': '"ice-7"' }],
      [
        'with another content type',
        415,
        'unsupported_media_type',
        trickle,
        { 'content-type': 'application/sdp', 'if-match': '*' },
      ],
      ['with an empty fragment', 400, 'sdp_malformed', '', { 'if-match': '*' }],
      ['with a fragment that is none', 400, 'sdp_malformed', '{}', { 'if-match': '*' }],
      ['with a ufrag but no password', 400, 'sdp_malformed', 'a=ice-ufrag:abcd\r\n', { 'if-match': '*' }],
      [
        'with too many candidates',
        400,
        'sdp_malformed',
        'a=candidate:1\r\n'.repeat(101),
        { 'if-match': '*' },
      ],
      ['with a large fragment', 413, 'body_too_large', 'a=x\r\n'.repeat(4000), { 'if-match': '*' }],
    ])('is refused %s: %i', async (_name, status, code, body, headers) => {
      expect(await codeOf(await patch(await open(), body, headers))).toEqual([status, code]);
    });

    it('needs a proof for its own URL', async () => {
      const path = await open();
      gate.check = () => {
        throw new Denial('proof_invalid');
      };
      expect(await codeOf(await patch(path, restart, { 'if-match': '*', dpop: PROOF }))).toEqual([
        401,
        'proof_invalid',
      ]);
      expect(gate.proofs).toEqual([
        { authorization: undefined, proof: PROOF, method: 'PATCH', url: `${PUBLIC}${path}` },
      ]);
      expect(stage.restarts).toBe(0);
    });
  });

  it('answers GET and HEAD with success and no content, there being nothing to read', async () => {
    const session = await open();
    for (const path of ['/whep/live/test', session]) {
      for (const method of ['GET', 'HEAD']) expect((await send(method, path)).status).toBe(204);
    }
  });

  it.each([
    ['PUT', '/whep/live/test', 'GET, HEAD, POST, OPTIONS'],
    ['DELETE', '/whep/live/test', 'GET, HEAD, POST, OPTIONS'],
    ['POST', '/session/token-of-session-0', 'GET, HEAD, PATCH, DELETE, OPTIONS'],
    ['DELETE', '/session/token-of-session-0/receipts', 'GET, OPTIONS'],
  ])('refuses %s on %s with what is allowed', async (method, path, allow) => {
    const response = await send(method, path);
    expect(response.headers.get('allow')).toBe(allow);
    expect(await codeOf(response)).toEqual([405, 'method_not_allowed']);
  });

  describe('every reply', () => {
    const replies: [string, () => Promise<Response>][] = [
      ['201', () => post()],
      ['400', () => post({ body: 'x' })],
      ['401', () => post({ headers: { authorization: '' } })],
      ['404', () => send('GET', '/nothing')],
      ['404 outside the base', () => whep.fetch(new Request('http://x/whep/live/test'), { peer: '' })],
      ['405', () => send('PUT', '/whep/live/test')],
      ['OPTIONS', () => send('OPTIONS', '/whep/live/test')],
    ];
    it.each(replies)('has a nonce, CORS and no-store: %s', async (_name, ask) => {
      const { headers } = await ask();
      expect(headers.get('dpop-nonce')).toBe('nonce-1');
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('access-control-allow-origin')).toBe('*');
      expect(headers.get('access-control-expose-headers')).toBe(
        'Location, ETag, Link, DPoP-Nonce, WWW-Authenticate, Retry-After, Accept-Patch',
      );
    });

    it('names only a listed origin', async () => {
      whep = createWhep({
        gate,
        stage,
        publicUrl: new URL(PUBLIC),
        log,
        clock: fakeTimerClock,
        corsOrigins: ['https://shop.example'],
      });
      const from = async (origin: string): Promise<Headers> =>
        (await send('OPTIONS', '/whep/live/test', { headers: { origin } })).headers;
      expect((await from('https://shop.example')).get('access-control-allow-origin')).toBe(
        'https://shop.example',
      );
      expect((await from('https://evil.example')).get('access-control-allow-origin')).toBeNull();
      expect((await from('https://evil.example')).get('vary')).toBe('Origin');
    });
  });

  it.each([
    ['/whep/live/test', 'accept-post', 'application/sdp', 'POST'],
    ['/session/token-of-session-0', 'accept-patch', FRAGMENT, 'PATCH'],
  ])('answers a preflight for %s with %s', async (path, name, value, method) => {
    const response = await send('OPTIONS', path, {
      headers: { origin: 'https://shop.example', 'access-control-request-method': method },
    });
    expect(response.status).toBe(200);
    expect(response.headers.get(name)).toBe(value);
    expect(response.headers.get('access-control-allow-methods')).toContain(method);
    expect(response.headers.get('access-control-allow-headers')).toBe(
      'Authorization, DPoP, Content-Type, If-Match',
    );
    expect(gate.requests).toEqual([]);
  });

  it('works at the root, too', async () => {
    whep = createWhep({ gate, stage, publicUrl: new URL('https://m.example'), log, clock: fakeTimerClock });
    const response = await whep.fetch(
      new Request('http://127.0.0.1/whep/live/test', {
        method: 'POST',
        headers: { 'content-type': 'application/sdp', authorization: `Bearer ${SECRET}` },
        body: OFFERS.safariLike,
      }),
      { peer: '::1' },
    );
    expect(response.headers.get('location')).toBe('https://m.example/session/token-of-session-0');
    expect(gate.requests[0]?.url).toBe('https://m.example/whep/live/test');
  });
});
