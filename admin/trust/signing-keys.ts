/** The keys that tickets are signed with: loading, sealing at rest, rotation with overlap. */
import { eq, gt, isNull, or } from 'drizzle-orm';
import type { CryptoKey, JWK } from 'jose';
import { Denial } from '../../plugin/errors.ts';
import { createKeyVault, type KeyVault } from '../../plugin/key-vault.ts';
import { endorseKey } from '../../plugin/key-endorsement.ts';
import type { Clock, KeySource, Log } from '../../plugin/ports.ts';
import {
  generateSigningKey,
  importSigningKey,
  importVerifyKey,
  type SigningAlg,
  type SigningKeyPair,
} from '../../plugin/ticket/index.ts';
import type { Database, Executor } from '../db/connect.ts';
import { signingKeys } from '../db/schema.ts';
import {
  ACTIVATION_SECONDS,
  currentKey,
  findKeys,
  hasReplacedKeys,
  lockKeys,
  publishedKeys,
  settleReplacedKeys,
  type KeyRow,
} from './key-rows.ts';

/** Rotations that are not over: their keys are all in the set, and a set has at most 64. */
const MAX_PUBLISHED_KEYS = 16;
/** An unknown kid makes this process look at the table, but not more often than this. */
const REFRESH_AT_MOST_EVERY_MS = 1000;

/** Who signs tickets here, and the keys that verify them. */
export interface TicketAuthority extends KeySource {
  readonly issuer: string;
  /** The key that signs at this moment. @throws Denial `overloaded` when this process cannot open it. */
  readonly signingKey: SigningKeyPair;
  /** Public keys, newest first, for `/.well-known/jwks.json`: each with the `endorsement` of the one before it. */
  readonly publicJwks: readonly JWK[];
  /** Reads what other processes have changed. Without the database, what is known stays. Never throws. */
  refresh(): Promise<void>;
  /**
   * Makes a key that signs once every streaming server has it. With `compromised`, it signs at once, and every key
   * before it is withdrawn, and with it the tickets that it signed.
   * @param note runs in the same transaction, and undoes it by throwing
   * @throws Denial `conflict` when a key is waiting already, or too many are retiring.
   */
  rotate(
    alg: SigningAlg,
    compromised?: boolean,
    note?: (tx: Executor, made: KeyRow) => Promise<void>,
  ): Promise<KeyRow>;
}

/** The vault of the settings. */
export function keyVaultOf(config: {
  readonly masterKey: Uint8Array | undefined;
  readonly oldMasterKey: Uint8Array | undefined;
}): KeyVault {
  return createKeyVault({ setting: 'USHER_MASTER_KEY', ...config });
}

export interface AuthorityOptions {
  readonly issuer: string;
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs'>;
  readonly vault: KeyVault;
  /** Without it, a master key is required. */
  readonly demo: boolean;
  readonly log: Pick<Log, 'warn' | 'error'>;
}

async function insertKey(
  tx: Executor,
  vault: KeyVault,
  made: SigningKeyPair,
  times: Pick<KeyRow, 'createdAt' | 'signsFrom'>,
  endorsement: string | null,
): Promise<KeyRow> {
  const row: KeyRow = {
    ...{ kid: made.kid, alg: made.alg, publicJwk: made.publicJwk, endorsement, ...times, retiredAt: null },
    privateJwk: await vault.seal(made.privateJwk),
  };
  await tx.insert(signingKeys).values(row);
  return row;
}

/** The stored keys, the first of which is made here; all that can be opened is sealed under the master key. */
async function prepareKeys(tx: Executor, { vault, clock }: AuthorityOptions): Promise<KeyRow[]> {
  await lockKeys(tx);
  const now = new Date(clock.nowMs());
  const rows = await findKeys(tx, now);
  if (rows.length === 0) {
    const made = await generateSigningKey('Ed25519');
    return [await insertKey(tx, vault, made, { createdAt: now, signsFrom: now }, null)];
  }
  return Promise.all(
    rows.map(async (row) => {
      if (row.privateJwk === null) return row;
      const { jwk, isStale } = await vault.open(row.privateJwk, row.kid);
      if (!isStale) return row;
      const privateJwk = await vault.seal(jwk);
      await tx.update(signingKeys).set({ privateJwk }).where(eq(signingKeys.kid, row.kid));
      return { ...row, privateJwk };
    }),
  );
}

function checkMasterKey({ vault, demo, log }: AuthorityOptions): void {
  if (vault.isSealing) return;
  if (!demo) {
    throw new Error(
      'USHER_MASTER_KEY is not set: the keys that sign tickets are kept encrypted; `usher keys generate-master` makes one',
    );
  }
  log.warn(
    {},
    'THE KEYS THAT SIGN TICKETS ARE NOT ENCRYPTED: whoever reads the database or a backup can sign tickets; set USHER_MASTER_KEY',
  );
}

/**
 * Loads the signing keys; makes the first one.
 * @throws Error when a key does not open: no master key, or another one. Never makes a key in place of such a one.
 */
export async function loadAuthority(db: Database, options: AuthorityOptions): Promise<TicketAuthority> {
  const { issuer, clock, vault, log } = options;
  checkMasterKey(options);
  const verifying = new Map<string, CryptoKey>();
  const signing = new Map<string, SigningKeyPair | null>();
  let rows: readonly KeyRow[] = [];
  let refreshing: Promise<void> | null = null;
  let refreshedAtMs = Number.NEGATIVE_INFINITY;

  async function openForSigning({ kid, privateJwk }: KeyRow): Promise<SigningKeyPair | null> {
    if (privateJwk === null) return null;
    try {
      return await importSigningKey((await vault.open(privateJwk, kid)).jwk);
    } catch (error) {
      log.error({ kid, reason: error instanceof Error ? error.message : '' }, 'a signing key does not open');
      return null;
    }
  }

  /** Keys that were opened stay open: another process may have sealed them under a master key that is not ours yet. */
  async function take(found: readonly KeyRow[]): Promise<void> {
    for (const row of found) {
      const name = `${row.alg} ${row.kid}`;
      if (!verifying.has(name)) verifying.set(name, await importVerifyKey(row.publicJwk, row.alg));
      if ((signing.get(row.kid) ?? null) === null) signing.set(row.kid, await openForSigning(row));
    }
    const signers = new Set(found.filter(({ privateJwk }) => privateJwk !== null).map(({ kid }) => kid));
    for (const kid of signing.keys()) if (!signers.has(kid)) signing.delete(kid);
    rows = found;
  }

  async function read(): Promise<void> {
    const now = new Date(clock.nowMs());
    let found = await findKeys(db, now);
    if (hasReplacedKeys(found, now.getTime())) {
      await settleReplacedKeys(db, now);
      found = await findKeys(db, now);
    }
    await take(found);
  }

  function refresh(): Promise<void> {
    if (refreshing !== null) return refreshing;
    if (clock.monotonicMs() - refreshedAtMs < REFRESH_AT_MOST_EVERY_MS) return Promise.resolve();
    refreshedAtMs = clock.monotonicMs();
    refreshing = read()
      .catch((error: unknown) => {
        log.warn({ reason: error instanceof Error ? error.name : '' }, 'the signing keys were not read anew');
      })
      .finally(() => {
        refreshing = null;
      });
    return refreshing;
  }

  function findPublished(kid: string, alg: string): CryptoKey | null {
    const isKnown = publishedKeys(rows, clock.nowMs()).some((row) => row.kid === kid);
    return isKnown ? (verifying.get(`${alg} ${kid}`) ?? null) : null;
  }

  function signingKey(): SigningKeyPair {
    const current = currentKey(rows, clock.nowMs());
    const key = current === null ? null : signing.get(current.kid);
    if (!key) throw new Denial('overloaded', { detail: 'the signing key is not at hand' });
    return key;
  }

  async function rotateIn(tx: Executor, alg: SigningAlg, compromised: boolean): Promise<KeyRow> {
    await lockKeys(tx);
    const now = new Date(clock.nowMs());
    const before = await findKeys(tx, now);
    const made = await generateSigningKey(alg);
    if (compromised) {
      // No endorsement: a word of a key that others may have is worth nothing.
      const isPublished = or(isNull(signingKeys.retiredAt), gt(signingKeys.retiredAt, now));
      await tx.update(signingKeys).set({ retiredAt: now, privateJwk: null }).where(isPublished);
      return insertKey(tx, vault, made, { createdAt: now, signsFrom: now }, null);
    }
    if (before.some(({ signsFrom }) => signsFrom > now))
      throw new Denial('conflict', { detail: 'a key is waiting for its turn' });
    if (before.length >= MAX_PUBLISHED_KEYS)
      throw new Denial('conflict', { detail: 'too many keys have not retired yet' });
    const current = currentKey(before, now.getTime());
    const kept = current?.privateJwk ?? null;
    if (current === null || kept === null) throw new Error('there is no key to rotate');
    const signer = await importSigningKey((await vault.open(kept, current.kid)).jwk);
    const endorsement = endorseKey(signer, { issuer, jwk: made.publicJwk, nowMs: now.getTime() });
    const signsFrom = new Date(now.getTime() + ACTIVATION_SECONDS * 1000);
    return insertKey(tx, vault, made, { createdAt: now, signsFrom }, endorsement);
  }

  const prepared = await db.transaction((tx) => prepareKeys(tx, options));
  await take(prepared);
  return {
    issuer,
    get signingKey() {
      return signingKey();
    },
    get publicJwks() {
      return publishedKeys(rows, clock.nowMs()).map(({ publicJwk, endorsement }) =>
        endorsement === null ? publicJwk : { ...publicJwk, endorsement },
      );
    },
    refresh,
    async rotate(alg, compromised = false, note) {
      const row = await db.transaction(async (tx) => {
        const made = await rotateIn(tx, alg, compromised);
        await note?.(tx, made);
        return made;
      });
      await read();
      return row;
    },
    async findSigningKey(iss, kid, alg) {
      if (iss !== issuer) throw new Denial('ticket_untrusted', { detail: 'iss' });
      const known = findPublished(kid, alg);
      if (known !== null) return known;
      await refresh();
      const found = findPublished(kid, alg);
      if (found === null) throw new Denial('ticket_untrusted', { detail: 'kid' });
      return found;
    },
  };
}
