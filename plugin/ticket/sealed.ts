/**
 * The streaming-server part of a ticket: a JWE in general JSON serialization (RFC 7516 section 7.2.1), so that one
 * ciphertext can be opened by each of up to 8 servers with its own key.
 */
import { GeneralEncrypt, generateKeyPair, importJWK, type CryptoKey, type GeneralJWE, type JWK } from 'jose';
import { z } from 'zod';
import type { UnsealKey } from '../ports.ts';
import { decodeBase64url } from './encoding.ts';
import { parseJsonObject } from './compact.ts';
import { openSealed, SEAL_ALG, SEAL_ENC } from './ecdh-es.ts';
import { asCryptoKey, requiredMembers, toKeyObject } from './keys.ts';

export const MAX_SERVERS = 8;

/** Key ids: thumbprints, or names given by hand. */
export const kidSchema = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/);

const coordinate = z.string().refine((text) => decodeBase64url(text)?.length === 32, 'not 32 bytes');
const epkSchema = z.discriminatedUnion('kty', [
  z.strictObject({ kty: z.literal('OKP'), crv: z.literal('X25519'), x: coordinate }),
  z.strictObject({ kty: z.literal('EC'), crv: z.literal('P-256'), x: coordinate, y: coordinate }),
]);

type EphemeralKey = z.infer<typeof epkSchema>;

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

/**
 * One ephemeral key for all recipients, when they use one curve: written once, it lets 8 recipients fit into a ticket.
 * Each still gets a wrapping key of its own, since the agreement is with its own public key.
 */
async function sharedEphemeral(recipients: readonly Recipient[]): Promise<CryptoKey | null> {
  const [crv, ...otherCurves] = new Set(recipients.map(({ publicJwk }) => publicJwk.crv));
  if (recipients.length < 2 || crv === undefined || otherCurves.length > 0) return null;
  return (await generateKeyPair(SEAL_ALG, { crv, extractable: true })).privateKey;
}

function hoistEphemeral(jwe: GeneralJWE): object {
  const epk = jwe.recipients[0]?.header?.epk;
  const recipients = jwe.recipients.map(({ header, ...recipient }) => ({
    ...recipient,
    header: { kid: header?.kid },
  }));
  return { ...jwe, unprotected: { epk }, recipients };
}

/** Imports a public key that something is sealed to. Throws TypeError unless it is a valid X25519 or P-256 key. */
export async function importSealingKey(jwk: JWK): Promise<CryptoKey> {
  const members = epkSchema.safeParse(requiredMembers(jwk));
  if (!members.success) throw new TypeError('the key is neither X25519 nor P-256');
  return asCryptoKey(importJWK(members.data, SEAL_ALG));
}

/** Encrypts `content` as JSON to 1..8 recipients. Throws TypeError for a key that is not X25519 or P-256. */
export async function seal(content: object, recipients: readonly Recipient[]): Promise<Sealed> {
  const ephemeral = await sharedEphemeral(recipients);
  const jwe = new GeneralEncrypt(Buffer.from(JSON.stringify(content))).setProtectedHeader({
    alg: SEAL_ALG,
    enc: SEAL_ENC,
  });
  for (const { kid, publicJwk } of recipients) {
    const recipient = jwe.addRecipient(await importSealingKey(publicJwk)).setUnprotectedHeader({ kid });
    // The library wants it for test vectors only, because a key that is used for two messages is a fault. Ours is new
    // for this one message.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    if (ephemeral !== null) recipient.setKeyManagementParameters({ epk: ephemeral });
  }
  const encrypted = await jwe.encrypt().catch((cause: unknown) => {
    throw new TypeError('a key cannot be agreed with', { cause });
  });
  const sealed = sealedSchema.safeParse(ephemeral === null ? encrypted : hoistEphemeral(encrypted));
  if (!sealed.success) throw new TypeError('the content or a key does not fit a sealed part');
  return sealed.data;
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
function ephemeralOf(sealed: Sealed, recipient: Sealed['recipients'][number]): EphemeralKey {
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
