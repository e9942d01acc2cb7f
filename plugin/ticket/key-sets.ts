/** Reading a JWK set (RFC 7517 section 5) for the keys that sign tickets. */
import type { CryptoKey } from 'jose';
import { z } from 'zod';
import { importVerifyKey, requiredMembers, signingAlgOf, type SigningAlg } from './keys.ts';
import { kidSchema } from './sealed.ts';

export const MAX_KEYS_PER_SET = 64;

const jwkSchema = z.looseObject({
  kty: z.string(),
  kid: kidSchema,
  crv: z.string(),
  x: z.string().max(100),
  y: z.string().max(100).optional(),
  alg: z.string().max(40).optional(),
  use: z.string().max(20).optional(),
  key_ops: z.array(z.string()).max(10).optional(),
});

const setSchema = z.object({ keys: z.array(z.unknown()).max(MAX_KEYS_PER_SET) });

/** The usable keys of one issuer. */
export interface KeySet {
  /** `null` if there is no key of this id for this very algorithm. */
  find(kid: string, alg: string): CryptoKey | null;
}

interface Entry {
  readonly kid: string;
  readonly alg: SigningAlg;
  readonly key: CryptoKey;
}

async function readKey(candidate: unknown): Promise<Entry | null> {
  const jwk = jwkSchema.safeParse(candidate);
  if (!jwk.success) return null;
  const { kid, kty, crv, x, y, alg: statedAlg, use, key_ops: operations } = jwk.data;
  const alg = signingAlgOf({
    kty,
    crv,
    ...(statedAlg === undefined ? {} : { alg: statedAlg }),
    ...(use === undefined ? {} : { use }),
  });
  if (alg === null || operations?.includes('verify') === false) return null;
  try {
    const members = requiredMembers({ kty, crv, x, ...(y === undefined ? {} : { y }) });
    return { kid, alg, key: await importVerifyKey(members, alg) };
  } catch {
    return null;
  }
}

/** Reads a JWK set. Keys of other kinds, uses or algorithms are passed over. Throws TypeError if it is not a set. */
export async function readKeySet(jwks: unknown): Promise<KeySet> {
  const set = setSchema.safeParse(jwks);
  if (!set.success) throw new TypeError('not a JWK set');
  const keys = (await Promise.all(set.data.keys.map(readKey))).filter((entry) => entry !== null);
  return {
    find: (kid, alg) => keys.find((entry) => entry.kid === kid && entry.alg === alg)?.key ?? null,
  };
}
