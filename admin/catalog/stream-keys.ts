/** Keys that let a publisher send a title's stream. Shown once, kept as a hash. */
import { and, desc, eq, gt, isNull, or, type SQL } from 'drizzle-orm';
import { Denial } from '../../plugin/errors.ts';
import { isSqlState, type Executor } from '../db/connect.ts';
import { streamKeys, titles } from '../db/schema.ts';
import { newId } from '../ids.ts';

export interface StreamKey {
  readonly id: string;
  readonly createdAt: Date;
  /** From then on it lets nobody publish; may lie ahead. */
  readonly revokedAt: Date | null;
}

const MAX_LISTED = 100;

const isGood = (now: Date): SQL | undefined =>
  or(isNull(streamKeys.revokedAt), gt(streamKeys.revokedAt, now));

/** Stores a key's hash for a title. @throws Denial `not_found` for an unknown title. */
export async function addStreamKey(db: Executor, titleId: string, keyHash: string, now: Date): Promise<void> {
  try {
    await db
      .insert(streamKeys)
      .values({ id: newId(), titleId, keyHash, createdAt: now })
      .onConflictDoNothing();
  } catch (error) {
    if (isSqlState(error, '23503')) throw new Denial('not_found', { detail: 'title', cause: error });
    throw error;
  }
}

/**
 * A title's new key, beside which the others stay good until `oldUntil`. Keys are looked at when a publisher connects:
 * one who is on the air stays there.
 * @throws Denial `not_found` for an unknown title
 */
export async function rotateStreamKey(
  db: Executor,
  titleId: string,
  keyHash: string,
  oldUntil: Date,
  now: Date,
): Promise<void> {
  await db
    .update(streamKeys)
    .set({ revokedAt: oldUntil })
    .where(
      and(
        eq(streamKeys.titleId, titleId),
        or(isNull(streamKeys.revokedAt), gt(streamKeys.revokedAt, oldUntil)),
      ),
    );
  await addStreamKey(db, titleId, keyHash, now);
}

/**
 * Takes a key back; one that is not good any more stays as it is.
 * @returns the title, and until when the key was good before: `null` without an end
 * @throws Denial `not_found`.
 */
export async function revokeStreamKey(
  db: Executor,
  id: string,
  now: Date,
): Promise<{ readonly titleId: string; readonly revokedBefore: Date | null }> {
  const [found] = await db
    .select({ titleId: streamKeys.titleId, revokedBefore: streamKeys.revokedAt })
    .from(streamKeys)
    .where(eq(streamKeys.id, id))
    .for('update');
  if (found === undefined) throw new Denial('not_found', { detail: 'stream key' });
  await db
    .update(streamKeys)
    .set({ revokedAt: now })
    .where(and(eq(streamKeys.id, id), isGood(now)));
  return found;
}

/** A title's latest keys, newest first; what they are nobody knows any more. */
export async function listStreamKeys(db: Executor, titleId: string): Promise<StreamKey[]> {
  return db
    .select({ id: streamKeys.id, createdAt: streamKeys.createdAt, revokedAt: streamKeys.revokedAt })
    .from(streamKeys)
    .where(eq(streamKeys.titleId, titleId))
    .orderBy(desc(streamKeys.id))
    .limit(MAX_LISTED);
}

/** @throws Denial `stream_key_invalid` unless a key with this hash may publish at `path` now. */
export async function authorizePublish(
  db: Executor,
  path: string,
  keyHash: string,
  now: Date,
): Promise<void> {
  const [found] = await db
    .select({ id: streamKeys.id })
    .from(streamKeys)
    .innerJoin(titles, eq(titles.id, streamKeys.titleId))
    .where(and(eq(streamKeys.keyHash, keyHash), eq(titles.path, path), isGood(now)));
  if (found === undefined) throw new Denial('stream_key_invalid');
}
