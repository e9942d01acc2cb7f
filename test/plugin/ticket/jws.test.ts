/** Our signatures against those of `jose`, in both directions. */
import { createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { compactVerify, CompactSign } from 'jose';
import { describe, expect, it } from 'vitest';
import { parseCompact } from '../../../plugin/ticket/compact.ts';
import { signJws, verifyJws } from '../../../plugin/ticket/jws.ts';
import { importSigningKey, toKeyObject } from '../../../plugin/ticket/keys.ts';
import { importSealingKey, signServerMessage } from '../../../plugin/ticket/index.ts';
import { HOLDER_ED25519, HOLDER_ES256 } from './insecure-test-keys.ts';
import { decode, FrozenClock, holderEcKey, holderKey } from './support.ts';

const PAYLOAD = { text: 'Grüße' };
const NOT_GENUINE = 'the signature is not that of the key';
const NOT_FOR = 'the key is not for this algorithm';

function partsOf(jws: string) {
  const parts = parseCompact(jws, 4096);
  if (parts === null) throw new Error('not a compact JWS');
  return parts;
}

describe.each([
  ['Ed25519', holderKey, holderEcKey],
  ['ES256', holderEcKey, holderKey],
] as const)('%s', (alg, key, otherKey) => {
  const publicKey = toKeyObject(key.publicKey, 'verify');
  const privateKey = toKeyObject(key.privateKey, 'sign');
  const genuine = partsOf(signJws({ alg }, PAYLOAD, privateKey));

  it('signs what jose verifies', async () => {
    const jws = signJws({ typ: 'a', alg, kid: 'b' }, PAYLOAD, privateKey);
    const { payload, protectedHeader } = await compactVerify(jws, key.publicKey, { algorithms: [alg] });
    expect(JSON.parse(Buffer.from(payload).toString())).toEqual(PAYLOAD);
    expect(protectedHeader).toEqual({ typ: 'a', alg, kid: 'b' });
  });

  it('signs messages that jose verifies', async () => {
    const clock = new FrozenClock();
    const message = await signServerMessage({
      typ: 'receipts+jwt',
      payload: PAYLOAD,
      iss: 'edge-1',
      aud: 'a',
      key,
      clock,
    });
    await compactVerify(message, key.publicKey, { algorithms: [alg] });
    expect(decode(message).header).toEqual({ typ: 'receipts+jwt', alg, kid: key.kid });
  });

  it('verifies what jose signs', async () => {
    const jws = await new CompactSign(Buffer.from(JSON.stringify(PAYLOAD)))
      .setProtectedHeader({ alg })
      .sign(key.privateKey);
    verifyJws(partsOf(jws), alg, publicKey);
    const changed = { ...partsOf(jws), signingInput: Buffer.from('a.b') };
    expect(() => verifyJws(changed, alg, publicKey)).toThrow(NOT_GENUINE);
  });

  it.each<[string, (signature: Uint8Array) => Uint8Array]>([
    ['is empty', () => Buffer.alloc(0)],
    ['is a byte short', (signature) => signature.subarray(0, 63)],
    ['is a byte long', (signature) => Buffer.concat([signature, Buffer.alloc(1)])],
    ['is zero', () => Buffer.alloc(64)],
    ['is all ones', () => Buffer.alloc(64, 0xff)],
    [
      'has its halves swapped',
      (signature) => Buffer.concat([signature.subarray(32), signature.subarray(0, 32)]),
    ],
  ])('does not verify when the signature %s', (_name, change) => {
    const parts = { ...genuine, signature: change(genuine.signature) };
    expect(() => verifyJws(parts, alg, publicKey)).toThrow(NOT_GENUINE);
  });

  it.each<[string, KeyObject]>([
    ['the key of another algorithm', toKeyObject(otherKey.publicKey, 'verify')],
    ['the private key', privateKey],
    ['a P-384 key', generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey],
    ['an Ed448 key', generateKeyPairSync('ed448').publicKey],
    ['an X25519 key', generateKeyPairSync('x25519').publicKey],
  ])('does not verify with %s', (_name, unfit) => {
    expect(() => verifyJws(genuine, alg, unfit)).toThrow(NOT_FOR);
  });

  it('does not sign with the key of another algorithm, or a public one', () => {
    expect(() => signJws({ alg }, PAYLOAD, toKeyObject(otherKey.privateKey, 'sign'))).toThrow(NOT_FOR);
    expect(() => signJws({ alg }, PAYLOAD, publicKey)).toThrow(NOT_FOR);
  });
});

it('an ES256 signature in DER is not taken', () => {
  const privateKey = toKeyObject(holderEcKey.privateKey, 'sign');
  const signingInput = Buffer.from('a.b');
  const publicKey = toKeyObject(holderEcKey.publicKey, 'verify');
  const take = (dsaEncoding: 'der' | 'ieee-p1363') =>
    verifyJws(
      { signingInput, signature: sign('sha256', signingInput, { key: privateKey, dsaEncoding }) },
      'ES256',
      publicKey,
    );
  take('ieee-p1363');
  expect(() => take('der')).toThrow(NOT_GENUINE);
});

it('an Ed25519 signature has one form: S is not taken beyond the order (RFC 8032 section 5.1.7)', () => {
  const publicKey = toKeyObject(holderKey.publicKey, 'verify');
  const genuine = partsOf(signJws({ alg: 'Ed25519' }, PAYLOAD, toKeyObject(holderKey.privateKey, 'sign')));
  const littleEndian = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const s = littleEndian(genuine.signature.subarray(32)) + order;
  const beyond = Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse();
  const signature = Buffer.concat([genuine.signature.subarray(0, 32), beyond]);
  expect(() => verifyJws({ ...genuine, signature }, 'Ed25519', publicKey)).toThrow(NOT_GENUINE);
});

describe('a key of WebCrypto', () => {
  it('is converted once', async () => {
    const { publicKey } = await importSigningKey(HOLDER_ED25519);
    expect(toKeyObject(publicKey, 'verify')).toBe(toKeyObject(publicKey, 'verify'));
    expect(toKeyObject(publicKey, 'verify')).toEqual(
      createPublicKey({ key: holderKey.publicJwk, format: 'jwk' }),
    );
  });

  it('is not converted for what it is not meant for', async () => {
    const agreeing = await importSealingKey(HOLDER_ES256);
    expect(() => toKeyObject(agreeing, 'verify')).toThrow(TypeError);
    expect(() => toKeyObject(holderEcKey.privateKey, 'verify')).toThrow(TypeError);
    expect(() => toKeyObject(holderEcKey.publicKey, 'sign')).toThrow(TypeError);
    expect(() => toKeyObject(holderEcKey.privateKey, 'deriveBits')).toThrow(TypeError);
  });
});
