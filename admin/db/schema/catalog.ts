/** What can be watched, and what of it is sold. */
import { sql } from 'drizzle-orm';
import { boolean, check, index, integer, jsonb, pgTable, text, uuid } from 'drizzle-orm/pg-core';
import type { Rights } from '../../../plugin/rights/index.ts';
import { at, counter } from './columns.ts';

export const titles = pgTable('titles', {
  id: uuid('id').primaryKey(),
  /** Stream path, as `isStreamPath` has it. */
  path: text('path').notNull().unique(),
  name: text('name').notNull(),
  description: text('description').notNull(),
  published: boolean('published').notNull(),
  createdAt: at('created_at').notNull(),
});

export const offers = pgTable(
  'offers',
  {
    id: uuid('id').primaryKey(),
    titleId: uuid('title_id')
      .notNull()
      .references(() => titles.id),
    name: text('name').notNull(),
    priceMinor: counter('price_minor').notNull(),
    /** ISO 4217. */
    currency: text('currency').notNull(),
    rights: jsonb('rights').$type<Rights>().notNull(),
    /** How long a ticket lives, from its issue. */
    validSeconds: integer('valid_seconds').notNull(),
    charging: text('charging', { enum: ['free', 'prepaid'] }).notNull(),
    /** `clear`: its tickets may be used where media travel in the clear (RTMP and HTTP-FLV without TLS). */
    transport: text('transport', { enum: ['clear'] }),
    active: boolean('active').notNull(),
    createdAt: at('created_at').notNull(),
  },
  (table) => [
    index('offers_title').on(table.titleId),
    check(
      'offers_price',
      sql`${table.priceMinor} >= 0 and (${table.charging} = 'free') = (${table.priceMinor} = 0)`,
    ),
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
