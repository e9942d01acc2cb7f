import { and, asc, eq, inArray } from 'drizzle-orm';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import { isSqlState, type Executor } from '../db/connect.ts';
import { categories, titleCategories } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { lineSchema } from '../text.ts';

export interface Category {
  readonly id: string;
  /** In URLs. */
  readonly slug: string;
  readonly name: string;
}

export const slugSchema = z
  .string()
  .max(60)
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'lower-case letters, digits and single hyphens');

export const categorySchema = z.strictObject({ slug: slugSchema, name: lineSchema(1, 100) });
export type CategoryInput = z.infer<typeof categorySchema>;

export const categoryPatchSchema = categorySchema.partial();
export type CategoryPatch = z.infer<typeof categoryPatchSchema>;

const COLUMNS = { id: categories.id, slug: categories.slug, name: categories.name };

/** A shop has a page of them. */
const MAX_CATEGORIES = 500;

/** All categories, by name. */
export function listCategories(db: Executor): Promise<Category[]> {
  return db
    .select(COLUMNS)
    .from(categories)
    .orderBy(asc(categories.name), asc(categories.id))
    .limit(MAX_CATEGORIES);
}

/** The categories of titles, by name. */
export async function categoriesOf(
  db: Executor,
  titleIds: readonly string[],
): Promise<ReadonlyMap<string, Category[]>> {
  const rows = await db
    .select({ ...COLUMNS, titleId: titleCategories.titleId })
    .from(titleCategories)
    .innerJoin(categories, eq(categories.id, titleCategories.categoryId))
    .where(inArray(titleCategories.titleId, [...titleIds]))
    .orderBy(asc(categories.name), asc(categories.id));
  const found = new Map<string, Category[]>();
  for (const { titleId, ...category } of rows) found.set(titleId, [...(found.get(titleId) ?? []), category]);
  return found;
}

/** A category by its id; null when there is none. */
export async function findCategory(db: Executor, id: string): Promise<Category | null> {
  const [row] = await db.select(COLUMNS).from(categories).where(eq(categories.id, id));
  return row ?? null;
}

/** True if a title is of a category. */
export async function isOfCategory(db: Executor, titleId: string, categoryId: string): Promise<boolean> {
  const [row] = await db
    .select({ titleId: titleCategories.titleId })
    .from(titleCategories)
    .where(and(eq(titleCategories.titleId, titleId), eq(titleCategories.categoryId, categoryId)));
  return row !== undefined;
}

async function refusingConflicts<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isSqlState(error, '23505')) throw new Denial('conflict', { detail: 'slug', cause: error });
    throw error;
  }
}

/** @throws Denial `conflict` when the slug is taken. */
export function createCategory(tx: Executor, input: CategoryInput, now: Date): Promise<Category> {
  return refusingConflicts(async () => {
    const row = { id: newId(), ...input };
    await tx.insert(categories).values({ ...row, createdAt: now });
    return row;
  });
}

/** @throws Denial `not_found`, `conflict`. */
export function updateCategory(tx: Executor, id: string, patch: CategoryPatch): Promise<Category> {
  return refusingConflicts(async () => {
    const changed = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
    const [row] =
      Object.keys(changed).length === 0
        ? await tx.select(COLUMNS).from(categories).where(eq(categories.id, id))
        : await tx.update(categories).set(changed).where(eq(categories.id, id)).returning(COLUMNS);
    if (row === undefined) throw new Denial('not_found', { detail: 'category' });
    return row;
  });
}

/** Takes a category away; its titles stay. @throws Denial `not_found`; `conflict` while an offer sells it. */
export async function deleteCategory(tx: Executor, id: string): Promise<Category> {
  try {
    const [row] = await tx.delete(categories).where(eq(categories.id, id)).returning(COLUMNS);
    if (row === undefined) throw new Denial('not_found', { detail: 'category' });
    return row;
  } catch (error) {
    if (isSqlState(error, '23503'))
      throw new Denial('conflict', { detail: 'an offer sells it', cause: error });
    throw error;
  }
}
