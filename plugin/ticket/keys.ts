/** Key pairs, their JWKs and their ids (RFC 7517, RFC 7638, RFC 8037). */
import { createPublicKey, KeyObject } from 'node:crypto';
import { exportJWK, generateKeyPair, importJWK, type CryptoKey, type JWK } from 'jose';
import { BASE64URL_32_BYTES, decodeBase64url, sha256Base64url } from './encoding.ts';

export type SigningAlg = 'Ed25519' | 'ES256';
export type SealingCurve = 'X25519' | 'P-256';

/** All that a signing algorithm fixes: a key of one row never verifies under another. */
export const SIGNING_ALGS: Readonly<Record<SigningAlg, { readonly kty: string; readonly crv: string }>> = {
  Ed25519: { kty: 'OKP', crv: 'Ed25519' },
  ES256: { kty: 'EC', crv: 'P-256' },
};
export const SIGNING_ALG_NAMES = ['Ed25519', 'ES256'] as const satisfies readonly SigningAlg[];

/** Enough to sign. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: SigningAlg;
  readonly privateKey: CryptoKey;
}

export interface SigningKeyPair extends SigningKey {
  readonly publicKey: CryptoKey;
  /** With `kid`, `alg` and `use: "sig"`, as it goes into a JWK set. */
  readonly publicJwk: JWK;
  readonly privateJwk: JWK;
}

export interface SealingKeyPair {
  readonly kid: string;
  /** With `kid` and `use: "enc"`. */
  readonly publicJwk: JWK;
  readonly privateJwk: JWK;
}

const MEMBERS_OF: Readonly<Record<string, readonly ('crv' | 'kty' | 'x' | 'y')[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
};

/** The members that make the public key, in the order of RFC 7638 section 3.2. Throws TypeError for other keys. */
export function requiredMembers(jwk: JWK): JWK {
  const names = MEMBERS_OF[jwk.kty ?? ''];
  if (names === undefined) throw new TypeError('the key is neither EC nor OKP');
  const members: Record<string, string> = {};
  for (const name of names) {
    const value = jwk[name];
    if (typeof value !== 'string') throw new TypeError(`the key has no ${name}`);
    members[name] = value;
  }
  return members;
}

/** RFC 7638 SHA-256 thumbprint in base64url, 43 characters, of an EC or OKP key. Throws TypeError for other keys. */
export function thumbprint(jwk: JWK): string {
  return sha256Base64url(JSON.stringify(requiredMembers(jwk)));
}

/** The public half of an EC or OKP key: only members that are known to be public are copied. */
export function toPublicJwk(jwk: JWK): JWK {
  const { kid, alg, use } = jwk;
  return {
    ...requiredMembers(jwk),
    ...(kid === undefined ? {} : { kid }),
    ...(alg === undefined ? {} : { alg }),
    ...(use === undefined ? {} : { use }),
  };
}

/** The signing algorithm of a JWK, or `null` when it is for something else or says so itself. */
export function signingAlgOf(jwk: JWK): SigningAlg | null {
  const alg = SIGNING_ALG_NAMES.find(
    (name) => SIGNING_ALGS[name].kty === jwk.kty && SIGNING_ALGS[name].crv === jwk.crv,
  );
  if (alg === undefined) return null;
  if (jwk.alg !== undefined && jwk.alg !== alg) return null;
  if (jwk.use !== undefined && jwk.use !== 'sig') return null;
  return alg;
}

/** What `importJWK` gives for a key pair. Throws TypeError for whatever it refuses. */
export async function asCryptoKey(imported: Promise<CryptoKey | Uint8Array>): Promise<CryptoKey> {
  const key = await imported.catch((cause: unknown) => {
    throw new TypeError('not a valid key', { cause });
  });
  if (key instanceof Uint8Array) throw new TypeError('not a key pair');
  return key;
}

const keyObjects = new WeakMap<CryptoKey, KeyObject>();

/**
 * The key for `node:crypto`, converted once. Throws TypeError for a key that is not meant for `usage`: a `KeyObject`
 * no longer says what it is for.
 */
export function toKeyObject(key: CryptoKey, usage: 'deriveBits' | 'sign' | 'verify'): KeyObject {
  if (!key.usages.includes(usage)) throw new TypeError(`the key is not for ${usage}`);
  let converted = keyObjects.get(key);
  if (converted === undefined) {
    converted = KeyObject.from(key);
    keyObjects.set(key, converted);
  }
  return converted;
}

/** DER of a SubjectPublicKeyInfo up to the key's own bytes (RFC 8410 section 4, RFC 5480 section 2). */
const SPKI_PREFIX = {
  Ed25519: Buffer.from('302a300506032b6570032100', 'hex'),
  X25519: Buffer.from('302a300506032b656e032100', 'hex'),
  // With the mark of an uncompressed point.
  'P-256': Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex'),
} as const;

/** The members of a public key on one of our curves; others have no part in it. */
export type PublicMembers =
  | { readonly crv: 'Ed25519' | 'X25519'; readonly x: string }
  | { readonly crv: 'P-256'; readonly x: string; readonly y: string };

/**
 * A public key that came with a message. By way of PEM, since `createPublicKey` takes three times as long for any object
 * that is not a key yet. Throws an Error for coordinates that are not 32 bytes, and for a point that is not on the curve.
 */
export function publicKeyObject(members: PublicMembers): KeyObject {
  const prefix = SPKI_PREFIX[members.crv];
  const coordinates = members.crv === 'P-256' ? [members.x, members.y] : [members.x];
  const bytes = coordinates.map((text) => decodeBase64url(text));
  if (bytes.some((coordinate) => coordinate?.length !== 32))
    throw new TypeError('a coordinate is not 32 bytes');
  const der = Buffer.concat([prefix, ...bytes.filter((coordinate) => coordinate !== null)]);
  return createPublicKey(`-----BEGIN PUBLIC KEY-----\n${der.toString('base64')}\n-----END PUBLIC KEY-----\n`);
}

/** Imports a public key for verifying. Throws TypeError when the JWK is not a key for `alg`. */
export async function importVerifyKey(jwk: JWK, alg: SigningAlg): Promise<CryptoKey> {
  if (signingAlgOf(jwk) !== alg) throw new TypeError(`the key is not for ${alg}`);
  return asCryptoKey(importJWK(requiredMembers(jwk), alg));
}

/** Imports a stored private key for signing; `kid` is the JWK's own or its thumbprint. Throws TypeError. */
export async function importSigningKey(privateJwk: JWK): Promise<SigningKeyPair> {
  const alg = signingAlgOf(privateJwk);
  if (alg === null || typeof privateJwk.d !== 'string' || !BASE64URL_32_BYTES.test(privateJwk.d))
    throw new TypeError('not a private key for Ed25519 or ES256');
  const kid = privateJwk.kid ?? thumbprint(privateJwk);
  const members = requiredMembers(privateJwk);
  const labels = { kid, alg, use: 'sig' };
  return {
    kid,
    alg,
    // Extractable, since `KeyObject.from` is to refuse other keys (DEP0204); the private JWK is beside it anyway.
    privateKey: await asCryptoKey(importJWK({ ...members, d: privateJwk.d }, alg, { extractable: true })),
    publicKey: await asCryptoKey(importJWK(members, alg)),
    publicJwk: { ...members, ...labels },
    privateJwk: { ...members, ...labels, d: privateJwk.d },
  };
}

/** Makes a signing key pair. The private JWK is a secret: keep it encrypted at rest. */
export async function generateSigningKey(alg: SigningAlg = 'Ed25519'): Promise<SigningKeyPair> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return importSigningKey(await exportJWK(privateKey));
}

/** Makes a key pair that tickets are sealed to. The private JWK is a secret: keep it encrypted at rest. */
export async function generateSealingKey(curve: SealingCurve = 'X25519'): Promise<SealingKeyPair> {
  const { privateKey } = await generateKeyPair('ECDH-ES+A256KW', { crv: curve, extractable: true });
  const exported = await exportJWK(privateKey);
  const members = requiredMembers(exported);
  const labels = { kid: thumbprint(members), use: 'enc' };
  return {
    kid: labels.kid,
    publicJwk: { ...members, ...labels },
    privateJwk: { ...exported, ...labels },
  };
}
