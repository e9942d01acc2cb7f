/**
 * How an order server's next key shows that it is of the same hand as the one before: a compact JWS over its RFC 7638
 * thumbprint, by the key that signed until then, in the JWK's member `endorsement`. A streaming server that has pinned
 * one key follows the chain from it, and takes no key that a false server or a broken TLS puts into the set.
 */
import type { JWK } from 'jose';
import { z } from 'zod';
import { parseCompact } from './ticket/compact.ts';
import { signJws, verifyJws } from './ticket/jws.ts';
import {
  importVerifyKey,
  signingAlgOf,
  thumbprint,
  toKeyObject,
  type SigningKeyPair,
} from './ticket/keys.ts';

const TYP = 'key-endorsement+jwt';
const MAX_CHARS = 1024;

export interface Endorsed {
  /** The order server, as in `iss`. */
  readonly issuer: string;
  /** The new public key. */
  readonly jwk: JWK;
  readonly nowMs: number;
}

/** Signs a new key with the one before it. */
export function endorseKey(key: SigningKeyPair, { issuer, jwk, nowMs }: Endorsed): string {
  const payload = { iss: issuer, jkt: thumbprint(jwk), iat: Math.floor(nowMs / 1000) };
  return signJws({ typ: TYP, alg: key.alg, kid: key.kid }, payload, toKeyObject(key.privateKey, 'sign'));
}

const headerSchema = z.strictObject({ typ: z.literal(TYP), alg: z.string(), kid: z.string() });
const payloadSchema = z.strictObject({ iss: z.string(), jkt: z.string(), iat: z.number() });

/** True if `endorsement` is that of `jwk` for this issuer by the key `by`. */
export async function isEndorsed(
  endorsement: unknown,
  { issuer, jwk, by }: { readonly issuer: string; readonly jwk: JWK; readonly by: JWK },
): Promise<boolean> {
  const parts = typeof endorsement === 'string' ? parseCompact(endorsement, MAX_CHARS) : null;
  const header = headerSchema.safeParse(parts?.header);
  const payload = payloadSchema.safeParse(parts?.payload);
  const alg = signingAlgOf(by);
  if (parts === null || !header.success || !payload.success || alg === null) return false;
  if (header.data.alg !== alg || header.data.kid !== thumbprint(by) || payload.data.iss !== issuer)
    return false;
  try {
    if (payload.data.jkt !== thumbprint(jwk)) return false;
    verifyJws(parts, alg, toKeyObject(await importVerifyKey(by, alg), 'verify'));
    return true;
  } catch {
    return false;
  }
}
