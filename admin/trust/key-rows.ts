/** The ticket signing keys as they are stored, and what time makes of them: next, current, retiring, retired. */
import { desc, gt, isNull, or, sql } from 'drizzle-orm';
import type { JWK } from 'jose';
import type { StoredKey } from '../../plugin/key-vault.ts';
import type { SigningAlg } from '../../plugin/ticket/index.ts';
import type { Executor } from '../db/connect.ts';
import { signingKeys } from '../db/schema.ts';

/** How long anybody may keep the key set: `max-age` of `/.well-known/jwks.json`. */
export const JWKS_MAX_AGE_SECONDS = 60;
/** How long a streaming server may go by the set that it has (plugin/ticket/key-sources.ts). */
const STREAMING_SERVER_CACHE_SECONDS = 300;
/** How long another process of this server may not have read a new row, with the difference of two clocks. */
const PROCESSES_SECONDS = 60;
/** From the making of a key to its first signature: by then every cache has it. */
export const ACTIVATION_SECONDS = JWKS_MAX_AGE_SECONDS + STREAMING_SERVER_CACHE_SECONDS + PROCESSES_SECONDS;
/** After the switch, a transaction may still commit a ticket that it signed with the key before. */
const LATE_COMMIT_SECONDS = 300;
/** A retired key stays published this much longer than its last ticket, for clocks that are behind. */
const CLOCKS_SECONDS = 60;

/**
 * `next`: published, does not sign yet; `current`: signs; `retiring`: published, as tickets signed by it are alive;
 * `retired`: verifies nothing any more.
 */
export type KeyState = 'next' | 'current' | 'retiring' | 'retired';

export interface KeyRow {
  readonly kid: string;
  readonly alg: SigningAlg;
  readonly publicJwk: JWK;
  readonly privateJwk: StoredKey | null;
  readonly endorsement: string | null;
  readonly createdAt: Date;
  readonly signsFrom: Date;
  readonly retiredAt: Date | null;
}

const isPublished = (row: KeyRow, nowMs: number): boolean =>
  row.retiredAt === null || row.retiredAt.getTime() > nowMs;

/** The published keys, newest first. */
export const publishedKeys = (rows: readonly KeyRow[], nowMs: number): KeyRow[] =>
  rows.filter((row) => isPublished(row, nowMs));

/** The key that signs now. @param rows newest first */
export function currentKey(rows: readonly KeyRow[], nowMs: number): KeyRow | null {
  return publishedKeys(rows, nowMs).find((row) => row.signsFrom.getTime() <= nowMs) ?? null;
}

/** @param rows newest first, `row` among them */
export function stateOf(row: KeyRow, rows: readonly KeyRow[], nowMs: number): KeyState {
  if (!isPublished(row, nowMs)) return 'retired';
  if (row.signsFrom.getTime() > nowMs) return 'next';
  return row.kid === currentKey(rows, nowMs)?.kid ? 'current' : 'retiring';
}

const NEWEST_FIRST = [desc(signingKeys.signsFrom), desc(signingKeys.createdAt)] as const;

/** All keys that are not retired, newest first. */
export function findKeys(db: Executor, now: Date): Promise<KeyRow[]> {
  return db
    .select()
    .from(signingKeys)
    .where(or(isNull(signingKeys.retiredAt), gt(signingKeys.retiredAt, now)))
    .orderBy(...NEWEST_FIRST);
}

/** The latest keys, retired ones too, newest first. */
export function findKeyHistory(db: Executor, limit: number): Promise<KeyRow[]> {
  return db
    .select()
    .from(signingKeys)
    .orderBy(...NEWEST_FIRST)
    .limit(limit);
}

/** "usherkey" in ASCII. */
const LOCK_ID = '8463222909679920505';

/** Until the transaction ends, no other process makes or retires keys. */
export async function lockKeys(tx: Executor): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(${LOCK_ID}::bigint)`);
}

/**
 * Says of the keys that another one has replaced when they retire: when the last ticket has expired that they can have
 * signed. Erases their private halves. One statement; it changes nothing for keys that have been settled.
 */
export async function settleReplacedKeys(db: Executor, now: Date): Promise<void> {
  const at = sql`${now.toISOString()}::timestamptz`;
  const late = sql`make_interval(secs => ${LATE_COMMIT_SECONDS})`;
  await db.execute(sql`
    update signing_keys as key
       set private_jwk = null,
           retired_at = greatest(${at}, (
             select max(tickets.expires_at) + make_interval(secs => ${CLOCKS_SECONDS})
               from tickets where tickets.issued_at <= replaced.at + ${late}))
      from (
        select kid, lead(signs_from) over (order by signs_from, created_at) as at
          from signing_keys where retired_at is null
      ) as replaced
     where key.kid = replaced.kid and key.retired_at is null and replaced.at + ${late} <= ${at}`);
}

/** True if `settleReplacedKeys` has something to do. @param rows newest first */
export function hasReplacedKeys(rows: readonly KeyRow[], nowMs: number): boolean {
  const open = rows.filter(({ retiredAt }) => retiredAt === null);
  return open.slice(0, -1).some(({ signsFrom }) => signsFrom.getTime() + LATE_COMMIT_SECONDS * 1000 <= nowMs);
}
