import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { MAX_PROOF_CHARS } from '../../../plugin/ticket/index.ts';
import {
  createNonces,
  createProof,
  createProofVerifier,
  createReplayMemory,
  thumbprint,
  type Nonces,
  type ProofOptions,
  type ProofRequest,
  type ProofVerifier,
  type ReplayMemory,
} from '../../../plugin/ticket/index.ts';
import { HOLDER_ED25519, HOLDER_ES256 } from './insecure-test-keys.ts';
import {
  codeOf,
  decode,
  flipBit,
  FrozenClock,
  holderEcKey,
  holderKey,
  NOW_SECONDS,
  orderServerKey,
  signObjects,
  signTexts,
} from './support.ts';

const ATTEMPT = '7d9c3f0e-58a8-4d7e-9c5e-0a1b2c3d4e5f';
const FINGERPRINT = 'sha-256 AB:CD:EF';
const URL_ASKED = 'https://media.example.com/whep/live/concert';
const TICKET = 'header.payload.signature';

let clock: FrozenClock;
let nonces: Nonces;
let replay: ReplayMemory;
let verifier: ProofVerifier;

beforeEach(() => {
  clock = new FrozenClock();
  nonces = createNonces({ secret: new Uint8Array(32).fill(7), clock });
  replay = createReplayMemory({ clock });
  verifier = createProofVerifier({ nonces, replay, clock });
});

const prove = (change: Partial<ProofOptions> = {}) =>
  createProof({
    privateKey: holderKey.privateKey,
    publicJwk: holderKey.publicJwk,
    alg: 'Ed25519',
    method: 'POST',
    url: URL_ASKED,
    ticket: TICKET,
    nonce: nonces.current(),
    nowSeconds: NOW_SECONDS,
    ...change,
  });

const verify = (proof: string | undefined, change: Partial<ProofRequest> = {}) =>
  verifier.verify({
    proof,
    method: 'POST',
    url: URL_ASKED,
    ticket: TICKET,
    jkt: thumbprint(HOLDER_ED25519),
    ...change,
  });

describe('a proof is accepted', () => {
  it('and says what is asked for, and in which attempt', async () => {
    const ask = { action: 'play', tier: { maxHeight: 720 } } as const;
    const proof = await prove({ ask, attempt: ATTEMPT });
    expect(await verify(proof)).toEqual({ jti: decode(proof).payload.jti, attempt: ATTEMPT, ask });
  });

  it('and says nothing more than that it is valid', async () => {
    expect(await verify(await prove())).toMatchObject({ attempt: null, ask: null });
  });

  it('when it is signed with ES256', async () => {
    const proof = await prove({
      privateKey: holderEcKey.privateKey,
      publicJwk: holderEcKey.publicJwk,
      alg: 'ES256',
    });
    expect(await verify(proof, { jkt: thumbprint(HOLDER_ES256) })).toMatchObject({ attempt: null });
  });

  it('with the fingerprint of the offer', async () => {
    const proof = await prove({ fingerprint: FINGERPRINT });
    expect(await verify(proof, { fingerprint: FINGERPRINT })).toMatchObject({ ask: null });
  });

  it.each([-60, 5])('when its clock differs by %i s', async (seconds) => {
    expect(await verify(await prove({ nowSeconds: NOW_SECONDS + seconds }))).toMatchObject({ ask: null });
  });

  it.each([
    ['a query', `${URL_ASKED}?x=1`],
    ['the default port', 'https://media.example.com:443/whep/live/concert'],
    ['capitals in the host', 'HTTPS://Media.Example.Com/whep/live/concert'],
    ['an escaped letter', 'https://media.example.com/whep/live/%63oncert'],
  ])('for a URL with %s', async (_name, url) => {
    expect(await verify(await prove({ url }))).toMatchObject({ ask: null });
  });

  it('with the nonce of the period before', async () => {
    const nonce = nonces.current();
    clock.advanceSeconds(60);
    expect(await verify(await prove({ nonce, nowSeconds: NOW_SECONDS + 60 }))).toMatchObject({ ask: null });
  });
});

/** A proof with another header or payload, signed again by its key. */
async function resign(header: object, payload: object): Promise<string> {
  const genuine = decode(await prove());
  return signObjects({ ...genuine.header, ...header }, { ...genuine.payload, ...payload }, holderKey);
}

it('a proof is accepted with the members of its key in any order', async () => {
  const jwk = { x: HOLDER_ED25519.x, crv: 'Ed25519', kty: 'OKP' };
  expect(await verify(await resign({ jwk }, {}))).toMatchObject({ ask: null });
});

describe('a proof is refused', () => {
  it.each<[string, string, () => Promise<string | undefined>, Partial<ProofRequest>?]>([
    ['when there is none', 'proof_missing', async () => undefined],
    ['when it is empty', 'proof_missing', async () => ''],
    ['when it is no JWS', 'proof_invalid: not a compact JWS', async () => 'abc'],
    [
      'when it is too long',
      'proof_invalid: not a compact JWS',
      () => resign({}, { htu: `${URL_ASKED}?${'x'.repeat(MAX_PROOF_CHARS)}` }),
    ],
    [
      'when a claim is there twice',
      'proof_invalid: not a compact JWS',
      async () => {
        const { header, payload } = decode(await prove());
        return signTexts(
          JSON.stringify(header),
          JSON.stringify(payload).replace('{', '{"htm":"GET",'),
          holderKey,
        );
      },
    ],
    ['of another type', 'proof_invalid: typ', () => resign({ typ: 'ticket+jwt' }, {})],
    ['with alg none', 'proof_invalid: alg', () => resign({ alg: 'none' }, {})],
    ['with the algorithm of another key', 'proof_invalid: alg', () => resign({ alg: 'ES256' }, {})],
    ['with crit', 'proof_invalid: header', () => resign({ crit: ['exp'] }, {})],
    ['with a key id', 'proof_invalid: header', () => resign({ kid: 'a' }, {})],
    ['with a private key', 'proof_invalid: jwk', () => resign({ jwk: HOLDER_ED25519 }, {})],
    ['with a symmetric key', 'proof_invalid: jwk.kty', () => resign({ jwk: { kty: 'oct', k: 'AAAA' } }, {})],
    ['without a key', 'proof_invalid: jwk', () => resign({ jwk: undefined }, {})],
    [
      'by a key that the ticket does not name',
      'proof_invalid: jwk',
      () => prove({ privateKey: orderServerKey.privateKey, publicJwk: orderServerKey.publicJwk }),
    ],
    [
      'signed by another key than it shows',
      'proof_invalid: signature',
      async () => {
        const { header, payload } = decode(await prove());
        return signObjects(header, payload, orderServerKey);
      },
    ],
    ['with an unknown claim', 'proof_invalid: unknown claim', () => resign({}, { scope: 'all' })],
    ['with a short id', 'proof_invalid: jti', () => resign({}, { jti: 'short' })],
    ['with a long id', 'proof_invalid: jti', () => resign({}, { jti: 'a'.repeat(65) })],
    ['without an id', 'proof_invalid: jti', () => resign({}, { jti: undefined })],
    ['for another method', 'proof_invalid: htm', () => prove({ method: 'DELETE' })],
    ['for a method in other letters', 'proof_invalid: htm', () => prove({ method: 'post' })],
    ['for another path', 'proof_invalid: htu', () => prove({ url: `${URL_ASKED}2` })],
    ['for another host', 'proof_invalid: htu', () => prove({ url: URL_ASKED.replace('media', 'other') })],
    ['for another scheme', 'proof_invalid: htu', () => prove({ url: URL_ASKED.replace('https', 'http') })],
    ['for no URL', 'proof_invalid: htu', () => prove({ url: '/whep/live/concert' })],
    ['for another ticket', 'proof_invalid: ath', () => prove({ ticket: `${TICKET}A` })],
    ['without a ticket', 'proof_invalid: ath', () => resign({}, { ath: undefined })],
    ['that is too old', 'proof_invalid: iat', () => prove({ nowSeconds: NOW_SECONDS - 61 })],
    ['from the future', 'proof_invalid: iat', () => prove({ nowSeconds: NOW_SECONDS + 6 })],
    ['with a time as text', 'proof_invalid: iat', () => resign({}, { iat: String(NOW_SECONDS) })],
    ['with an attempt that is no UUID', 'proof_invalid: attempt', () => resign({}, { attempt: '1' })],
    ['with a strange ask', 'proof_invalid: ask.action', () => resign({}, { ask: { action: 'record' } })],
    ['with a nonce of another kind', 'proof_invalid: nonce', () => resign({}, { nonce: 1 })],
    ['without a nonce', 'proof_nonce_required: nonce', () => prove({ nonce: undefined })],
    ['with a nonce of its own', 'proof_nonce_required: nonce', () => prove({ nonce: 'A'.repeat(43) })],
    ['without the fingerprint', 'proof_invalid: fingerprint', () => prove(), { fingerprint: FINGERPRINT }],
    [
      'with the fingerprint of another offer',
      'proof_invalid: fingerprint',
      () => prove({ fingerprint: `${FINGERPRINT}:00` }),
      { fingerprint: FINGERPRINT },
    ],
    [
      'with a fingerprint where there is no offer',
      'proof_invalid: fingerprint',
      () => prove({ fingerprint: FINGERPRINT }),
    ],
    [
      'with an empty fingerprint where there is no offer',
      'proof_invalid: fingerprint',
      () => prove({ fingerprint: '' }),
    ],
  ])('%s', async (_name, code, make, change = {}) => {
    expect(await codeOf(verify(await make(), change))).toBe(code);
    expect(replay.size()).toBe(0);
  });

  it('when it is used twice', async () => {
    const proof = await prove();
    await verify(proof);
    expect(await codeOf(verify(proof))).toBe('proof_replayed');
  });

  it('in all but one of many simultaneous uses', async () => {
    const proof = await prove();
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => verify(proof)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('when it is used again as long as it would otherwise be accepted', async () => {
    const proof = await prove({ nowSeconds: NOW_SECONDS + 5 });
    await verify(proof);
    for (let second = 0; second < 65; second += 1) {
      expect(await codeOf(verify(proof))).toMatch(/^proof_(replayed|nonce_required)/);
      clock.advanceSeconds(1);
    }
    clock.advanceSeconds(1);
    expect(await codeOf(verify(proof))).toBe('proof_invalid: iat');
  });

  it('with the nonce of two periods ago', async () => {
    const nonce = nonces.current();
    clock.advanceSeconds(120);
    const proof = await prove({ nonce, nowSeconds: NOW_SECONDS + 120 });
    expect(await codeOf(verify(proof))).toBe('proof_nonce_required: nonce');
  });

  it('when the memory of used ones is full', async () => {
    replay = createReplayMemory({ clock, capacity: 1 });
    verifier = createProofVerifier({ nonces, replay, clock });
    await verify(await prove());
    expect(await codeOf(verify(await prove()))).toBe('overloaded');
  });

  it('without telling whether its nonce is current, unless it is signed', async () => {
    const { header, payload } = decode(await prove());
    const forged = await signObjects(header, { ...payload, nonce: 'old' }, orderServerKey);
    expect(await codeOf(verify(forged))).toBe('proof_invalid: signature');
  });
});

it.each([
  ['that is no point of the curve', { y: HOLDER_ES256.x }, 'signature'],
  ['that is the point at infinity', { x: 'A'.repeat(43), y: 'A'.repeat(43) }, 'signature'],
  ['with a coordinate beyond the field', { x: '_'.repeat(42) + '8' }, 'signature'],
  ['with a coordinate that is a byte short', { x: HOLDER_ES256.x.slice(0, -1) }, 'jwk.x'],
  ['with a coordinate that is a byte long', { y: `${HOLDER_ES256.y}A` }, 'jwk.y'],
  ['without a coordinate', { y: undefined }, 'jwk.y'],
])('a proof is refused with a key %s, even if the ticket names it', async (_name, change, detail) => {
  const { kty, crv, x, y } = HOLDER_ES256;
  const jwk = { kty, crv, x, y, ...change };
  const { payload } = decode(await prove());
  const proof = await signObjects({ typ: 'dpop+jwt', alg: 'ES256', jwk }, payload, holderEcKey);
  const jkt = jwk.y === undefined ? 'A'.repeat(43) : thumbprint({ ...jwk, y: jwk.y });
  expect(await codeOf(verify(proof, { jkt }))).toBe(`proof_invalid: ${detail}`);
});

it('the id of a proof cannot be used up by another holder', async () => {
  const proof = await prove();
  const { jti } = decode(proof).payload;
  const other = decode(
    await prove({ privateKey: holderEcKey.privateKey, publicJwk: holderEcKey.publicJwk, alg: 'ES256' }),
  );
  const sameId = await signObjects(other.header, { ...other.payload, jti }, holderEcKey);
  await verify(sameId, { jkt: thumbprint(HOLDER_ES256) });
  expect(await verify(proof)).toMatchObject({ jti });
});

it('any single bit of a proof counts', async () => {
  const proof = await prove({ ask: { action: 'play' }, attempt: ATTEMPT, fingerprint: FINGERPRINT });
  await fc.assert(
    fc.asyncProperty(fc.nat(proof.length * 8 - 1), async (bit) => {
      const code = await codeOf(verify(flipBit(proof, bit), { fingerprint: FINGERPRINT }));
      expect(code).toMatch(/^proof_invalid/);
    }),
    { seed: 9449, numRuns: 400 },
  );
  expect(await verify(proof, { fingerprint: FINGERPRINT })).toMatchObject({ attempt: ATTEMPT });
});
