/** The numbered feed in the database: writing without gaps, reading in order. */
import { and, asc, eq, gt, inArray, lte, sql } from 'drizzle-orm';
import { revocationSchema, type Revocation } from '../../plugin/contract.ts';
import type { Executor } from '../db/connect.ts';
import { revocations } from '../db/schema.ts';
import { newId } from '../ids.ts';

type RevocationKind = Revocation['kind'];

export interface NewEntry {
  /** Each value once. */
  readonly value: string;
  /** When nothing that it concerns can be alive any more. */
  readonly until: Date;
}

/** Who revokes, why and when. */
export interface RevocationActor {
  /** The account that answers for it: staff, or the buyer of what ends. */
  readonly accountId: string;
  /** One line of at most 200 characters, for staff. */
  readonly reason: string;
  readonly now: Date;
}

/** "feed" in ASCII; held from the number to the end of the transaction. */
const FEED_LOCK = 0x66656564;
const ROWS_PER_STATEMENT = 1000;

function* chunksOf<T>(list: readonly T[]): Generator<T[]> {
  for (let start = 0; start < list.length; start += ROWS_PER_STATEMENT) {
    yield list.slice(start, start + ROWS_PER_STATEMENT);
  }
}

/**
 * Adds entries of one kind to the feed; a value that is in it already stays as it is. Numbers are given under a lock
 * that lasts until the transaction ends, so whoever sees a number sees all that are smaller. The lock is the last that
 * a transaction takes: nothing else may be locked after it.
 */
export async function appendRevocations(
  tx: Executor,
  kind: RevocationKind,
  entries: readonly NewEntry[],
  actor: RevocationActor,
): Promise<void> {
  if (entries.length === 0) return;
  await tx.execute(sql`select pg_advisory_xact_lock(${FEED_LOCK})`);
  let seq = await latestSeq(tx);
  for (const chunk of chunksOf(entries)) {
    const values = chunk.map(({ value }) => value);
    const rows = await tx
      .select({ value: revocations.value })
      .from(revocations)
      .where(and(eq(revocations.kind, kind), inArray(revocations.value, values)));
    const known = new Set(rows.map(({ value }) => value));
    const fresh = chunk.filter(({ value }) => !known.has(value));
    if (fresh.length === 0) continue;
    await tx.insert(revocations).values(
      fresh.map(({ value, until }) => ({
        id: newId(),
        seq: ++seq,
        kind,
        value,
        until,
        reason: actor.reason,
        revokedBy: actor.accountId,
        createdAt: actor.now,
      })),
    );
  }
}

/** The number of the last entry; 0 before the first. */
export async function latestSeq(db: Executor): Promise<number> {
  const [row] = await db.execute<{ latest: string }>(
    sql`select coalesce(max(${revocations.seq}), 0) as latest from ${revocations}`,
  );
  return Number(row?.latest ?? 0);
}

/** Entries after a number, in order. */
export async function readEntries(
  db: Executor,
  range: {
    readonly after: number;
    /** Default: no end. */
    readonly upTo?: number;
    readonly limit: number;
    /** Only what is alive then; default all. */
    readonly aliveAt?: Date;
  },
): Promise<Revocation[]> {
  const rows = await db
    .select({
      seq: revocations.seq,
      kind: revocations.kind,
      value: revocations.value,
      until: revocations.until,
    })
    .from(revocations)
    .where(
      and(
        gt(revocations.seq, range.after),
        range.upTo === undefined ? undefined : lte(revocations.seq, range.upTo),
        range.aliveAt === undefined ? undefined : gt(revocations.until, range.aliveAt),
      ),
    )
    .orderBy(asc(revocations.seq))
    .limit(range.limit);
  return rows.map(({ until, ...row }) =>
    revocationSchema.parse({
      ...row,
      action: row.kind === 'session' ? 'kick' : 'revoke',
      // A part of a second more, never less.
      until: Math.ceil(until.getTime() / 1000),
    }),
  );
}
