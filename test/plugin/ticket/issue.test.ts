import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  generateSealingKey,
  issueTicket,
  MAX_TICKET_CHARS,
  openClientPart,
  openTicket,
  type TicketOrder,
} from '../../../plugin/ticket/index.ts';
import { CLIENT_X25519, STREAMING_SERVER_P256, STREAMING_SERVER_X25519 } from './insecure-test-keys.ts';
import {
  claims,
  decode,
  flipBit,
  keySource,
  NOW_SECONDS,
  order,
  orderServerKey,
  recipient,
  SECRET_KEY,
  SERVER_ID,
  unsealKey,
  URI,
} from './support.ts';

const wanted = { serverId: SERVER_ID, uri: URI, keys: keySource, nowSeconds: NOW_SECONDS };

describe('an issued ticket', () => {
  it('names its type, algorithm and key, and nothing else, in its header', async () => {
    const { ticket } = await issueTicket(order);
    expect(decode(ticket).header).toEqual({ typ: 'ticket+jwt', alg: 'Ed25519', kid: orderServerKey.kid });
  });

  it('shows neither the secret nor the watermark', async () => {
    const { ticket } = await issueTicket(order);
    const readable = JSON.stringify(decode(ticket));
    expect(readable).not.toContain('wm-0001');
    expect(readable).not.toContain(Buffer.from(SECRET_KEY).toString('base64url'));
  });

  it('seals anew each time', async () => {
    const sealed = await Promise.all([issueTicket(order), issueTicket(order)]);
    const [one, other] = sealed.map(({ ticket }) => decode(ticket).payload.ss as { ciphertext: string });
    expect(one?.ciphertext).not.toBe(other?.ciphertext);
  });

  it('opens at each of several servers, whatever their curves', async () => {
    const keys = [STREAMING_SERVER_X25519, STREAMING_SERVER_P256, CLIENT_X25519];
    const { ticket } = await issueTicket({ ...order, servers: keys.map(recipient) });
    for (const key of keys) {
      const { secret } = await openTicket(ticket, { ...wanted, unsealKeys: [unsealKey(key)] });
      expect(secret.wm).toBe('wm-0001');
    }
  });

  it.each(['X25519', 'P-256'] as const)(
    'fits with 8 servers of %s keys, 8 endpoints and every right in 4096 characters',
    async (curve) => {
      const keys = await Promise.all(Array.from({ length: 8 }, () => generateSealingKey(curve)));
      const names = keys.map((_, index) => `edge-${index + 1}-fra.example`);
      const { ticket } = await issueTicket({
        ...order,
        claims: {
          ...claims,
          aud: names,
          sub: '019a0000-0000-7000-8000-000000000003',
          endpoints: names.map((name) => `https://${name}.com:4001/whep/live/concert-2026`),
          rights: {
            action: 'play',
            accesses: 3,
            seconds: 7200,
            bytes: 10_000_000_000,
            concurrent: 2,
            window: 86_400,
            onExcess: 'reject-new',
            controls: ['pause', 'seek'],
            tier: { maxHeight: 1080, maxBitrate: 6_000_000, audioBitrate: 128_000 },
          },
          suites: ['DTLS-SRTP', 'AES_CM_128_HMAC_SHA1_80', 'AEAD_AES_128_GCM'],
        },
        secret: { k: SECRET_KEY, wm: '019a0000-0000-7000-8000-000000000004' },
        servers: keys,
      });
      expect(ticket.length).toBeLessThanOrEqual(MAX_TICKET_CHARS);
      for (const [index, key] of keys.entries()) {
        const { secret } = await openTicket(ticket, {
          ...wanted,
          serverId: names[index] ?? '',
          unsealKeys: [key],
        });
        expect(Uint8Array.from(secret.k ?? [])).toEqual(SECRET_KEY);
      }
    },
  );

  it.each<[string, Partial<TicketOrder>, RegExp]>([
    ['a key of 16 bytes', { secret: { k: new Uint8Array(16) } }, /k is not 32 bytes/],
    ['a watermark that is too long', { secret: { wm: 'a'.repeat(65) } }, /not a secret: wm/],
    ['a watermark with a space', { secret: { wm: 'a b' } }, /not a secret: wm/],
    [
      'a signing key whose id no server takes',
      { signingKey: { ...orderServerKey, kid: 'a b' } },
      /not a header: kid/,
    ],
    [
      'a signing key under the name of another algorithm',
      { signingKey: { ...orderServerKey, alg: 'ES256' } },
      /key/i,
    ],
    ['a claim that it does not know', { claims: { ...claims, scope: 'all' } as never }, /unknown claim/],
    ['no server', { servers: [] }, /1 to 8 servers/],
    ['nine servers', { servers: Array.from({ length: 9 }, () => order.servers[0]!) }, /1 to 8 servers/],
    ['a server twice', { servers: [order.servers[0]!, order.servers[0]!] }, /named twice/],
    [
      'a server key for signing',
      { servers: [{ kid: 'a', publicJwk: orderServerKey.publicJwk }] },
      /neither X25519 nor P-256/,
    ],
    [
      'a server key that is not on its curve',
      { servers: [{ kid: 'a', publicJwk: { ...STREAMING_SERVER_P256, y: STREAMING_SERVER_P256.x } }] },
      /not a valid key/,
    ],
    [
      'a server key of low order',
      { servers: [{ kid: 'a', publicJwk: { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) } }] },
      /cannot be agreed with/,
    ],
    [
      'a client key for signing',
      { client: { sealKey: orderServerKey.publicJwk } },
      /neither X25519 nor P-256/,
    ],
    [
      'a client key of low order',
      { client: { sealKey: { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) } } },
      /cannot be agreed with/,
    ],
    [
      'a client key of RSA',
      { client: { sealKey: { kty: 'RSA', n: 'AQAB', e: 'AQAB' } } },
      /neither EC nor OKP/,
    ],
    ['a claim that no server takes', { claims: { ...claims, aud: ['a/b'] } }, /aud\.0/],
  ])('is not made from %s', async (_name, change, message) => {
    const outcome: unknown = await issueTicket({ ...order, ...change }).catch((error: unknown) => error);
    expect(outcome).toBeInstanceOf(TypeError);
    expect((outcome as TypeError).message).toMatch(message);
  });

  it('is not made longer than 4096 characters', async () => {
    const endpoints = Array.from({ length: 8 }, (_, index) => `https://${index}.a/`.padEnd(300, 'x'));
    await expect(issueTicket({ ...order, claims: { ...claims, endpoints } })).rejects.toThrow(
      new RangeError('the ticket has 4778 characters, more than 4096'),
    );
  });

  it('fits with four servers of each curve, which need an ephemeral key each', async () => {
    const curves = ['X25519', 'P-256', 'X25519', 'P-256', 'X25519', 'P-256', 'X25519', 'P-256'] as const;
    const keys = await Promise.all(curves.map((curve) => generateSealingKey(curve)));
    const { ticket } = await issueTicket({ ...order, secret: { k: SECRET_KEY }, servers: keys });
    expect(ticket.length).toBeLessThanOrEqual(MAX_TICKET_CHARS);
    for (const key of keys) {
      const { secret } = await openTicket(ticket, { ...wanted, unsealKeys: [key] });
      expect(Uint8Array.from(secret.k ?? [])).toEqual(SECRET_KEY);
    }
  });
});

describe('the client part', () => {
  it('gives the holder the same key as the streaming server, under the hash in the ticket', async () => {
    const { ticket, clientPart } = await issueTicket(order);
    const { jti, cph } = decode(ticket).payload as { jti: string; cph: string };
    expect(cph).toBe(createHash('sha256').update(clientPart!).digest('base64url'));
    expect(Uint8Array.from(await openClientPart(clientPart!, CLIENT_X25519, { jti, cph }))).toEqual(
      SECRET_KEY,
    );
  });

  it('may be sealed to a P-256 key', async () => {
    const { ticket, clientPart } = await issueTicket({
      ...order,
      client: { sealKey: STREAMING_SERVER_P256 },
    });
    const { jti, cph } = decode(ticket).payload as { jti: string; cph: string };
    const key = await openClientPart(clientPart!, STREAMING_SERVER_P256, { jti, cph });
    expect(Uint8Array.from(key)).toEqual(SECRET_KEY);
  });

  it.each<[string, Partial<TicketOrder>]>([
    ['the keys are left to the streaming server', { secret: { wm: 'wm-0001' } }],
    ['the client has no seal key', { client: undefined as never }],
  ])('is absent when %s', async (_name, change) => {
    const { ticket, clientPart } = await issueTicket({ ...order, ...change });
    expect(clientPart).toBeNull();
    expect(decode(ticket).payload).not.toHaveProperty('cph');
  });

  it('is refused when it is changed, of another ticket, too long, or opened with another key', async () => {
    const { ticket, clientPart } = await issueTicket(order);
    const { jti, cph } = decode(ticket).payload as { jti: string; cph: string };
    const part = clientPart!;
    const hashOf = (text: string) => createHash('sha256').update(text).digest('base64url');
    const changed = flipBit(part, (part.length - 4) * 8 + 1);
    const cases: [string, object, { jti: string; cph?: string }][] = [
      [changed, CLIENT_X25519, { jti, cph }],
      [changed, CLIENT_X25519, { jti, cph: hashOf(changed) }],
      [part, CLIENT_X25519, { jti: '019a0000-0000-7000-8000-00000000000f', cph }],
      [part, CLIENT_X25519, { jti }],
      [part, STREAMING_SERVER_X25519, { jti, cph }],
      ['A'.repeat(2000), CLIENT_X25519, { jti, cph: hashOf('A'.repeat(2000)) }],
    ];
    for (const [text, key, of] of cases) {
      await expect(openClientPart(text, key, of)).rejects.toThrow(TypeError);
    }
  });
});
