/** The catalog's list: filters, full text, and order. */
import { and, arrayContains, asc, desc, eq, exists, inArray, lte, or, sql, type SQL } from 'drizzle-orm';
import { z } from 'zod';
import type { Executor } from '../db/connect.ts';
import { categories, offers, titleCategories, titles } from '../db/schema.ts';
import { currencySchema, MAX_AMOUNT_MINOR } from '../ledger/money.ts';
import { lineSchema } from '../text.ts';
import { isOnAir } from '../trust/live-streams.ts';
import { visibleFrom, type Viewpoint } from './availability.ts';
import { slugSchema } from './categories.ts';
import { languageSchema, TITLE_COLUMNS, TITLE_KINDS, withParts, type Page, type Title } from './titles.ts';

export const catalogFilterSchema = z.strictObject({
  /** Words of name or description, or their beginnings; all of them must be there. */
  search: lineSchema(1, 100).exactOptional(),
  /** Slug. */
  category: slugSchema.exactOptional(),
  language: languageSchema.exactOptional(),
  kind: z.enum(TITLE_KINDS).exactOptional(),
  /** On the air now, or not. */
  live: z.boolean().exactOptional(),
  /** It has an offer, previews apart, for at most this. */
  maxPriceMinor: z.int().min(0).max(MAX_AMOUNT_MINOR).exactOptional(),
  /** Of that offer. */
  currency: currencySchema.exactOptional(),
  /** For staff, who see both. */
  published: z.boolean().exactOptional(),
});
export type CatalogFilter = z.infer<typeof catalogFilterSchema>;

export const CATALOG_ORDERS = ['OLDEST', 'NEWEST', 'NAME'] as const;
export type CatalogOrder = (typeof CATALOG_ORDERS)[number];

const MAX_WORDS = 10;

/** A tsquery for beginnings of words. Only letters and digits come through: none of its operators. */
function wordsOf(search: string): string {
  const words = search.match(/[\p{L}\p{N}]+/gu) ?? [];
  return words
    .slice(0, MAX_WORDS)
    .map((word) => `(${formsOf(word).join(' | ')})`)
    .join(' & ');
}

/** A database whose locale is "C" does not know that é is É: a word is looked for as people write it. */
function formsOf(word: string): string[] {
  const lower = word.toLowerCase();
  const [first = ''] = lower;
  const capitalised = first.toUpperCase() + lower.slice(first.length);
  return [...new Set([word, lower, capitalised, word.toUpperCase()])].map((form) => `${form}:*`);
}

function isSoldFor(db: Executor, { maxPriceMinor, currency }: CatalogFilter): SQL | undefined {
  if (maxPriceMinor === undefined && currency === undefined) return undefined;
  const fits = and(
    eq(offers.active, true),
    eq(offers.preview, false),
    maxPriceMinor === undefined ? undefined : lte(offers.priceMinor, maxPriceMinor),
    currency === undefined ? undefined : eq(offers.currency, currency),
  );
  const one = { one: sql`1` };
  return or(
    exists(
      db
        .select(one)
        .from(offers)
        .where(and(eq(offers.titleId, titles.id), fits)),
    ),
    exists(
      db
        .select(one)
        .from(titleCategories)
        .innerJoin(offers, eq(offers.categoryId, titleCategories.categoryId))
        .where(and(eq(titleCategories.titleId, titles.id), fits)),
    ),
  );
}

function matches(db: Executor, filter: CatalogFilter, nowMs: number): SQL | undefined {
  const { search, category, language, kind, live, published } = filter;
  const onAir = live === undefined ? undefined : isOnAir(db, nowMs);
  return and(
    search === undefined ? undefined : sql`${titles.search} @@ to_tsquery('simple', ${wordsOf(search)})`,
    category === undefined
      ? undefined
      : inArray(
          titles.id,
          db
            .select({ id: titleCategories.titleId })
            .from(titleCategories)
            .innerJoin(categories, eq(categories.id, titleCategories.categoryId))
            .where(eq(categories.slug, category)),
        ),
    language === undefined ? undefined : arrayContains(titles.languages, [language]),
    kind === undefined ? undefined : eq(titles.kind, kind),
    published === undefined ? undefined : eq(titles.published, published),
    onAir === undefined ? undefined : live === true ? onAir : sql`not ${onAir}`,
    isSoldFor(db, filter),
  );
}

/** Keyset: cursors are ids; by name they stand for the name that the title has now. */
function seek(order: CatalogOrder, page: Page): SQL | undefined {
  const key = order === 'NAME' ? sql`(${titles.name}, ${titles.id})` : sql`${titles.id}`;
  const keyOf = (id: string) =>
    order === 'NAME'
      ? sql`(select "t"."name", "t"."id" from "titles" "t" where "t"."id" = ${id}::uuid)`
      : sql`${id}::uuid`;
  const [later, earlier] = order === 'NEWEST' ? [sql`<`, sql`>`] : [sql`>`, sql`<`];
  return and(
    page.after === undefined ? undefined : sql`${key} ${later} ${keyOf(page.after)}`,
    page.before === undefined ? undefined : sql`${key} ${earlier} ${keyOf(page.before)}`,
  );
}

/** One page of the titles that a viewpoint sees (`all`: every one) and the filter lets through. */
export async function listTitles(
  db: Executor,
  seenFrom: Viewpoint | 'all',
  filter: CatalogFilter,
  order: CatalogOrder,
  page: Page,
  nowMs: number,
): Promise<Title[]> {
  const direction = (order === 'NEWEST') === page.inverted ? asc : desc;
  const rows = await db
    .select(TITLE_COLUMNS)
    .from(titles)
    .where(
      and(
        seenFrom === 'all' ? undefined : visibleFrom(seenFrom),
        matches(db, filter, nowMs),
        seek(order, page),
      ),
    )
    .orderBy(...(order === 'NAME' ? [direction(titles.name)] : []), direction(titles.id))
    .limit(page.limit);
  return withParts(db, rows);
}
