/**
 * How a streaming server becomes known to an order server, and changes its keys: the messages of `POST /v1/enrolments`
 * and `POST /v1/server-keys`, for both sides.
 */
import type { JWK } from 'jose';
import { z } from 'zod';
import { envelope } from './contract.ts';
import { Denial } from './errors.ts';
import { parseCompact } from './ticket/compact.ts';
import {
  importVerifyKey,
  serverIdSchema,
  signingAlgOf,
  thumbprint,
  verifyServerMessage,
} from './ticket/index.ts';
import { signJws, verifyJws } from './ticket/jws.ts';
import { toKeyObject, type SigningKey } from './ticket/keys.ts';

const coordinate = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
const kid = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/);
const labels = {
  kid: kid.exactOptional(),
  use: z.string().max(10).exactOptional(),
  alg: z.string().max(30).exactOptional(),
};

/** Public key that a streaming server signs its messages with: Ed25519 or P-256. A private member is refused. */
export const signingJwkSchema = z.discriminatedUnion('kty', [
  z.strictObject({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: coordinate, ...labels }),
  z.strictObject({ kty: z.literal('EC'), crv: z.literal('P-256'), x: coordinate, y: coordinate, ...labels }),
]);

/** Public key that tickets are sealed to: X25519 or P-256. */
export const sealingJwkSchema = z.discriminatedUnion('kty', [
  z.strictObject({ kty: z.literal('OKP'), crv: z.literal('X25519'), x: coordinate, ...labels }),
  z.strictObject({ kty: z.literal('EC'), crv: z.literal('P-256'), x: coordinate, y: coordinate, ...labels }),
]);

export const publicUrlSchema = z
  .url({ protocol: /^https?$/ })
  .max(200)
  .transform((text) => text.replace(/\/+$/, ''))
  .refine((text) => {
    const url = new URL(text);
    return url.search === '' && url.hash === '' && url.username === '' && url.password === '';
  }, 'a URL without query, fragment and user');

/** What an order server keeps of a streaming server. */
export const serverSchema = z.strictObject({
  id: serverIdSchema,
  publicUrl: publicUrlSchema,
  signingKey: signingJwkSchema,
  sealingKey: sealingJwkSchema,
});
export type StreamingServer = z.infer<typeof serverSchema>;

/** An id that is the key's thumbprint cannot be that of another key. */
const namesItself = (jwk: JWK): boolean => jwk.kid === thumbprint(jwk);
const OWN_NAME = 'kid is not the thumbprint of the key';
const keys = {
  signingKey: signingJwkSchema.refine(namesItself, OWN_NAME),
  sealingKey: sealingJwkSchema.refine(namesItself, OWN_NAME),
};

/** One-time code: `ec_` and 128 random bits. */
export const enrolmentCodeSchema = z.string().regex(/^ec_[A-Za-z0-9_-]{22}$/);

/** POST /v1/enrolments, `typ: "enrolment+jwt"`, signed with the key that it registers. */
export const enrolmentSchema = z.strictObject({
  ...envelope,
  iss: serverIdSchema,
  code: enrolmentCodeSchema,
  publicUrl: publicUrlSchema,
  ...keys,
});
export type Enrolment = z.infer<typeof enrolmentSchema>;

/** The answer: the keys that sign tickets, by RFC 7638 thumbprint. The streaming server pins them. */
export const enrolledSchema = z.strictObject({
  server: serverIdSchema,
  issuer: z.string().max(500),
  fingerprints: z.array(coordinate).min(1).max(64),
});
export type Enrolled = z.infer<typeof enrolledSchema>;

/** POST /v1/server-keys, `typ: "server-keys+jwt"`, signed with the key that it replaces. */
export const serverKeysSchema = z.strictObject({
  ...envelope,
  iss: serverIdSchema,
  ...keys,
  /** `signPossession` by the new signing key. */
  possession: z.string().max(1024),
});
export type ServerKeysMessage = z.infer<typeof serverKeysSchema>;

/** The answer to it. Unix seconds. */
export const serverKeysChangedSchema = z.strictObject({
  /** No ticket sealed to the key before is alive after that. */
  sealedUntil: z.number().int().nonnegative(),
  /** Until then messages may still be signed with the key before. */
  signedUntil: z.number().int().nonnegative(),
});
export type ServerKeysChanged = z.infer<typeof serverKeysChangedSchema>;

export const MAX_REGISTRATION_CHARS = 4096;

const UNVERIFIED_KEY = z.object({ signingKey: signingJwkSchema });

/**
 * Reads an enrolment: whoever sent it has the private half of the key that it registers. The code is not looked at.
 * @throws Denial `request_malformed`, `server_untrusted` (signature, audience, age)
 */
export function readEnrolment(
  jws: string,
  options: { readonly audience: string; readonly nowSeconds: number },
): Promise<Enrolment> {
  return verifyServerMessage(jws, {
    ...options,
    typ: 'enrolment+jwt',
    schema: enrolmentSchema,
    maxChars: MAX_REGISTRATION_CHARS,
    // The code is good once; the same message again changes nothing.
    replay: { use: () => undefined, size: () => 0 },
    findKey: async (_iss, id) => {
      const payload = UNVERIFIED_KEY.safeParse(parseCompact(jws, MAX_REGISTRATION_CHARS)?.payload);
      if (!payload.success) throw new Denial('request_malformed', { detail: 'signingKey' });
      const { signingKey } = payload.data;
      const alg = signingAlgOf(signingKey);
      if (alg === null || id !== thumbprint(signingKey)) return null;
      const publicKey = await importVerifyKey(signingKey, alg).catch(() => null);
      return publicKey === null ? null : { alg, publicKey };
    },
  });
}

const POSSESSION_TYP = 'server-key-possession+jwt';

export interface Possession {
  /** The streaming server's id. */
  readonly iss: string;
  /** The order server. */
  readonly aud: string;
  readonly signingKey: JWK;
  readonly sealingKey: JWK;
}

const possessionPayload = ({ iss, aud, signingKey, sealingKey }: Possession) => ({
  ...{ iss, aud },
  keys: [thumbprint(signingKey), thumbprint(sealingKey)],
});

/** Shows that a new signing key is in the hand of the server that names it. */
export function signPossession(key: SigningKey, possession: Possession): string {
  return signJws(
    { typ: POSSESSION_TYP, alg: key.alg, kid: key.kid },
    possessionPayload(possession),
    toKeyObject(key.privateKey, 'sign'),
  );
}

const possessionHeaderSchema = z.strictObject({
  typ: z.literal(POSSESSION_TYP),
  alg: z.string(),
  kid: z.string(),
});

/** @throws Denial `server_untrusted` unless it is what `signPossession` gives for this. */
export async function verifyPossession(jws: string, possession: Possession): Promise<void> {
  const parts = parseCompact(jws, MAX_REGISTRATION_CHARS);
  const header = possessionHeaderSchema.safeParse(parts?.header);
  const alg = signingAlgOf(possession.signingKey);
  const isMeant =
    header.success &&
    header.data.alg === alg &&
    JSON.stringify(parts?.payload) === JSON.stringify(possessionPayload(possession));
  try {
    if (parts === null || alg === null || !isMeant) throw new TypeError('not a proof of possession');
    verifyJws(parts, alg, toKeyObject(await importVerifyKey(possession.signingKey, alg), 'verify'));
  } catch (cause) {
    throw new Denial('server_untrusted', { detail: 'possession', cause });
  }
}
