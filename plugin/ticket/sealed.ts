/**
 * The streaming-server part of a ticket: a JWE in general JSON serialization (RFC 7516 section 7.2.1), so that one
 * ciphertext can be opened by each of up to 8 servers with its own key.
 */
import { importJWK, type CryptoKey, type JWK } from 'jose';
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { UnsealKey } from '../ports.ts';
import { decodeBase64url } from './encoding.ts';
import { parseJsonObject } from './compact.ts';
import {
  createContentKey,
  encryptContent,
  generateEphemeral,
  openSealed,
  SEAL_ALG,
  SEAL_ENC,
  wrapContentKey,
  type EphemeralKey,
} from './ecdh-es.ts';
import { asCryptoKey, publicKeyObject, requiredMembers, toKeyObject } from './keys.ts';

export const MAX_SERVERS = 8;

/** Key ids: thumbprints, or names given by hand. */
export const kidSchema = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/);

const coordinate = z.string().refine((text) => decodeBase64url(text)?.length === 32, 'not 32 bytes');
const epkSchema = z.discriminatedUnion('kty', [
  z.strictObject({ kty: z.literal('OKP'), crv: z.literal('X25519'), x: coordinate }),
  z.strictObject({ kty: z.literal('EC'), crv: z.literal('P-256'), x: coordinate, y: coordinate }),
]);

type PublicEphemeral = z.infer<typeof epkSchema>;

/** `alg` and `enc` hold for all recipients; with a single one its ephemeral key is protected too. */
const protectedSchema = z.strictObject({
  alg: z.literal(SEAL_ALG),
  enc: z.literal(SEAL_ENC),
  epk: epkSchema.optional(),
});

const base64url = (minChars: number, maxChars: number) =>
  z
    .string()
    .min(minChars)
    .max(maxChars)
    .refine((text) => decodeBase64url(text) !== null, 'not base64url');

export const sealedSchema = z.strictObject({
  protected: base64url(2, 400),
  /** 96 bits. */
  iv: base64url(16, 16),
  ciphertext: base64url(3, 400),
  /** The ephemeral key of all recipients. */
  unprotected: z.strictObject({ epk: epkSchema }).optional(),
  /** 128 bits. */
  tag: base64url(22, 22),
  recipients: z
    .array(
      z.strictObject({
        header: z.strictObject({ kid: kidSchema, epk: epkSchema.optional() }),
        /** A 256-bit key, wrapped (RFC 3394): 40 bytes. */
        encrypted_key: base64url(54, 54),
      }),
    )
    .min(1)
    .max(MAX_SERVERS),
});
export type Sealed = z.infer<typeof sealedSchema>;

export interface Recipient {
  readonly kid: string;
  /** X25519 or P-256. */
  readonly publicJwk: JWK;
}

/** Imports a public key that something is sealed to. Throws TypeError unless it is a valid X25519 or P-256 key. */
export async function importSealingKey(jwk: JWK): Promise<CryptoKey> {
  const members = epkSchema.safeParse(requiredMembers(jwk));
  if (!members.success) throw new TypeError('the key is neither X25519 nor P-256');
  return asCryptoKey(importJWK(members.data, SEAL_ALG));
}

/** A public key that something is sealed to. Throws TypeError unless it is a valid X25519 or P-256 key. */
function sealingPublicKey(jwk: JWK): {
  readonly crv: PublicEphemeral['crv'];
  readonly key: KeyObject;
} {
  const members = epkSchema.safeParse(requiredMembers(jwk));
  if (!members.success) throw new TypeError('the key is neither X25519 nor P-256');
  try {
    return { crv: members.data.crv, key: publicKeyObject(members.data) };
  } catch (cause) {
    throw new TypeError('not a valid key', { cause });
  }
}

const encoded = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');

/**
 * Encrypts `content` as JSON to 1..8 recipients. Those of one curve share an ephemeral key: written once, it lets 8
 * recipients fit into a ticket. Each still gets a wrapping key of its own, since the agreement is with its own key.
 * Throws TypeError for a key that is not X25519 or P-256.
 */
export function seal(content: object, recipients: readonly Recipient[]): Sealed {
  const keys = recipients.map(({ kid, publicJwk }) => ({ kid, ...sealingPublicKey(publicJwk) }));
  const ephemerals = new Map(
    [...new Set(keys.map(({ crv }) => crv))].map((crv) => [crv, generateEphemeral(crv)]),
  );
  const contentKey = createContentKey();
  const [shared] = ephemerals.size === 1 ? [...ephemerals.values()].map(({ epk }) => ({ epk })) : [];
  const isSingle = keys.length === 1;
  const head = encoded(
    Buffer.from(JSON.stringify({ alg: SEAL_ALG, enc: SEAL_ENC, ...(isSingle ? shared : undefined) })),
  );
  const parts = keys.map(({ kid, crv, key }) => {
    const ephemeral = ephemerals.get(crv);
    if (ephemeral === undefined) throw new TypeError('the curve has no ephemeral key');
    const own = shared === undefined ? { epk: ephemeral.epk } : undefined;
    return { header: { kid, ...own }, encrypted_key: encoded(wrapped(contentKey, ephemeral, key)) };
  });
  const { iv, ciphertext, tag } = encryptContent(
    contentKey,
    Buffer.from(JSON.stringify(content)),
    Buffer.from(head),
  );
  return {
    protected: head,
    iv: encoded(iv),
    ciphertext: encoded(ciphertext),
    ...(isSingle || shared === undefined ? {} : { unprotected: shared }),
    tag: encoded(tag),
    recipients: parts,
  };
}

function wrapped(contentKey: Uint8Array, ephemeral: EphemeralKey, key: KeyObject): Buffer {
  try {
    return wrapContentKey(contentKey, ephemeral, key);
  } catch (cause) {
    throw new TypeError('a key cannot be agreed with', { cause });
  }
}

const NO_KEY = Buffer.alloc(32);
/** By curve, made when first needed: what is agreed with them protects nothing. */
const probes = new Map<PublicEphemeral['crv'], EphemeralKey>();

/** Throws TypeError as `sealCompact` would for a key; takes less time. */
export function tryAgreement(jwk: JWK): void {
  const { crv, key } = sealingPublicKey(jwk);
  const probe = probes.get(crv) ?? generateEphemeral(crv);
  probes.set(crv, probe);
  wrapped(NO_KEY, probe, key);
}

/** Encrypts to the holder of one key, as a compact JWE (RFC 7516 section 7.1). Throws TypeError like `seal`. */
export function sealCompact(content: object, typ: string, jwk: JWK): string {
  const { crv, key } = sealingPublicKey(jwk);
  const ephemeral = generateEphemeral(crv);
  const contentKey = createContentKey();
  const encryptedKey = wrapped(contentKey, ephemeral, key);
  const { epk } = ephemeral;
  const head = encoded(Buffer.from(JSON.stringify({ alg: SEAL_ALG, enc: SEAL_ENC, typ, epk })));
  const plaintext = Buffer.from(JSON.stringify(content));
  const { iv, ciphertext, tag } = encryptContent(contentKey, plaintext, Buffer.from(head));
  return [head, ...[encryptedKey, iv, ciphertext, tag].map(encoded)].join('.');
}

const imported = new WeakMap<JWK, Promise<CryptoKey>>();

/** A private JWK as a key for `SEAL_ALG`, imported once per object. Extractable, as `toKeyObject` needs it. */
export function sealingPrivateKey(jwk: JWK): Promise<CryptoKey> {
  let key = imported.get(jwk);
  if (key === undefined) {
    key = asCryptoKey(importJWK(jwk, SEAL_ALG, { extractable: true }));
    imported.set(jwk, key);
  }
  return key;
}

function decoded(text: string): Buffer {
  const bytes = decodeBase64url(text);
  if (bytes === null) throw new TypeError('not base64url');
  return bytes;
}

/** The one ephemeral key for a recipient; header members must not be there twice (RFC 7516 section 7.2.1). */
function ephemeralOf(sealed: Sealed, recipient: Sealed['recipients'][number]): PublicEphemeral {
  const head = protectedSchema.parse(parseJsonObject(decoded(sealed.protected)));
  const [epk, ...others] = [head.epk, sealed.unprotected?.epk, recipient.header.epk].filter(
    (candidate) => candidate !== undefined,
  );
  if (epk === undefined || others.length > 0) throw new TypeError('not one ephemeral key');
  return epk;
}

/** One recipient of a sealed part, as far as everybody may know. */
export interface SealedPart {
  readonly kid: string;
  readonly alg: typeof SEAL_ALG;
  readonly enc: typeof SEAL_ENC;
  /** Of the key that it is sealed to. */
  readonly curve: 'X25519' | 'P-256';
}

/** The rule that `describeSealed` enforces. */
export const SEALED_WORDS = `not ${SEAL_ALG} with ${SEAL_ENC} and one ephemeral key for each server`;

/** Who can open a sealed part. Throws an Error when its protected header is not as `SEALED_WORDS` says. */
export function describeSealed(sealed: Sealed): SealedPart[] {
  return sealed.recipients.map((recipient) => {
    const curve = ephemeralOf(sealed, recipient).crv;
    return { kid: recipient.header.kid, alg: SEAL_ALG, enc: SEAL_ENC, curve };
  });
}

/** The JSON object sealed to one of `keys`, or `null` if there is no part for them or it does not open. */
export async function unseal(sealed: Sealed, keys: readonly UnsealKey[]): Promise<object | null> {
  for (const recipient of sealed.recipients) {
    const key = keys.find(({ kid }) => kid === recipient.header.kid);
    if (key === undefined) continue;
    try {
      const sealedBytes = {
        encryptedKey: decoded(recipient.encrypted_key),
        iv: decoded(sealed.iv),
        ciphertext: decoded(sealed.ciphertext),
        tag: decoded(sealed.tag),
        aad: Buffer.from(sealed.protected),
      };
      const privateKey = toKeyObject(await sealingPrivateKey(key.privateJwk), 'deriveBits');
      return parseJsonObject(openSealed(sealedBytes, ephemeralOf(sealed, recipient), privateKey));
    } catch {
      return null;
    }
  }
  return null;
}
