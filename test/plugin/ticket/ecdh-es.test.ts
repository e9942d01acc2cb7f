/** Sealed parts: what `jose` sealed opens, what we seal opens with `jose`, and what no library would seal does not. */
import {
  createCipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { FlattenedEncrypt, generalDecrypt, importJWK, type CryptoKey, type GeneralJWE, type JWK } from 'jose';
import { describe, expect, it } from 'vitest';
import { concatKdf, openSealed, SEAL_ALG, type SealedBytes } from '../../../plugin/ticket/ecdh-es.ts';
import { toPublicJwk } from '../../../plugin/ticket/index.ts';
import type { PublicMembers } from '../../../plugin/ticket/keys.ts';
import { importSealingKey, seal, unseal, type Sealed } from '../../../plugin/ticket/sealed.ts';
import { CLIENT_X25519, STREAMING_SERVER_P256, STREAMING_SERVER_X25519 } from './insecure-test-keys.ts';
import { recipient, unsealKey } from './support.ts';

const CONTENT = { wm: 'wm-0001' };
const AAD = Buffer.from('aad');

const importPrivate = (jwk: JWK) => createPrivateKey({ key: jwk, format: 'jwk' });
const importPublic = (jwk: JWK) => createPublicKey({ key: jwk, format: 'jwk' });

/** Seals `CONTENT` under an agreed secret, whatever it is. */
function sealWith(secret: Uint8Array): SealedBytes {
  const key = randomBytes(32);
  const wrappingKey = concatKdf(secret, { algorithmId: SEAL_ALG, keyBytes: 32 });
  const wrap = createCipheriv('id-aes256-wrap', wrappingKey, Buffer.alloc(8, 0xa6));
  const encryptedKey = Buffer.concat([wrap.update(key), wrap.final()]);
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(AAD);
  const ciphertext = Buffer.concat([cipher.update(JSON.stringify(CONTENT)), cipher.final()]);
  return { encryptedKey, iv, ciphertext, tag: cipher.getAuthTag(), aad: AAD };
}

const membersOf = (key: KeyObject) => key.export({ format: 'jwk' }) as PublicMembers;

const generate = (crv: 'P-256' | 'X25519') =>
  crv === 'X25519' ? generateKeyPairSync('x25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });

describe.each([
  ['X25519', STREAMING_SERVER_X25519, 'P-256'],
  ['P-256', STREAMING_SERVER_P256, 'X25519'],
] as const)('sealed to %s', (crv, serverJwk, otherCrv) => {
  const privateKey = importPrivate(serverJwk);
  const ephemeral = generate(crv);
  const epk = membersOf(ephemeral.publicKey);
  const genuine = sealWith(
    diffieHellman({ privateKey: ephemeral.privateKey, publicKey: importPublic(serverJwk) }),
  );

  it('opens', () => {
    expect(JSON.parse(openSealed(genuine, epk, privateKey).toString())).toEqual(CONTENT);
  });

  it.each<[string, Partial<SealedBytes>]>([
    ['a tag of 96 bits', { tag: genuine.tag.subarray(0, 12) }],
    ['a tag of 32 bits', { tag: genuine.tag.subarray(0, 4) }],
    ['no tag', { tag: Buffer.alloc(0) }],
    ['a longer tag', { tag: Buffer.concat([genuine.tag, Buffer.alloc(1)]) }],
    ['another tag', { tag: Buffer.alloc(16) }],
    ['a shorter iv', { iv: genuine.iv.subarray(0, 11) }],
    ['a longer iv', { iv: Buffer.concat([genuine.iv, Buffer.alloc(4)]) }],
    ['a longer ciphertext', { ciphertext: Buffer.concat([genuine.ciphertext, Buffer.alloc(1)]) }],
    ['no ciphertext', { ciphertext: Buffer.alloc(0) }],
    ['a shorter key', { encryptedKey: genuine.encryptedKey.subarray(0, 32) }],
    ['a longer key', { encryptedKey: Buffer.concat([genuine.encryptedKey, Buffer.alloc(8)]) }],
    ['other authenticated data', { aad: Buffer.from('AAD') }],
  ])('does not open with %s', (_name, change) => {
    expect(() => openSealed({ ...genuine, ...change }, epk, privateKey)).toThrow(Error);
  });

  it.each<[string, PublicMembers]>([
    ['another ephemeral key', membersOf(generate(crv).publicKey)],
    ['an ephemeral key of the other curve', membersOf(generate(otherCrv).publicKey)],
    ['an ephemeral key that is cut', { ...epk, x: epk.x.slice(0, 20) }],
  ])('does not open with %s', (_name, other) => {
    expect(() => openSealed(genuine, other, privateKey)).toThrow(Error);
  });
});

it.each([
  ['0', '00'.repeat(32)],
  ['1', `01${'00'.repeat(31)}`],
  ['325…', 'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'],
  ['394…', '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157'],
  ['p - 1', `ec${'ff'.repeat(30)}7f`],
  ['p', `ed${'ff'.repeat(30)}7f`],
  ['p + 1', `ee${'ff'.repeat(30)}7f`],
])(
  'the X25519 point %s of low order is refused, though the all-zero secret would open it',
  (_name, point) => {
    const x = Buffer.from(point, 'hex').toString('base64url');
    const sealed = sealWith(Buffer.alloc(32));
    const privateKey = importPrivate(STREAMING_SERVER_X25519);
    expect(() => openSealed(sealed, { crv: 'X25519', x }, privateKey)).toThrow(/deriv/);
  },
);

it('a point that is not on P-256 is refused', () => {
  const { x } = STREAMING_SERVER_P256;
  const privateKey = importPrivate(STREAMING_SERVER_P256);
  const off = { crv: 'P-256', x, y: x } as const;
  expect(() => openSealed(sealWith(Buffer.alloc(32)), off, privateKey)).toThrow(/decode|curve/);
});

/** What `jose` sealed to one key. */
async function sealedBy(jwk: JWK & { kid: string }, ephemeral?: CryptoKey): Promise<Sealed> {
  const encrypt = new FlattenedEncrypt(Buffer.from(JSON.stringify(CONTENT))).setProtectedHeader({
    alg: 'ECDH-ES+A256KW',
    enc: 'A256GCM',
  });
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- this is a test vector
  if (ephemeral !== undefined) encrypt.setKeyManagementParameters({ epk: ephemeral });
  const {
    encrypted_key = '',
    protected: head = '',
    iv = '',
    tag = '',
    ciphertext,
  } = await encrypt.encrypt(await importSealingKey(jwk));
  return { protected: head, iv, tag, ciphertext, recipients: [{ header: { kid: jwk.kid }, encrypted_key }] };
}

it('a secret that begins with a zero byte is agreed in full length (SEC 1 section 2.3.5)', async () => {
  // The agreement with STREAMING_SERVER_P256 is 00462750adb212ad..., found by trying.
  const ephemeral = await importJWK(
    {
      kty: 'EC',
      crv: 'P-256',
      x: '33YnUuPRp0O8oZiZorwx_nsYxIciAFsq6Rgq1K0a23E',
      y: 'xzF44NoUhYELBl_i61Ugkly7G33RwPS7zzERiqyC8Uw',
      d: '92hFaeChrdc0MyUnLyg_o_f8K235gtfYBchElDE5Y8s',
    },
    SEAL_ALG,
    { extractable: true },
  );
  if (ephemeral instanceof Uint8Array) throw new Error('not a key pair');
  const sealed = await sealedBy(STREAMING_SERVER_P256, ephemeral);
  expect(await unseal(sealed, [unsealKey(STREAMING_SERVER_P256)])).toEqual(CONTENT);
});

describe('a sealed part', () => {
  const keys = [unsealKey(STREAMING_SERVER_X25519)];

  it('opens for each of several recipients, of one curve or two', async () => {
    for (const other of [CLIENT_X25519, STREAMING_SERVER_P256]) {
      const sealed = seal(CONTENT, [recipient(STREAMING_SERVER_X25519), recipient(other)]);
      expect(await unseal(sealed, keys)).toEqual(CONTENT);
      expect(await unseal(sealed, [unsealKey(other)])).toEqual(CONTENT);
    }
  });

  it.each([
    ['one server', [STREAMING_SERVER_X25519]],
    ['one server of P-256', [STREAMING_SERVER_P256]],
    ['servers of one curve', [STREAMING_SERVER_X25519, CLIENT_X25519]],
    ['servers of two curves', [STREAMING_SERVER_X25519, STREAMING_SERVER_P256]],
  ])('for %s opens for each by RFC 7516, as `jose` has it', async (_name, readers) => {
    const sealed = seal(CONTENT, readers.map(recipient));
    for (const reader of readers) {
      const { plaintext } = await generalDecrypt(sealed as GeneralJWE, await importJWK(reader, SEAL_ALG));
      expect(JSON.parse(Buffer.from(plaintext).toString())).toEqual(CONTENT);
    }
  });

  it('has one ephemeral key, and in one place', async () => {
    const sealed = seal(CONTENT, [recipient(STREAMING_SERVER_X25519), recipient(CLIENT_X25519)]);
    const { unprotected, recipients, ...shared } = sealed;
    if (unprotected === undefined) throw new Error('the ephemeral key is not shared');
    const withEach = recipients.map((part) => ({ ...part, header: { ...part.header, ...unprotected } }));
    expect(await unseal({ ...shared, recipients: withEach }, keys)).toEqual(CONTENT);
    expect(await unseal({ ...shared, unprotected, recipients: withEach }, keys)).toBeNull();
    expect(await unseal({ ...shared, recipients }, keys)).toBeNull();

    const single = await sealedBy(STREAMING_SERVER_X25519);
    expect(await unseal(single, keys)).toEqual(CONTENT);
    expect(await unseal({ ...single, unprotected }, keys)).toBeNull();
  });

  it.each<[string, JWK]>([
    ['whose halves do not belong together', { ...STREAMING_SERVER_X25519, d: CLIENT_X25519.d }],
    ['that says it is for something else', { ...STREAMING_SERVER_X25519, key_ops: ['deriveKey'] }],
    ['that is public', toPublicJwk(STREAMING_SERVER_X25519)],
    ['of another curve', STREAMING_SERVER_P256],
  ])('does not open with a key %s', async (_name, privateJwk) => {
    const sealed = await sealedBy(STREAMING_SERVER_X25519);
    expect(await unseal(sealed, [{ kid: STREAMING_SERVER_X25519.kid, privateJwk }])).toBeNull();
  });
});
