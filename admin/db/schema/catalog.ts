/** What can be watched, and what of it is sold. */
import { sql, type SQL } from 'drizzle-orm';
import {
  boolean,
  check,
  customType,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uuid,
} from 'drizzle-orm/pg-core';
import type { Rights } from '../../../plugin/rights/index.ts';
import type { TimeOption } from '../../pricing/time-options.ts';
import { at, counter } from './columns.ts';

const tsvector = customType<{ data: string }>({ dataType: () => 'tsvector' });

export const titles = pgTable(
  'titles',
  {
    id: uuid('id').primaryKey(),
    /** Stream path, as `isStreamPath` has it. */
    path: text('path').notNull().unique(),
    kind: text('kind', { enum: ['live', 'file'] })
      .notNull()
      .default('live'),
    name: text('name').notNull(),
    description: text('description').notNull(),
    /** An https URL or a path on this server. */
    artworkUrl: text('artwork_url'),
    /** BCP 47, as `languageSchema` has them. */
    languages: text('languages')
      .array()
      .notNull()
      .default(sql`'{}'`),
    /** ISO 3166-1 alpha-2; null: everywhere. */
    countries: text('countries').array(),
    availableFrom: at('available_from'),
    /** The first moment at which it is no longer to be had. */
    availableUntil: at('available_until'),
    published: boolean('published').notNull(),
    createdAt: at('created_at').notNull(),
    /** Words of name and description, in no language in particular. */
    search: tsvector('search').generatedAlwaysAs(
      (): SQL =>
        sql`setweight(to_tsvector('simple', ${titles.name}), 'A') || setweight(to_tsvector('simple', ${titles.description}), 'B')`,
    ),
  },
  (table) => [
    index('titles_search').using('gin', table.search),
    index('titles_published')
      .on(table.id)
      .where(sql`${table.published}`),
    index('titles_name').on(table.name, table.id),
    check('titles_window', sql`${table.availableFrom} < ${table.availableUntil}`),
  ],
);

export const categories = pgTable(
  'categories',
  {
    id: uuid('id').primaryKey(),
    /** In URLs: lower-case letters, digits and hyphens. */
    slug: text('slug').notNull().unique(),
    name: text('name').notNull(),
    createdAt: at('created_at').notNull(),
  },
  (table) => [index('categories_name').on(table.name, table.id)],
);

export const titleCategories = pgTable(
  'title_categories',
  {
    titleId: uuid('title_id')
      .notNull()
      .references(() => titles.id),
    categoryId: uuid('category_id')
      .notNull()
      .references(() => categories.id, { onDelete: 'cascade' }),
  },
  (table) => [
    primaryKey({ columns: [table.titleId, table.categoryId] }),
    index('title_categories_category').on(table.categoryId, table.titleId),
  ],
);

export const offers = pgTable(
  'offers',
  {
    id: uuid('id').primaryKey(),
    /** What it opens: one title, or every title of a category. */
    titleId: uuid('title_id').references(() => titles.id),
    categoryId: uuid('category_id').references(() => categories.id),
    name: text('name').notNull(),
    /** What is charged; for `metered`, the most that can be charged and what is held. */
    priceMinor: counter('price_minor').notNull(),
    /** ISO 4217. */
    currency: text('currency').notNull(),
    /** True if the price holds the tax that applies. */
    taxInclusive: boolean('tax_inclusive').notNull().default(true),
    /** What is sold, as staff said it; the rights and the validity are compiled from it. */
    timeOption: jsonb('time_option').$type<TimeOption>().notNull(),
    /** What the quality tier is called; its limits are in the rights. */
    tierName: text('tier_name'),
    rights: jsonb('rights').$type<Rights>().notNull(),
    /** How long a ticket lives, from its order; null where the two moments below say it. */
    validSeconds: integer('valid_seconds'),
    validFrom: at('valid_from'),
    validUntil: at('valid_until'),
    charging: text('charging', { enum: ['free', 'prepaid', 'on_delivery', 'metered'] }).notNull(),
    /** What becomes of the money of a ticket that was never used. */
    unusedPolicy: text('unused_policy', { enum: ['refund', 'forfeit'] })
      .notNull()
      .default('forfeit'),
    /** on_delivery: seconds of media after which the price is due. */
    captureAfterSeconds: integer('capture_after_seconds'),
    meterUnit: text('meter_unit', { enum: ['minute', 'gigabyte'] }),
    /** Price of one unit, each begun one counted whole. */
    meterPriceMinor: counter('meter_price_minor'),
    /** A free taste: counted against the two quotas, each per day of UTC. */
    preview: boolean('preview').notNull().default(false),
    /** Previews of the title that one client address may take. */
    previewsPerAddress: integer('previews_per_address'),
    /** Previews of the title in all. */
    previewsPerTitle: integer('previews_per_title'),
    /** `clear`: its tickets may be used where media travel in the clear (RTMP and HTTP-FLV without TLS). */
    transport: text('transport', { enum: ['clear'] }),
    active: boolean('active').notNull(),
    createdAt: at('created_at').notNull(),
  },
  (table) => [
    index('offers_title').on(table.titleId, table.priceMinor),
    index('offers_category').on(table.categoryId, table.priceMinor),
    check('offers_target', sql`(${table.titleId} is null) <> (${table.categoryId} is null)`),
    check(
      'offers_price',
      sql`${table.priceMinor} >= 0 and (${table.charging} = 'free') = (${table.priceMinor} = 0)`,
    ),
    check(
      'offers_validity',
      sql`(${table.validSeconds} is null) = (${table.validFrom} is not null) and (${table.validFrom} is null) = (${table.validUntil} is null)`,
    ),
    check(
      'offers_delivery',
      sql`(${table.charging} = 'on_delivery') = (${table.captureAfterSeconds} is not null)`,
    ),
    check(
      'offers_meter',
      sql`(${table.charging} = 'metered') = (${table.meterUnit} is not null) and (${table.meterUnit} is null) = (${table.meterPriceMinor} is null)`,
    ),
    check('offers_preview', sql`not ${table.preview} or ${table.charging} = 'free'`),
  ],
);

export const streamKeys = pgTable(
  'stream_keys',
  {
    id: uuid('id').primaryKey(),
    titleId: uuid('title_id')
      .notNull()
      .references(() => titles.id),
    /** SHA-256 of the key, base64url. */
    keyHash: text('key_hash').notNull().unique(),
    createdAt: at('created_at').notNull(),
    revokedAt: at('revoked_at'),
  },
  (table) => [index('stream_keys_title').on(table.titleId)],
);
