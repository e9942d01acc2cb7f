/** Sealing and opening with ECDH-ES+A256KW and A256GCM (RFC 7518 sections 4.6 and 5.3), computed at once like `jws.ts`. */
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { publicKeyObject, type PublicMembers } from './keys.ts';

export const SEAL_ALG = 'ECDH-ES+A256KW';
export const SEAL_ENC = 'A256GCM';

const KEY_BYTES = 32;
const WRAPPED_KEY_BYTES = KEY_BYTES + 8;
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** RFC 3394 section 2.2.3.1. */
const WRAP_IV = Buffer.alloc(8, 0xa6);

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function withLength(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

export interface ConcatKdfOptions {
  /** What the key is for: `enc`, or the whole `alg` when the key wraps another. */
  readonly algorithmId: string;
  /** 1..32: one round of SHA-256. */
  readonly keyBytes: number;
  readonly partyU?: string;
  readonly partyV?: string;
}

/** The key that RFC 7518 section 4.6.2 derives from an agreed secret. Throws RangeError for a length out of range. */
export function concatKdf(
  secret: Uint8Array,
  { algorithmId, keyBytes, partyU = '', partyV = '' }: ConcatKdfOptions,
): Buffer {
  if (!Number.isInteger(keyBytes) || keyBytes < 1 || keyBytes > 32)
    throw new RangeError('one round gives 1 to 32 bytes');
  const input = Buffer.concat([
    uint32(1),
    secret,
    withLength(algorithmId),
    withLength(partyU),
    withLength(partyV),
    uint32(keyBytes * 8),
  ]);
  return hash('sha256', input, 'buffer').subarray(0, keyBytes);
}

/** A key pair for one message. */
export interface EphemeralKey {
  /** As the message carries it. */
  readonly epk:
    | { readonly kty: 'OKP'; readonly crv: 'X25519'; readonly x: string }
    | { readonly kty: 'EC'; readonly crv: 'P-256'; readonly x: string; readonly y: string };
  readonly privateKey: KeyObject;
}

export function generateEphemeral(crv: 'X25519' | 'P-256'): EphemeralKey {
  const { publicKey, privateKey } =
    crv === 'X25519'
      ? generateKeyPairSync('x25519')
      : generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  return { epk: crv === 'X25519' ? { kty: 'OKP', crv, x } : { kty: 'EC', crv, x, y }, privateKey };
}

/**
 * A 256-bit content key, wrapped (RFC 3394) so that the holder of `publicKey` can unwrap it. Throws when nothing can be
 * agreed with that key: RFC 7748 section 6.1.
 */
export function wrapContentKey(
  contentKey: Uint8Array,
  { privateKey }: Pick<EphemeralKey, 'privateKey'>,
  publicKey: KeyObject,
): Buffer {
  const secret = diffieHellman({ privateKey, publicKey });
  const wrappingKey = concatKdf(secret, { algorithmId: SEAL_ALG, keyBytes: KEY_BYTES });
  const cipher = createCipheriv('id-aes256-wrap', createSecretKey(wrappingKey), WRAP_IV);
  return Buffer.concat([cipher.update(contentKey), cipher.final()]);
}

/** A content key for one message: 256 random bits. */
export const createContentKey = (): Buffer => randomBytes(KEY_BYTES);

/** Encrypts under a content key that is used for nothing else; `aad` is authenticated with it. */
export function encryptContent(
  contentKey: Uint8Array,
  plaintext: Uint8Array,
  aad: Uint8Array,
): Pick<SealedBytes, 'iv' | 'ciphertext' | 'tag'> {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', createSecretKey(contentKey), iv, {
    authTagLength: TAG_BYTES,
  }).setAAD(aad);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return { iv, ciphertext, tag: cipher.getAuthTag() };
}

/** Unwraps a 256-bit key (RFC 3394). Throws when `wrapped` was not made with `wrappingKey`. */
export function unwrapKey(wrappingKey: Uint8Array, wrapped: Uint8Array): Buffer {
  if (wrapped.length !== WRAPPED_KEY_BYTES) throw new TypeError('not a wrapped 256-bit key');
  const decipher = createDecipheriv('id-aes256-wrap', createSecretKey(wrappingKey), WRAP_IV);
  return Buffer.concat([decipher.update(wrapped), decipher.final()]);
}

export interface SealedBytes {
  readonly encryptedKey: Uint8Array;
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly tag: Uint8Array;
  /** Authenticated, not encrypted. */
  readonly aad: Uint8Array;
}

/**
 * Opens what was sealed to `privateKey` under the ephemeral key `epk`. Throws when it was not, or was changed; also when
 * `epk` is no point of the key's curve (RFC 7748 section 6.1: nor one of low order, with which everyone would agree).
 */
export function openSealed(
  { encryptedKey, iv, ciphertext, tag, aad }: SealedBytes,
  epk: PublicMembers,
  privateKey: KeyObject,
): Buffer {
  if (iv.length !== IV_BYTES || tag.length !== TAG_BYTES) throw new TypeError('not A256GCM');
  const secret = diffieHellman({ privateKey, publicKey: publicKeyObject(epk) });
  const wrappingKey = concatKdf(secret, { algorithmId: SEAL_ALG, keyBytes: KEY_BYTES });
  const key = unwrapKey(wrappingKey, encryptedKey);
  const decipher = createDecipheriv('aes-256-gcm', createSecretKey(key), iv, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(tag).setAAD(aad);
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
}
