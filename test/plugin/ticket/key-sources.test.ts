import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asDenial } from '../../../plugin/errors.ts';
import type { KeySource } from '../../../plugin/ports.ts';
import {
  createRemoteKeySource,
  createStaticKeySource,
  generateSigningKey,
} from '../../../plugin/ticket/index.ts';
import { HOLDER_ES256, STREAMING_SERVER_X25519 } from './insecure-test-keys.ts';
import { codeOf, FrozenClock, ISSUER, orderServerEcKey, orderServerKey } from './support.ts';

const { kid, publicJwk } = orderServerKey;
const find = (source: KeySource, id = kid, alg = 'Ed25519', issuer = ISSUER) =>
  source.findSigningKey(issuer, id, alg);

describe('keys that are known beforehand', () => {
  const sourceOf = (...keys: object[]) => createStaticKeySource([{ issuer: ISSUER, jwks: { keys } }]);

  it('are found by issuer, id and algorithm', async () => {
    const source = sourceOf(publicJwk, orderServerEcKey.publicJwk);
    expect((await find(source)).algorithm.name).toBe('Ed25519');
    expect((await find(source, orderServerEcKey.kid, 'ES256')).algorithm.name).toBe('ECDSA');
  });

  it.each<[string, object[], string, string, string, string]>([
    ['another issuer', [publicJwk], kid, 'Ed25519', `${ISSUER}/`, 'iss'],
    ['an unknown id', [publicJwk], 'other', 'Ed25519', ISSUER, 'kid'],
    ['another algorithm', [publicJwk], kid, 'ES256', ISSUER, 'kid'],
    ['a key for encryption', [{ ...publicJwk, use: 'enc' }], kid, 'Ed25519', ISSUER, 'kid'],
    [
      'a key of which verifying is not allowed',
      [{ ...publicJwk, key_ops: ['sign'] }],
      kid,
      'Ed25519',
      ISSUER,
      'kid',
    ],
    ['a key that says another algorithm', [{ ...publicJwk, alg: 'ES256' }], kid, 'Ed25519', ISSUER, 'kid'],
    ['a key without an id', [{ ...publicJwk, kid: undefined }], kid, 'Ed25519', ISSUER, 'kid'],
    [
      'a point that is not on its curve',
      [{ ...HOLDER_ES256, y: HOLDER_ES256.x }],
      HOLDER_ES256.kid,
      'ES256',
      ISSUER,
      'kid',
    ],
    [
      'a key for key agreement',
      [STREAMING_SERVER_X25519],
      STREAMING_SERVER_X25519.kid,
      'Ed25519',
      ISSUER,
      'kid',
    ],
  ])('are not found for %s', async (_name, keys, id, alg, issuer, detail) => {
    expect(await codeOf(find(sourceOf(...keys), id, alg, issuer))).toBe(`ticket_untrusted: ${detail}`);
  });

  it('are found beside keys of kinds that nobody here knows', async () => {
    const source = sourceOf({ kty: 'RSA', kid: 'a', n: 'AQAB', e: 'AQAB' }, { kty: 'new' }, publicJwk);
    expect((await find(source)).type).toBe('public');
  });
});

describe('keys of an order server', () => {
  let clock: FrozenClock;
  let requests: number;
  let answer: RequestListener;
  let close: () => Promise<void>;
  let jwksUrl: string;

  const answerJson = (body: unknown): RequestListener => {
    return (_request, response) => response.end(JSON.stringify(body));
  };
  const sourceAt = (url = jwksUrl) =>
    createRemoteKeySource({ issuers: [{ issuer: ISSUER, jwksUrl: url }], clock });

  beforeEach(async () => {
    clock = new FrozenClock();
    requests = 0;
    answer = answerJson({ keys: [publicJwk] });
    const server = createServer((request, response) => {
      requests += 1;
      answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/.well-known/jwks.json`;
    close = () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      });
  });
  afterEach(() => close());

  it('are fetched once, however many ask at once', async () => {
    const source = sourceAt();
    await Promise.all(Array.from({ length: 50 }, () => find(source)));
    await find(source);
    expect(requests).toBe(1);
  });

  it('are fetched once for 1,000 admissions at once, of a known key and of an unknown one', async () => {
    const source = sourceAt();
    await Promise.all(Array.from({ length: 1000 }, () => find(source)));
    expect(requests).toBe(1);
    clock.advanceSeconds(10);
    const codes = await Promise.all(Array.from({ length: 1000 }, () => codeOf(find(source, 'unknown'))));
    expect(new Set(codes)).toEqual(new Set(['ticket_untrusted: kid']));
    expect(requests).toBe(2);
  });

  it('are used while newer ones are being fetched: nobody waits', async () => {
    const source = sourceAt();
    await find(source);
    const held = Promise.withResolvers<() => void>();
    answer = (_request, response) => held.resolve(() => response.end(JSON.stringify({ keys: [publicJwk] })));
    clock.advanceSeconds(61);
    const found = await Promise.all(Array.from({ length: 100 }, () => find(source)));
    expect(found).toHaveLength(100);
    (await held.promise)();
    expect(requests).toBe(2);
  });

  it('are for the algorithm of their key only', async () => {
    answer = answerJson({ keys: [{ ...publicJwk, alg: undefined }, orderServerEcKey.publicJwk] });
    const source = sourceAt();
    expect((await find(source)).type).toBe('public');
    expect(await codeOf(find(source, kid, 'ES256'))).toBe('ticket_untrusted: kid');
    expect(await codeOf(find(source, orderServerEcKey.kid, 'Ed25519'))).toBe('ticket_untrusted: kid');
    for (const alg of ['none', 'HS256', 'EdDSA', '__proto__', '']) {
      expect(await codeOf(find(source, kid, alg))).toBe('ticket_untrusted: kid');
    }
  });

  it('are only those that the issuer is trusted with', async () => {
    const source = createRemoteKeySource({
      issuers: [{ issuer: ISSUER, jwksUrl, trust: async () => ({ keys: [orderServerEcKey.publicJwk] }) }],
      clock,
    });
    expect(await codeOf(find(source))).toBe('ticket_untrusted: kid');
    expect((await find(source, orderServerEcKey.kid, 'ES256')).type).toBe('public');
  });

  it('of order servers that are not pinned are named in the log by their fingerprint, 10 a minute at most', async () => {
    const lines: [object, string][] = [];
    const log = { warn: (fields: object, message: string) => void lines.push([fields, message]) };
    const source = createRemoteKeySource({ issuers: [{ issuer: ISSUER, jwksUrl }], clock, log });
    const evil = 'https://evil.example/secret-claim';
    const stranger = await generateSigningKey();
    expect(await codeOf(find(source, stranger.kid, 'Ed25519', evil))).toBe('ticket_untrusted: iss');
    await codeOf(find(source, stranger.kid, 'Ed25519', evil));
    expect(lines).toEqual([
      [{ fingerprint: stranger.kid }, 'a ticket of an order server that is not pinned was refused'],
    ]);
    await codeOf(find(source, 'a name of its own', 'Ed25519', evil));
    expect(lines.at(-1)?.[0]).toEqual({ fingerprint: 'not a fingerprint' });
    const others = await Promise.all(Array.from({ length: 30 }, () => generateSigningKey()));
    for (const other of others) await codeOf(find(source, other.kid, 'Ed25519', evil));
    expect(lines).toHaveLength(10);
    clock.advanceSeconds(60);
    await codeOf(find(source, kid, 'Ed25519', evil));
    expect(lines).toHaveLength(11);
    expect(JSON.stringify(lines)).not.toContain('evil');
    expect(requests).toBe(0);
  });

  it('are never fetched for an issuer that is not pinned', async () => {
    expect(await codeOf(find(sourceAt(), kid, 'Ed25519', 'https://evil.example'))).toBe(
      'ticket_untrusted: iss',
    );
    expect(requests).toBe(0);
  });

  it('are fetched for unknown ids once per cooldown at most', async () => {
    const source = sourceAt();
    await find(source);
    for (let count = 0; count < 20; count += 1) {
      expect(await codeOf(find(source, `unknown-${count}`))).toBe('ticket_untrusted: kid');
    }
    expect(requests).toBe(1);
    clock.advanceSeconds(10);
    await Promise.all(
      Array.from({ length: 20 }, async (_, count) => codeOf(find(source, `unknown-${count}`))),
    );
    expect(requests).toBe(2);
  });

  it('are found after a rotation', async () => {
    const source = sourceAt();
    await find(source);
    const next = await generateSigningKey();
    answer = answerJson({ keys: [publicJwk, next.publicJwk] });
    clock.advanceSeconds(10);
    expect((await find(source, next.kid)).type).toBe('public');
  });

  it('are fetched anew beside the requests, so that a withdrawn key goes', async () => {
    const source = sourceAt();
    await find(source);
    answer = answerJson({ keys: [] });
    clock.advanceSeconds(61);
    await find(source);
    await expect
      .poll(
        async () =>
          find(source).then(
            () => 'still there',
            (error: unknown) => asDenial(error).code,
          ),
        { timeout: 10_000 },
      )
      .toBe('ticket_untrusted');
    expect(requests).toBe(2);
  });

  it('outlive an outage of the order server, up to a bound', async () => {
    const source = sourceAt();
    await find(source);
    await close();
    clock.advanceSeconds(300);
    expect((await find(source)).type).toBe('public');
    clock.advanceSeconds(1);
    expect(await codeOf(find(source))).toBe('order_server_unreachable');
  });

  it('that are unknown during an outage may be new ones', async () => {
    const source = sourceAt();
    await find(source);
    await close();
    clock.advanceSeconds(10);
    expect(await codeOf(find(source, 'new'))).toBe('order_server_unreachable');
  });

  it('come back when the order server does, after the cooldown', async () => {
    const source = sourceAt();
    const working = answer;
    answer = (_request, response) => response.writeHead(503).end();
    expect(await codeOf(find(source))).toBe('order_server_unreachable');
    answer = working;
    expect(await codeOf(find(source))).toBe('order_server_unreachable');
    expect(requests).toBe(1);
    clock.advanceSeconds(10);
    expect((await find(source)).type).toBe('public');
  });

  it.each<[string, RequestListener]>([
    ['of a status other than 200', (_request, response) => response.writeHead(404).end('{"keys":[]}')],
    ['that redirects', (_request, response) => response.writeHead(302, { location: '/other' }).end()],
    ['that is not JSON', (_request, response) => response.end('<html>')],
    ['that is no key set', answerJson({ key: publicJwk })],
    ['of more than 64 KiB', answerJson({ keys: [publicJwk], padding: 'x'.repeat(64 * 1024) })],
    ['of more than 64 keys', answerJson({ keys: Array.from({ length: 65 }, () => publicJwk) })],
    ['nested 30,000 deep', (_request, response) => response.end('['.repeat(30_000))],
    [
      'compressed from 100 MB',
      (_request, response) => {
        response.writeHead(200, { 'content-encoding': 'gzip' });
        response.end(gzipSync(Buffer.alloc(100 * 1024 * 1024, ' ')));
      },
    ],
    ['that breaks off', (request) => request.socket.destroy()],
  ])('are not taken from an answer %s', async (_name, listener) => {
    answer = listener;
    expect(await codeOf(find(sourceAt()))).toBe('order_server_unreachable');
    expect(requests).toBe(1);
  });

  it('are not waited for longer than a time limit says', async () => {
    const limits: (AbortSignal | null | undefined)[] = [];
    const source = createRemoteKeySource({
      issuers: [{ issuer: ISSUER, jwksUrl }],
      clock,
      fetch: (_url, { signal }) => {
        limits.push(signal);
        return Promise.reject(new DOMException('too slow', 'TimeoutError'));
      },
    });
    expect(await codeOf(find(source))).toBe('order_server_unreachable');
    expect(limits[0]).toBeInstanceOf(AbortSignal);
  });

  it('survive a fetch that throws at once', async () => {
    let broken = true;
    const source = createRemoteKeySource({
      issuers: [{ issuer: ISSUER, jwksUrl }],
      clock,
      fetch: (url, init) => {
        if (broken) throw new TypeError('broken');
        return fetch(url, init);
      },
    });
    expect(await codeOf(find(source))).toBe('order_server_unreachable');
    broken = false;
    clock.advanceSeconds(10);
    expect((await find(source)).type).toBe('public');
  });
});
