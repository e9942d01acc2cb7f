import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { BASE64URL_32_BYTES, decodeBase64url } from '../../../plugin/ticket/encoding.ts';
import { publicKeyObject } from '../../../plugin/ticket/keys.ts';

describe('base64url', () => {
  it('is read back to the bytes that it was made from', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(decodeBase64url(Buffer.from(bytes).toString('base64url'))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it('has one spelling for the same bytes, whatever the decoder overlooks', () => {
    const char = fc.constantFrom(...Array.from('AQgwBCDEFGHIJ_-09xyz=+/ \n.'));
    fc.assert(
      fc.property(fc.string({ unit: char, maxLength: 12 }), (text) => {
        const isCanonical = Buffer.from(text, 'base64url').toString('base64url') === text;
        expect(decodeBase64url(text) !== null).toBe(isCanonical);
      }),
      { numRuns: 2000 },
    );
  });

  it('of 32 bytes is known by its form', () => {
    const text = fc.string({
      unit: fc.constantFrom(...Array.from('AEQ048BCDxyz_-')),
      minLength: 42,
      maxLength: 44,
    });
    fc.assert(
      fc.property(text, (candidate) => {
        expect(BASE64URL_32_BYTES.test(candidate)).toBe(decodeBase64url(candidate)?.length === 32);
      }),
    );
  });
});

describe('a public key that came with a message', () => {
  it.each([
    ['Ed25519', generateKeyPairSync('ed25519').publicKey],
    ['X25519', generateKeyPairSync('x25519').publicKey],
    ['P-256', generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey],
  ])('of %s is the one that its JWK names', (_curve, key) => {
    const jwk = key.export({ format: 'jwk' });
    const read = publicKeyObject(jwk as Parameters<typeof publicKeyObject>[0]);
    expect(read.equals(createPublicKey({ key: jwk, format: 'jwk' }))).toBe(true);
  });

  it.each([
    ['a short coordinate', { crv: 'Ed25519', x: 'A'.repeat(42) }],
    ['a long coordinate', { crv: 'X25519', x: 'A'.repeat(44) }],
    ['a coordinate in another spelling', { crv: 'Ed25519', x: `${'A'.repeat(42)}B` }],
    ['no second coordinate', { crv: 'P-256', x: 'A'.repeat(43), y: '' }],
    ['a point off the curve', { crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) }],
  ] as const)('is not read from %s', (_name, members) => {
    expect(() => publicKeyObject(members)).toThrow(Error);
  });
});
