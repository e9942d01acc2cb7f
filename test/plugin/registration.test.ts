import { beforeAll, describe, expect, it } from 'vitest';
import { asDenial } from '../../plugin/errors.ts';
import { readEnrolment, signPossession, verifyPossession } from '../../plugin/registration.ts';
import {
  generateSealingKey,
  generateSigningKey,
  signServerMessage,
  type SealingKeyPair,
  type SigningKeyPair,
} from '../../plugin/ticket/index.ts';

const ORDERS = 'https://orders.example';
const nowMs = Date.parse('2026-05-01T12:00:00Z');
const code = `ec_${'A'.repeat(22)}`;
let key: SigningKeyPair;
let ecKey: SigningKeyPair;
let other: SigningKeyPair;
let sealing: SealingKeyPair;
beforeAll(async () => {
  [key, ecKey, other, sealing] = await Promise.all([
    generateSigningKey(),
    generateSigningKey('ES256'),
    generateSigningKey(),
    generateSealingKey(),
  ]);
});

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ok',
    (error: unknown) => `${asDenial(error).code}: ${asDenial(error).detail ?? ''}`,
  );

interface Changes {
  readonly payload?: object;
  readonly sign?: Partial<Parameters<typeof signServerMessage>[0]>;
}

async function read({ payload, sign }: Changes = {}) {
  const jws = await signServerMessage({
    typ: 'enrolment+jwt',
    payload: {
      code,
      publicUrl: 'https://media.example',
      signingKey: key.publicJwk,
      sealingKey: sealing.publicJwk,
      ...payload,
    },
    iss: 'ss-1',
    aud: ORDERS,
    key,
    clock: { nowMs: () => nowMs },
    ...sign,
  });
  return readEnrolment(jws, { audience: ORDERS, nowSeconds: nowMs / 1000 });
}

describe('an enrolment', () => {
  it('says what is to be registered, by the key that is', async () => {
    expect(await read()).toMatchObject({ iss: 'ss-1', code, publicUrl: 'https://media.example' });
    expect(await read({ payload: { signingKey: ecKey.publicJwk }, sign: { key: ecKey } })).toMatchObject({
      signingKey: { kid: ecKey.kid },
    });
  });

  it.each<[string, string, () => Changes]>([
    ['signed with another key', 'server_untrusted: kid', () => ({ sign: { key: other } })],
    [
      "signed with another key under the registered one's id",
      'server_untrusted: signature',
      () => ({ sign: { key: { ...other, kid: key.kid } } }),
    ],
    [
      'whose key has the id of another key',
      'server_untrusted: kid',
      () => ({
        payload: { signingKey: { ...key.publicJwk, kid: other.kid } },
        sign: { key: { ...key, kid: other.kid } },
      }),
    ],
    [
      'whose key has no id',
      'request_malformed: signingKey',
      () => ({ payload: { signingKey: { ...key.publicJwk, kid: undefined } } }),
    ],
    [
      'whose sealing key has the id of another one',
      'request_malformed: sealingKey',
      () => ({ payload: { sealingKey: { ...sealing.publicJwk, kid: key.kid } } }),
    ],
    [
      'with a private key in it',
      'request_malformed: signingKey',
      () => ({ payload: { signingKey: { ...key.publicJwk, d: key.privateJwk.d } } }),
    ],
    ['for another order server', 'server_untrusted: aud', () => ({ sign: { aud: 'https://other.example' } })],
    [
      'that is too old',
      'server_untrusted: iat',
      () => ({ sign: { clock: { nowMs: () => nowMs - 70_000 } } }),
    ],
    [
      'from the future',
      'server_untrusted: iat',
      () => ({ sign: { clock: { nowMs: () => nowMs + 10_000 } } }),
    ],
    ['of another kind', 'request_malformed: typ', () => ({ sign: { typ: 'redemption+jwt' } })],
    ['without a code', 'request_malformed: code', () => ({ payload: { code: undefined } })],
    ['with a code of another form', 'request_malformed: code', () => ({ payload: { code: `${code}A` } })],
    ['with an id that is none', 'request_malformed: iss', () => ({ sign: { iss: '../x' } })],
    [
      'with a URL that is none',
      'request_malformed: publicUrl',
      () => ({ payload: { publicUrl: 'javascript:alert(1)' } }),
    ],
    [
      'with a password in the URL',
      'request_malformed: publicUrl',
      () => ({ payload: { publicUrl: 'https://a:b@media.example' } }),
    ],
    ['with something more', 'request_malformed: payload', () => ({ payload: { admin: true } })],
    [
      'with a point that is not on its curve',
      'server_untrusted: kid',
      () => {
        const signingKey = { ...ecKey.publicJwk, y: ecKey.publicJwk.x };
        return { payload: { signingKey }, sign: { key: ecKey } };
      },
    ],
    [
      'that is too long',
      'request_malformed: not a compact JWS',
      () => ({ payload: { padding: 'x'.repeat(5000) } }),
    ],
  ])('%s is refused: %s', async (_name, expected, changes) => {
    expect(await codeOf(read(changes()))).toBe(expected);
  });

  it.each(['', 'a.b.c', '....', 'x'.repeat(100_000)])('that is no JWS is refused', async (text) => {
    expect(await codeOf(readEnrolment(text, { audience: ORDERS, nowSeconds: 0 }))).toMatch(
      /^request_malformed/,
    );
  });
});

describe('possession of a new key', () => {
  const possession = () => ({
    iss: 'ss-1',
    aud: ORDERS,
    signingKey: other.publicJwk,
    sealingKey: sealing.publicJwk,
  });

  it('is shown by its signature over both keys', async () => {
    const jws = signPossession(other, possession());
    // What comes with it, the rest of the message, is of no matter.
    await expect(verifyPossession(jws, { ...possession() })).resolves.toBeUndefined();
  });

  it.each<[string, () => Promise<void>]>([
    [
      'for another server',
      () => verifyPossession(signPossession(other, possession()), { ...possession(), iss: 'ss-2' }),
    ],
    [
      'for another order server',
      () => verifyPossession(signPossession(other, possession()), { ...possession(), aud: 'x' }),
    ],
    ['by the key before it', () => verifyPossession(signPossession(key, possession()), possession())],
    [
      'by a key that takes its id',
      () => verifyPossession(signPossession({ ...key, kid: other.kid }, possession()), possession()),
    ],
    [
      'with another sealing key',
      async () => {
        const swapped = await generateSealingKey();
        const jws = signPossession(other, possession());
        return verifyPossession(jws, { ...possession(), sealingKey: swapped.publicJwk });
      },
    ],
    ['by nothing', () => verifyPossession('', possession())],
  ])('is not shown %s', async (_name, verify) => {
    expect(await codeOf(verify())).toBe('server_untrusted: possession');
  });
});
