import { describe, expect, it } from 'vitest';
import {
  generateSealingKey,
  generateSigningKey,
  importSealingKey,
  importSigningKey,
  importVerifyKey,
  signingAlgOf,
  thumbprint,
  toPublicJwk,
} from '../../../plugin/ticket/index.ts';
import {
  HOLDER_ED25519,
  HOLDER_ES256,
  ORDER_SERVER_ED25519,
  STREAMING_SERVER_X25519,
} from './insecure-test-keys.ts';

const RSA = { kty: 'RSA', n: 'AQAB', e: 'AQAB', d: 'AQAB' };

describe.each(['Ed25519', 'ES256'] as const)('a new %s key', (alg) => {
  it('is named by its thumbprint and says what it is for', async () => {
    const key = await generateSigningKey(alg);
    expect(key.kid).toBe(thumbprint(key.publicJwk));
    expect(key.publicJwk).toMatchObject({ kid: key.kid, alg, use: 'sig' });
    expect(key.publicJwk).not.toHaveProperty('d');
  });

  it('survives being stored', async () => {
    const key = await generateSigningKey(alg);
    const stored: unknown = JSON.parse(JSON.stringify(key.privateJwk));
    const again = await importSigningKey(stored as typeof key.privateJwk);
    const data = Buffer.from('data');
    const parameters = { name: alg === 'ES256' ? 'ECDSA' : 'Ed25519', hash: 'SHA-256' };
    const signature = await crypto.subtle.sign(parameters, again.privateKey, data);
    expect(await crypto.subtle.verify(parameters, key.publicKey, signature, data)).toBe(true);
    expect(again.kid).toBe(key.kid);
  });
});

describe.each(['X25519', 'P-256'] as const)('a new %s sealing key', (crv) => {
  it('is named by its thumbprint and shows only its public half', async () => {
    const key = await generateSealingKey(crv);
    expect(key.kid).toBe(thumbprint(key.publicJwk));
    expect(key.publicJwk).toMatchObject({ crv, kid: key.kid, use: 'enc' });
    expect(key.publicJwk).not.toHaveProperty('d');
    expect(key.privateJwk.d).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });
});

describe('the public half of a key', () => {
  it('is made of members that are known to be public', () => {
    const jwk = { ...HOLDER_ES256, alg: 'ES256', use: 'sig', ext: true, key_ops: ['sign'], secret: 'x' };
    const { kty, crv, x, y, kid } = HOLDER_ES256;
    expect(toPublicJwk(jwk)).toEqual({ kty, crv, x, y, kid, alg: 'ES256', use: 'sig' });
  });

  it.each([
    ['an RSA key', RSA],
    ['a symmetric key', { kty: 'oct', k: 'AAAA' }],
    ['a key of no type', {}],
    ['half a point', { kty: 'EC', crv: 'P-256', x: HOLDER_ES256.x }],
  ])('is not made of %s', (_name, jwk) => {
    expect(() => toPublicJwk(jwk)).toThrow(TypeError);
    expect(() => thumbprint(jwk)).toThrow(TypeError);
  });
});

describe('the signing algorithm of a key', () => {
  it.each([
    ['Ed25519', HOLDER_ED25519, 'Ed25519'],
    ['P-256', HOLDER_ES256, 'ES256'],
    ['Ed25519 that says ES256', { ...HOLDER_ED25519, alg: 'ES256' }, null],
    ['Ed25519 for encryption', { ...HOLDER_ED25519, use: 'enc' }, null],
    ['X25519', STREAMING_SERVER_X25519, null],
    ['P-384', { ...HOLDER_ES256, crv: 'P-384' }, null],
    ['RSA', RSA, null],
  ])('of %s', (_name, jwk, alg) => {
    expect(signingAlgOf(jwk)).toBe(alg);
  });
});

describe('importing', () => {
  it('takes a public key for its own algorithm only', async () => {
    expect((await importVerifyKey(HOLDER_ED25519, 'Ed25519')).type).toBe('public');
    await expect(importVerifyKey(HOLDER_ED25519, 'ES256')).rejects.toThrow(TypeError);
    await expect(importVerifyKey(HOLDER_ES256, 'Ed25519')).rejects.toThrow(TypeError);
  });

  it('refuses a point that is not on the curve', async () => {
    await expect(importVerifyKey({ ...HOLDER_ES256, y: HOLDER_ES256.x }, 'ES256')).rejects.toThrow(TypeError);
  });

  it.each([
    ['a public key', toPublicJwk(ORDER_SERVER_ED25519)],
    ['a sealing key', STREAMING_SERVER_X25519],
    ['a private part that is too short', { ...ORDER_SERVER_ED25519, d: 'AAAA' }],
    ['a private part of another key', { ...ORDER_SERVER_ED25519, d: HOLDER_ED25519.d }],
  ])('does not sign with %s', async (_name, jwk) => {
    await expect(importSigningKey(jwk)).rejects.toThrow(TypeError);
  });

  it('seals to X25519 and P-256 keys only', async () => {
    expect((await importSealingKey(STREAMING_SERVER_X25519)).type).toBe('public');
    expect((await importSealingKey(HOLDER_ES256)).type).toBe('public');
    await expect(importSealingKey(HOLDER_ED25519)).rejects.toThrow(TypeError);
    await expect(importSealingKey(RSA)).rejects.toThrow(TypeError);
  });
});
