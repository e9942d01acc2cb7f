/** The examples of RFC 7518 (JWA), RFC 3394 (key wrap), RFC 7515 (JWS) and RFC 8037 (Ed25519). */
import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { expect, it } from 'vitest';
import { concatKdf, unwrapKey } from '../../../plugin/ticket/ecdh-es.ts';
import { verifyJws } from '../../../plugin/ticket/jws.ts';

/** RFC 7518 appendix C: Alice's ephemeral key, Bob's static one. */
const ALICE = {
  kty: 'EC',
  crv: 'P-256',
  x: 'gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0',
  y: 'SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps',
};
const BOB = {
  kty: 'EC',
  crv: 'P-256',
  x: 'weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ',
  y: 'e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck',
  d: 'VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw',
};
const AGREED = '9e56d91d817135d372834283bf84269cfb316ea3da806a48f6daa7798cfe90c4';

it('the secret of RFC 7518 appendix C is agreed', () => {
  const secret = diffieHellman({
    privateKey: createPrivateKey({ key: BOB, format: 'jwk' }),
    publicKey: createPublicKey({ key: ALICE, format: 'jwk' }),
  });
  expect(secret.toString('hex')).toBe(AGREED);
});

it('the key of RFC 7518 appendix C is derived', () => {
  const key = concatKdf(Buffer.from(AGREED, 'hex'), {
    algorithmId: 'A128GCM',
    keyBytes: 16,
    partyU: 'Alice',
    partyV: 'Bob',
  });
  expect(key.toString('base64url')).toBe('VqqN6vgjbSBcIijNcacQGg');
});

it.each([0, 33, 1.5])('a key of %d bytes is not derived', (keyBytes) => {
  expect(() => concatKdf(Buffer.alloc(32), { algorithmId: 'A128GCM', keyBytes })).toThrow(RangeError);
});

/** RFC 3394 section 4.6. */
const WRAPPING_KEY = Buffer.from(Uint8Array.from({ length: 32 }, (_, index) => index));
const WRAPPED = Buffer.from(
  '28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21',
  'hex',
);

it('the 256 bits of RFC 3394 section 4.6 are unwrapped', () => {
  expect(unwrapKey(WRAPPING_KEY, WRAPPED).toString('hex')).toBe(
    '00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f',
  );
});

it.each<[string, Buffer, Buffer]>([
  ['another wrapping key', Buffer.alloc(32), WRAPPED],
  ['a changed first byte', WRAPPING_KEY, Buffer.concat([Buffer.from([0x29]), WRAPPED.subarray(1)])],
  ['a changed last byte', WRAPPING_KEY, Buffer.concat([WRAPPED.subarray(0, 39), Buffer.from([0x20])])],
  [
    'the 192 bits of section 4.5',
    WRAPPING_KEY,
    Buffer.from('a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1', 'hex'),
  ],
  ['nothing', WRAPPING_KEY, Buffer.alloc(0)],
])('nothing is unwrapped from RFC 3394 with %s', (_name, wrappingKey, wrapped) => {
  expect(() => unwrapKey(wrappingKey, wrapped)).toThrow(Error);
});

it.each([
  [
    'RFC 7515 appendix A.3',
    'ES256',
    {
      kty: 'EC',
      crv: 'P-256',
      x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
      y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
    },
    'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0' +
      'cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q',
  ],
  [
    'RFC 8037 appendix A.4',
    'Ed25519',
    { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' },
    'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR' +
      '4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg',
  ],
] as const)('the signature of %s verifies, and not over another text', (_name, alg, jwk, jws) => {
  const end = jws.lastIndexOf('.');
  const signature = Buffer.from(jws.slice(end + 1), 'base64url');
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  verifyJws({ signingInput: Buffer.from(jws.slice(0, end)), signature }, alg, key);
  expect(() => verifyJws({ signingInput: Buffer.from(jws.slice(1, end)), signature }, alg, key)).toThrow(
    'the signature is not that of the key',
  );
});
