import { and, asc, desc, eq, gt, inArray, lt } from 'drizzle-orm';
import { z } from 'zod';
import { streamPathSchema } from '../../plugin/contract.ts';
import { Denial } from '../../plugin/errors.ts';
import { isSqlState, type Executor } from '../db/connect.ts';
import { titles, titleServers } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { lineSchema, textSchema } from '../text.ts';
import { offersOf, type Offer } from './offers.ts';

export interface Title {
  readonly id: string;
  readonly path: string;
  readonly name: string;
  readonly description: string;
  readonly published: boolean;
  /** The active offers, cheapest first. */
  readonly offers: readonly Offer[];
}

export const titleSchema = z.strictObject({
  path: streamPathSchema,
  name: lineSchema(1, 200),
  description: textSchema(2000),
  published: z.boolean(),
  /** Ids of the streaming servers that carry it; none: all of them. */
  serverIds: z.array(lineSchema(1, 64)).max(8),
});
export type TitleInput = z.infer<typeof titleSchema>;

export const titlePatchSchema = titleSchema.partial();
export type TitlePatch = z.infer<typeof titlePatchSchema>;

/** A page of a list ordered by id: keyset pagination in either direction. */
export interface Page {
  readonly after?: string | undefined;
  readonly before?: string | undefined;
  readonly limit: number;
  readonly inverted: boolean;
}

const COLUMNS = {
  id: titles.id,
  path: titles.path,
  name: titles.name,
  description: titles.description,
  published: titles.published,
};

async function withOffers(db: Executor, rows: Omit<Title, 'offers'>[]): Promise<Title[]> {
  const offers = await offersOf(
    db,
    rows.map((row) => row.id),
  );
  return rows.map((row) => ({ ...row, offers: offers.filter((offer) => offer.titleId === row.id) }));
}

/** Published titles, oldest first. */
export async function listTitles(db: Executor, page: Page): Promise<Title[]> {
  const rows = await db
    .select(COLUMNS)
    .from(titles)
    .where(
      and(
        eq(titles.published, true),
        page.after === undefined ? undefined : gt(titles.id, page.after),
        page.before === undefined ? undefined : lt(titles.id, page.before),
      ),
    )
    .orderBy(page.inverted ? desc(titles.id) : asc(titles.id))
    .limit(page.limit);
  return withOffers(db, rows);
}

/** A title by id or stream path; unpublished ones only when `all` is true. */
export async function findTitle(
  db: Executor,
  by: { id: string } | { path: string },
  all: boolean,
): Promise<Title | null> {
  const rows = await db
    .select(COLUMNS)
    .from(titles)
    .where(
      and(
        'id' in by ? eq(titles.id, by.id) : eq(titles.path, by.path),
        all ? undefined : eq(titles.published, true),
      ),
    );
  const [title] = await withOffers(db, rows);
  return title ?? null;
}

export async function findTitlesById(db: Executor, ids: readonly string[]): Promise<Title[]> {
  if (ids.length === 0) return [];
  return withOffers(
    db,
    await db
      .select(COLUMNS)
      .from(titles)
      .where(inArray(titles.id, [...ids])),
  );
}

async function setServers(tx: Executor, titleId: string, serverIds: readonly string[]): Promise<void> {
  await tx.delete(titleServers).where(eq(titleServers.titleId, titleId));
  if (serverIds.length > 0) {
    await tx.insert(titleServers).values(serverIds.map((serverId) => ({ titleId, serverId })));
  }
}

async function refusingConflicts<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isSqlState(error, '23505')) throw new Denial('conflict', { detail: 'path', cause: error });
    if (isSqlState(error, '23503')) throw new Denial('input_invalid', { detail: 'serverIds', cause: error });
    throw error;
  }
}

/** @throws Denial `conflict` when the path is taken; `input_invalid` for an unknown server. */
export async function createTitle(tx: Executor, input: TitleInput, now: Date): Promise<string> {
  return refusingConflicts(async () => {
    const { serverIds, ...columns } = input;
    const id = newId();
    await tx.insert(titles).values({ id, ...columns, createdAt: now });
    await setServers(tx, id, serverIds);
    return id;
  });
}

/** Changes what the patch names. @throws Denial `not_found`, `conflict`, `input_invalid`. */
export async function updateTitle(tx: Executor, id: string, patch: TitlePatch): Promise<void> {
  await refusingConflicts(async () => {
    const { serverIds, ...columns } = patch;
    const changed = Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== undefined));
    const [found] =
      Object.keys(changed).length === 0
        ? await tx.select({ id: titles.id }).from(titles).where(eq(titles.id, id))
        : await tx.update(titles).set(changed).where(eq(titles.id, id)).returning({ id: titles.id });
    if (found === undefined) throw new Denial('not_found', { detail: 'title' });
    if (serverIds !== undefined) await setServers(tx, id, serverIds);
  });
}
