import { and, eq, inArray, sql } from 'drizzle-orm';
import { z } from 'zod';
import { streamPathSchema } from '../../plugin/contract.ts';
import { Denial } from '../../plugin/errors.ts';
import { isSqlState, type Executor } from '../db/connect.ts';
import { titleCategories, titles, titleServers } from '../db/schema.ts';
import { builtOnce } from '../db/prepare.ts';
import { newId } from '../ids.ts';
import { lineSchema, textSchema } from '../text.ts';
import { countrySchema, visibleFrom, type Availability, type Viewpoint } from './availability.ts';
import { categoriesOf, type Category } from './categories.ts';
import { offersOf, type Offer } from './offers.ts';

export const TITLE_KINDS = ['live', 'file'] as const;

export interface Title extends Availability {
  readonly id: string;
  readonly path: string;
  readonly kind: (typeof TITLE_KINDS)[number];
  readonly name: string;
  readonly description: string;
  readonly artworkUrl: string | null;
  /** BCP 47. */
  readonly languages: readonly string[];
  /** By name. */
  readonly categories: readonly Category[];
  /** The active offers that open it, those of its categories too, cheapest first. */
  readonly offers: readonly Offer[];
}

/** A language as BCP 47 has it, without the rare parts: "de", "pt-BR", "zh-Hant". */
export const languageSchema = z
  .string()
  .regex(/^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$/, 'a BCP 47 tag such as "pt-BR"');

/** https, or a path on this server: a page over TLS loads nothing else, and no scheme that runs a script. */
const artworkSchema = z
  .string()
  .max(500)
  .regex(
    /^(https:\/\/[\w.-]+(:\d{1,5})?)?\/(?![/\\])[\w.~%/?=&+,@-]*$/,
    'an https URL or a path that begins with one slash',
  );

const isSet = (list: readonly string[]): boolean => new Set(list).size === list.length;
const TWICE = 'something is named twice';

export const titleSchema = z.strictObject({
  path: streamPathSchema,
  kind: z.enum(TITLE_KINDS).exactOptional(),
  name: lineSchema(1, 200),
  description: textSchema(2000),
  artworkUrl: artworkSchema.nullable().exactOptional(),
  languages: z.array(languageSchema).max(50).refine(isSet, TWICE).exactOptional(),
  categoryIds: z.array(z.uuid()).max(20).refine(isSet, TWICE).exactOptional(),
  countries: z.array(countrySchema).min(1).max(250).refine(isSet, TWICE).nullable().exactOptional(),
  availableFrom: z.date().nullable().exactOptional(),
  availableUntil: z.date().nullable().exactOptional(),
  published: z.boolean(),
  /** Ids of the streaming servers that carry it; none: all of them. */
  serverIds: z.array(lineSchema(1, 64)).max(8).refine(isSet, TWICE),
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

export const TITLE_COLUMNS = {
  id: titles.id,
  path: titles.path,
  kind: titles.kind,
  name: titles.name,
  description: titles.description,
  artworkUrl: titles.artworkUrl,
  languages: titles.languages,
  countries: titles.countries,
  availableFrom: titles.availableFrom,
  availableUntil: titles.availableUntil,
  published: titles.published,
};

/** A title without what belongs to it. */
export type TitleRow = Omit<Title, 'offers' | 'categories'>;

/** Rows of titles with what belongs to them, in as many queries as for one. */
export async function withParts(db: Executor, rows: readonly TitleRow[]): Promise<Title[]> {
  if (rows.length === 0) return [];
  const ids = rows.map((row) => row.id);
  const [offers, categories] = [await offersOf(db, ids), await categoriesOf(db, ids)];
  return rows.map((row) => ({
    ...row,
    offers: offers.get(row.id) ?? [],
    categories: categories.get(row.id) ?? [],
  }));
}

/** A title by id or stream path; `seenFrom` says what is shown: `all`, or what the catalog shows from there. */
export async function findTitle(
  db: Executor,
  by: { id: string } | { path: string },
  seenFrom: Viewpoint | 'all',
): Promise<Title | null> {
  const rows = await db
    .select(TITLE_COLUMNS)
    .from(titles)
    .where(
      and(
        'id' in by ? eq(titles.id, by.id) : eq(titles.path, by.path),
        seenFrom === 'all' ? undefined : visibleFrom(seenFrom),
      ),
    );
  const [title] = await withParts(db, rows);
  return title ?? null;
}

export async function findTitlesById(db: Executor, ids: readonly string[]): Promise<Title[]> {
  if (ids.length === 0) return [];
  const rows = await db
    .select(TITLE_COLUMNS)
    .from(titles)
    .where(inArray(titles.id, [...ids]));
  return withParts(db, rows);
}

const titleRow = builtOnce((db) =>
  db
    .select(TITLE_COLUMNS)
    .from(titles)
    .where(eq(titles.id, sql.placeholder('id')))
    .prepare('title_row'),
);

/** A title by id, without what belongs to it; null when there is none. */
export async function findTitleRow(db: Executor, id: string): Promise<TitleRow | null> {
  const [row] = await titleRow(db).execute({ id });
  return row ?? null;
}

async function setServers(tx: Executor, titleId: string, serverIds: readonly string[]): Promise<void> {
  await tx.delete(titleServers).where(eq(titleServers.titleId, titleId));
  if (serverIds.length > 0)
    await tx.insert(titleServers).values(serverIds.map((serverId) => ({ titleId, serverId })));
}

async function setCategories(tx: Executor, titleId: string, categoryIds: readonly string[]): Promise<void> {
  await tx.delete(titleCategories).where(eq(titleCategories.titleId, titleId));
  if (categoryIds.length > 0)
    await tx.insert(titleCategories).values(categoryIds.map((categoryId) => ({ titleId, categoryId })));
}

const FIELD_OF_CONSTRAINT: Readonly<Record<string, string>> = {
  title_servers_server_id_streaming_servers_id_fk: 'serverIds',
  title_categories_category_id_categories_id_fk: 'categoryIds',
};

async function refusingConflicts<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isSqlState(error, '23505')) throw new Denial('conflict', { detail: 'path', cause: error });
    for (const [constraint, detail] of Object.entries(FIELD_OF_CONSTRAINT))
      if (isSqlState(error, '23503', constraint)) throw new Denial('input_invalid', { detail, cause: error });
    if (isSqlState(error, '23514', 'titles_window'))
      throw new Denial('input_invalid', {
        detail: 'availableUntil: is not after availableFrom',
        cause: error,
      });
    throw error;
  }
}

/** @throws Denial `conflict` when the path is taken; `input_invalid` for an unknown server or category. */
export async function createTitle(tx: Executor, input: TitleInput, now: Date): Promise<string> {
  return refusingConflicts(async () => {
    const { serverIds, categoryIds = [], ...columns } = input;
    const id = newId();
    await tx.insert(titles).values({ id, ...columns, createdAt: now });
    await setServers(tx, id, serverIds);
    await setCategories(tx, id, categoryIds);
    return id;
  });
}

/** Changes what the patch names. @throws Denial `not_found`, `conflict`, `input_invalid`. */
export async function updateTitle(tx: Executor, id: string, patch: TitlePatch): Promise<void> {
  await refusingConflicts(async () => {
    const { serverIds, categoryIds, ...columns } = patch;
    const changed = Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== undefined));
    const [found] =
      Object.keys(changed).length === 0
        ? await tx.select({ id: titles.id }).from(titles).where(eq(titles.id, id)).for('update')
        : await tx.update(titles).set(changed).where(eq(titles.id, id)).returning({ id: titles.id });
    if (found === undefined) throw new Denial('not_found', { detail: 'title' });
    if (serverIds !== undefined) await setServers(tx, id, serverIds);
    if (categoryIds !== undefined) await setCategories(tx, id, categoryIds);
  });
}

/** The ids of the streaming servers that a title names; none: all of them carry it. */
export async function namedServers(db: Executor, titleId: string): Promise<string[]> {
  const rows = await db
    .select({ id: titleServers.serverId })
    .from(titleServers)
    .where(eq(titleServers.titleId, titleId));
  return rows.map(({ id }) => id).sort();
}
