/** The keys that tickets are signed with. */
import { desc, isNull } from 'drizzle-orm';
import type { CryptoKey, JWK } from 'jose';
import { Denial } from '../../plugin/errors.ts';
import type { KeySource } from '../../plugin/ports.ts';
import {
  generateSigningKey,
  importSigningKey,
  importVerifyKey,
  type SigningKeyPair,
} from '../../plugin/ticket/index.ts';
import type { Executor } from '../db/connect.ts';
import { signingKeys } from '../db/schema.ts';

/** Who signs tickets here, and the keys that verify them. */
export interface TicketAuthority extends KeySource {
  readonly issuer: string;
  readonly signingKey: SigningKeyPair;
  /** Public keys, newest first, for `/.well-known/jwks.json`. */
  readonly publicJwks: readonly JWK[];
}

/** Loads the signing keys; makes the first one. The newest signs, all of them verify. */
export async function loadAuthority(db: Executor, issuer: string, now: Date): Promise<TicketAuthority> {
  let rows = await findKeys(db);
  if (rows.length === 0) {
    const made = await generateSigningKey('Ed25519');
    await db.insert(signingKeys).values({
      kid: made.kid,
      alg: made.alg,
      publicJwk: made.publicJwk,
      privateJwk: made.privateJwk,
      createdAt: now,
    });
    rows = await findKeys(db);
  }
  const [newest] = rows;
  if (newest === undefined) throw new Error('there is no signing key');
  const verifyKeys = new Map<string, CryptoKey>(
    await Promise.all(
      rows.map(
        async (row) => [`${row.alg} ${row.kid}`, await importVerifyKey(row.publicJwk, row.alg)] as const,
      ),
    ),
  );
  return {
    issuer,
    signingKey: await importSigningKey(newest.privateJwk),
    publicJwks: rows.map((row) => row.publicJwk),
    findSigningKey: async (iss, kid, alg) => {
      const key = iss === issuer ? verifyKeys.get(`${alg} ${kid}`) : undefined;
      if (key === undefined) throw new Denial('ticket_untrusted');
      return key;
    },
  };
}

function findKeys(db: Executor) {
  return db
    .select()
    .from(signingKeys)
    .where(isNull(signingKeys.retiredAt))
    .orderBy(desc(signingKeys.createdAt));
}
