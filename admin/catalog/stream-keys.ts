/** Keys that let a publisher send a title's stream. Shown once, kept as a hash. */
import { and, eq, isNull } from 'drizzle-orm';
import { Denial } from '../../plugin/errors.ts';
import { isSqlState, type Executor } from '../db/connect.ts';
import { streamKeys, titles } from '../db/schema.ts';
import { newId } from '../ids.ts';

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

/** @throws Denial `stream_key_invalid` unless a key with this hash may publish at `path`. */
export async function authorizePublish(db: Executor, path: string, keyHash: string): Promise<void> {
  const [found] = await db
    .select({ id: streamKeys.id })
    .from(streamKeys)
    .innerJoin(titles, eq(titles.id, streamKeys.titleId))
    .where(and(eq(streamKeys.keyHash, keyHash), eq(titles.path, path), isNull(streamKeys.revokedAt)));
  if (found === undefined) throw new Denial('stream_key_invalid');
}
