import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FlattenedEncrypt } from 'jose';
import {
  authorizeTicket,
  CLOCK_TOLERANCE_SECONDS,
  importSealingKey,
  issueTicket,
  MAX_TICKET_CHARS,
  openTicket,
  ticketClaimsSchema,
  unsealTicket,
  verifyTicket,
} from '../../../plugin/ticket/index.ts';
import { CLIENT_X25519, STREAMING_SERVER_P256, STREAMING_SERVER_X25519 } from './insecure-test-keys.ts';
import {
  claims,
  codeOf,
  decode,
  flipBit,
  ISSUER,
  keySource,
  NOW_SECONDS,
  order,
  orderServerEcKey,
  orderServerKey,
  SECRET_KEY,
  SERVER_ID,
  signObjects,
  signTexts,
  unsealKey,
  unsealKeys,
  URI,
} from './support.ts';

const { ticket } = await issueTicket(order);
const genuine = decode(ticket);
const wanted = { serverId: SERVER_ID, uri: URI, keys: keySource, unsealKeys, nowSeconds: NOW_SECONDS };
const open = (text: string, change: Partial<typeof wanted> = {}) =>
  openTicket(text, { ...wanted, ...change });

const withHeader = (change: object) =>
  signObjects({ ...genuine.header, ...change }, genuine.payload, orderServerKey);
const withPayload = (change: object) =>
  signObjects(genuine.header, { ...genuine.payload, ...change }, orderServerKey);

describe('a genuine ticket', () => {
  it('opens to its claims and its secret', async () => {
    const opened = await open(ticket);
    expect(opened.claims).toMatchObject(claims);
    expect(Uint8Array.from(opened.secret.k ?? [])).toEqual(SECRET_KEY);
    expect(opened.secret.wm).toBe('wm-0001');
  });

  it('may be signed with ES256', async () => {
    const issued = await issueTicket({ ...order, signingKey: orderServerEcKey });
    expect((await open(issued.ticket)).claims.jti).toBe(claims.jti);
  });

  it('may leave the keys to the streaming server', async () => {
    const { ticket: keyless } = await issueTicket({ ...order, secret: {} });
    expect((await open(keyless)).secret).toEqual({ k: null, wm: null });
  });

  it.each([
    ['in its last second', { nowSeconds: claims.exp - 1 }],
    ['with a clock that is behind by the tolerance', { nowSeconds: claims.nbf - CLOCK_TOLERANCE_SECONDS }],
  ])('opens %s', async (_name, change) => {
    expect((await open(ticket, change)).claims.jti).toBe(claims.jti);
  });

  it('opens with the newer of two seal keys, and with the older', async () => {
    const two = [unsealKey(CLIENT_X25519), unsealKey(STREAMING_SERVER_X25519)];
    expect((await open(ticket, { unsealKeys: two })).secret.wm).toBe('wm-0001');
    expect((await open(ticket, { unsealKeys: two.toReversed() })).secret.wm).toBe('wm-0001');
  });
});

describe('a ticket is refused', () => {
  it.each<[string, string, () => string | Promise<string>]>([
    ['when empty', 'ticket_malformed: not a compact JWS', () => ''],
    ['with two parts', 'ticket_malformed: not a compact JWS', () => ticket.split('.').slice(0, 2).join('.')],
    ['with four parts', 'ticket_malformed: not a compact JWS', () => `${ticket}.AAAA`],
    ['without a signature', 'ticket_malformed: not a compact JWS', () => ticket.replace(/[^.]+$/, '')],
    ['with padding', 'ticket_malformed: not a compact JWS', () => `${ticket}==`],
    ['with a space behind it', 'ticket_malformed: not a compact JWS', () => `${ticket} `],
    [
      'with one character too many',
      'ticket_malformed: not a compact JWS',
      () => ticket.padEnd(MAX_TICKET_CHARS + 1, 'A'),
    ],
    [
      'with a list for a payload',
      'ticket_malformed: not a compact JWS',
      () => signTexts(JSON.stringify(genuine.header), '[]', orderServerKey),
    ],
    [
      'with a payload that is not JSON',
      'ticket_malformed: not a compact JWS',
      () => signTexts(JSON.stringify(genuine.header), '{', orderServerKey),
    ],
    [
      'with a claim that is there twice',
      'ticket_malformed: not a compact JWS',
      () =>
        signTexts(
          JSON.stringify(genuine.header),
          JSON.stringify(genuine.payload).replace('{', '{"uri":"/live/other",'),
          orderServerKey,
        ),
    ],
    [
      'with a header member that is there twice, once escaped',
      'ticket_malformed: not a compact JWS',
      () =>
        signTexts(
          JSON.stringify(genuine.header).replace('{', '{"\\u0061lg":"none",'),
          JSON.stringify(genuine.payload),
          orderServerKey,
        ),
    ],
    [
      'with a claim that JavaScript gives a meaning',
      'ticket_malformed: unknown claim',
      () =>
        signTexts(
          JSON.stringify(genuine.header),
          JSON.stringify(genuine.payload).replace('{', '{"__proto__":{"uri":"/live/other"},'),
          orderServerKey,
        ),
    ],
    [
      'with lists in lists',
      'ticket_malformed: not a compact JWS',
      () =>
        signTexts(
          JSON.stringify(genuine.header),
          JSON.stringify(genuine.payload).replace('{', `{"a":${'['.repeat(900)}${']'.repeat(900)},`),
          orderServerKey,
        ),
    ],
    ['of another type', 'ticket_malformed: typ', () => withHeader({ typ: 'JWT' })],
    ['with alg none', 'ticket_malformed: alg', () => withHeader({ alg: 'none' })],
    ['with alg HS256', 'ticket_malformed: alg', () => withHeader({ alg: 'HS256' })],
    ['with the older name of the algorithm', 'ticket_malformed: alg', () => withHeader({ alg: 'EdDSA' })],
    ['without a key id', 'ticket_malformed: kid', () => withHeader({ kid: undefined })],
    ...['crit', 'jku', 'jwk', 'x5u', 'x5c', 'b64', 'zip', 'cty'].map(
      (name): [string, string, () => Promise<string>] => [
        `with ${name} in its header`,
        'ticket_malformed: header',
        () => withHeader({ [name]: name === 'crit' ? ['exp'] : 'a' }),
      ],
    ),
    ['without an issuer', 'ticket_malformed: iss', () => withPayload({ iss: undefined })],
    [
      'of an issuer that is not pinned',
      'ticket_untrusted: iss',
      () => withPayload({ iss: `${ISSUER}.evil` }),
    ],
    ['with an unknown key', 'ticket_untrusted: kid', () => withHeader({ kid: 'insecure-test-other' })],
    [
      'with a key of another algorithm',
      'ticket_untrusted: kid',
      () => withHeader({ kid: orderServerEcKey.kid, alg: 'Ed25519' }),
    ],
    [
      'with an Ed25519 key used as ES256',
      'ticket_untrusted: kid',
      () => signObjects({ ...genuine.header, alg: 'ES256' }, genuine.payload, orderServerEcKey),
    ],
    [
      'with the signature of another key',
      'ticket_untrusted: signature',
      () =>
        signObjects(
          { ...genuine.header, kid: orderServerEcKey.kid, alg: 'ES256' },
          genuine.payload,
          orderServerKey,
        ),
    ],
    [
      'with a claim changed after signing',
      'ticket_untrusted: signature',
      () => {
        const [header, , signature] = ticket.split('.');
        const payload = Buffer.from(JSON.stringify({ ...genuine.payload, uri: '/live/other' }));
        return `${header}.${payload.toString('base64url')}.${signature}`;
      },
    ],
    ['with an unknown claim', 'ticket_malformed: unknown claim', () => withPayload({ scope: 'all' })],
    ['with rights that grant nothing', 'ticket_malformed: rights.action', () => withPayload({ rights: {} })],
    ['at its end', 'ticket_expired: exp', () => withPayload({ nbf: NOW_SECONDS - 60, exp: NOW_SECONDS })],
    [
      'before its beginning',
      'ticket_not_yet_valid: nbf',
      () => withPayload({ nbf: NOW_SECONDS + CLOCK_TOLERANCE_SECONDS + 1 }),
    ],
    [
      'issued in the future',
      'ticket_not_yet_valid: iat',
      () => withPayload({ iat: NOW_SECONDS + CLOCK_TOLERANCE_SECONDS + 1 }),
    ],
    ['for another server', 'ticket_wrong_audience: aud', () => withPayload({ aud: ['edge-2'] })],
    ['for a server of a longer name', 'ticket_wrong_audience: aud', () => withPayload({ aud: ['edge-11'] })],
    ['for another stream', 'ticket_wrong_uri: uri', () => withPayload({ uri: '/live/other' })],
    ['for a stream of a longer name', 'ticket_wrong_uri: uri', () => withPayload({ uri: '/live/concert2' })],
    ['for a stream above', 'ticket_wrong_uri: uri', () => withPayload({ uri: '/live/concert/hd' })],
    [
      'sealed to another server',
      'ticket_malformed: ss',
      async () => {
        const key = { kid: 'insecure-test-ss-2', publicJwk: STREAMING_SERVER_P256 };
        return (await issueTicket({ ...order, servers: [key] })).ticket;
      },
    ],
    [
      'sealed to a key under the id of another',
      'ticket_malformed: ss',
      async () => {
        const key = { kid: STREAMING_SERVER_X25519.kid, publicJwk: CLIENT_X25519 };
        return (await issueTicket({ ...order, servers: [key] })).ticket;
      },
    ],
  ])('%s', async (_name, code, make) => {
    expect(await codeOf(open(await make()))).toBe(code);
  });

  it('checks the signature before the claims, and the time before the purpose', async () => {
    const expired = await withPayload({ exp: NOW_SECONDS - 1, nbf: NOW_SECONDS - 2, uri: '/live/other' });
    expect(await codeOf(open(expired))).toBe('ticket_expired: exp');
    // A character for a character: a flipped bit could leave the alphabet.
    const forged = expired.slice(0, -40) + (expired.at(-40) === 'A' ? 'B' : 'A') + expired.slice(-39);
    expect(await codeOf(open(forged))).toBe('ticket_untrusted: signature');
  });

  it('passes on what the key source says', async () => {
    const failure = new Error('the key source is broken');
    const keys = { findSigningKey: () => Promise.reject(failure) };
    await expect(open(ticket, { keys })).rejects.toBe(failure);
  });
});

describe('any single bit', () => {
  it('of a ticket counts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(ticket.length * 8 - 1), async (bit) => {
        expect(await codeOf(open(flipBit(ticket, bit)))).toMatch(/^ticket_(malformed|untrusted)/);
      }),
      { seed: 35571, numRuns: 400 },
    );
  });

  it('of the last character of a ticket counts, though base64url decoders overlook some', async () => {
    for (let bit = (ticket.length - 1) * 8; bit < ticket.length * 8; bit += 1) {
      expect(await codeOf(open(flipBit(ticket, bit)))).toMatch(/^ticket_(malformed|untrusted)/);
    }
  });

  it('of the sealed part counts, even if the signer signs it', async () => {
    const texts = JSON.stringify(genuine.payload.ss);
    await fc.assert(
      fc.asyncProperty(fc.nat(texts.length * 8 - 1), async (bit) => {
        const flipped = flipBit(texts, bit);
        const payload = JSON.stringify({ ...genuine.payload, ss: 0 }).replace(
          '"ss":0',
          () => `"ss":${flipped}`,
        );
        const resigned = await signTexts(JSON.stringify(genuine.header), payload, orderServerKey);
        expect(await codeOf(open(resigned))).toMatch(/^ticket_malformed/);
      }),
      { seed: 84980, numRuns: 400 },
    );
  });
});

describe('the steps of opening stand alone', () => {
  const parsed = ticketClaimsSchema.parse(genuine.payload);

  it('verifies without knowing what the ticket is for', async () => {
    expect(await verifyTicket(ticket, { keys: keySource, nowSeconds: NOW_SECONDS })).toEqual(parsed);
  });

  it('authorizes one of several servers', () => {
    authorizeTicket({ aud: ['edge-1', 'edge-2'], uri: URI }, { serverId: 'edge-2', uri: URI });
    expect(() => authorizeTicket({ aud: ['edge-2'], uri: URI }, { serverId: 'edge-1', uri: URI })).toThrow(
      expect.objectContaining({ code: 'ticket_wrong_audience' }),
    );
  });

  it('refuses a sealed secret that is not one', async () => {
    const key = await importSealingKey(STREAMING_SERVER_X25519);
    for (const content of ['{"k":"AAAA"}', '{"wm":"a","x":1}', '[]', 'AAAA', '{"wm":"a","wm":"b"}']) {
      const { header: _header, ...jwe } = await new FlattenedEncrypt(Buffer.from(content))
        .setProtectedHeader({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM' })
        .encrypt(key);
      const { encrypted_key = '', protected: head = '', iv = '', tag = '', ciphertext } = jwe;
      const ss = {
        protected: head,
        iv,
        tag,
        ciphertext,
        recipients: [{ header: { kid: STREAMING_SERVER_X25519.kid }, encrypted_key }],
      };
      expect(await codeOf(unsealTicket({ ss }, unsealKeys)), content).toBe('ticket_malformed: ss');
    }
  });

  it('refuses other algorithms in the sealed part', async () => {
    const key = await importSealingKey(STREAMING_SERVER_X25519);
    for (const header of [
      { alg: 'ECDH-ES+A128KW', enc: 'A256GCM' },
      { alg: 'ECDH-ES+A256KW', enc: 'A128CBC-HS256' },
      { alg: 'ECDH-ES+A256KW', enc: 'A256GCM', zip: 'DEF' },
      { alg: 'ECDH-ES+A256KW', enc: 'A256GCM', apu: 'AAAA' },
    ]) {
      const jwe = await new FlattenedEncrypt(Buffer.from('{}')).setProtectedHeader(header).encrypt(key);
      const { encrypted_key = '', protected: head = '', iv = '', tag = '', ciphertext } = jwe;
      const recipients = [{ header: { kid: STREAMING_SERVER_X25519.kid }, encrypted_key }];
      const ss = { protected: head, iv, tag, ciphertext, recipients };
      expect(await codeOf(unsealTicket({ ss }, unsealKeys)), JSON.stringify(header)).toBe(
        'ticket_malformed: ss',
      );
    }
  });
});
