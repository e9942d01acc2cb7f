/** What bears on one sale: promotions, vouchers, the quota of previews, places at streaming servers. */
import { sql } from 'drizzle-orm';
import {
  boolean,
  check,
  date,
  index,
  integer,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';
import { accounts } from './accounts.ts';
import { offers, titles } from './catalog.ts';
import { at, counter } from './columns.ts';
import { orders } from './orders.ts';
import { streamingServers } from './trust.ts';

/** Codes that make offers cheaper. They are no secrets: who has seen an advertisement knows one. */
export const promotions = pgTable(
  'promotions',
  {
    id: uuid('id').primaryKey(),
    /** Upper case. */
    code: text('code').notNull().unique(),
    name: text('name').notNull(),
    /** Either a part of the price in percent, or an amount of a currency. */
    percent: integer('percent'),
    amountMinor: counter('amount_minor'),
    currency: text('currency'),
    startsAt: at('starts_at'),
    endsAt: at('ends_at'),
    /** Null is not limited. */
    maxUses: integer('max_uses'),
    maxUsesPerAccount: integer('max_uses_per_account'),
    /** What it applies to; null is everything. */
    offerIds: uuid('offer_ids').array(),
    titleIds: uuid('title_ids').array(),
    active: boolean('active').notNull(),
    /** How many rows of promotion_uses it has. The row is the lock of both limits. */
    uses: integer('uses').notNull().default(0),
    createdAt: at('created_at').notNull(),
  },
  (table) => [
    check(
      'promotions_discount',
      sql`(${table.percent} is null) <> (${table.amountMinor} is null) and (${table.amountMinor} is null) = (${table.currency} is null)`,
    ),
    check('promotions_uses', sql`${table.uses} between 0 and coalesce(${table.maxUses}, ${table.uses})`),
  ],
);

export const promotionUses = pgTable(
  'promotion_uses',
  {
    orderId: uuid('order_id')
      .primaryKey()
      .references(() => orders.id),
    promotionId: uuid('promotion_id')
      .notNull()
      .references(() => promotions.id),
    accountId: uuid('account_id').references(() => accounts.id),
    usedAt: at('used_at').notNull(),
  },
  (table) => [index('promotion_uses_account').on(table.promotionId, table.accountId)],
);

export const voucherBatches = pgTable(
  'voucher_batches',
  {
    id: uuid('id').primaryKey(),
    name: text('name').notNull(),
    /** What each voucher is good for: an offer, or an amount for the balance. */
    offerId: uuid('offer_id').references(() => offers.id),
    amountMinor: counter('amount_minor'),
    currency: text('currency'),
    count: integer('count').notNull(),
    expiresAt: at('expires_at').notNull(),
    /** Since then none of its vouchers can be redeemed. */
    cancelledAt: at('cancelled_at'),
    createdAt: at('created_at').notNull(),
  },
  (table) => [
    check(
      'voucher_batches_worth',
      sql`(${table.offerId} is null) <> (${table.amountMinor} is null) and (${table.amountMinor} is null) = (${table.currency} is null)`,
    ),
  ],
);

export const vouchers = pgTable(
  'vouchers',
  {
    id: uuid('id').primaryKey(),
    batchId: uuid('batch_id')
      .notNull()
      .references(() => voucherBatches.id),
    /** SHA-256 of the code, base64url; the code itself was shown once. */
    codeHash: text('code_hash').notNull().unique(),
    redeemedAt: at('redeemed_at'),
    /** The order that it paid for. */
    orderId: uuid('order_id').references(() => orders.id),
    /** The account whose balance it went to. */
    accountId: uuid('account_id').references(() => accounts.id),
  },
  (table) => [
    index('vouchers_batch').on(table.batchId, table.id),
    uniqueIndex('vouchers_order').on(table.orderId),
    check(
      'vouchers_redeemed',
      sql`(${table.redeemedAt} is null) = (${table.orderId} is null and ${table.accountId} is null)`,
    ),
  ],
);

/** Keys under which client addresses are hashed, one a day; deleted with the counts when the day is over. */
export const previewDays = pgTable('preview_days', {
  day: date('day').primaryKey(),
  /** 32 bytes, base64url. */
  key: text('key').notNull(),
});

export const previewCounts = pgTable(
  'preview_counts',
  {
    day: date('day')
      .notNull()
      .references(() => previewDays.day, { onDelete: 'cascade' }),
    titleId: uuid('title_id')
      .notNull()
      .references(() => titles.id),
    /** HMAC of a client address under the day's key, base64url; empty for the title in all. */
    who: text('who').notNull(),
    taken: integer('taken').notNull(),
  },
  (table) => [primaryKey({ columns: [table.day, table.titleId, table.who] })],
);

/** Places at streaming servers with a capacity, kept for orders until their viewing starts. */
export const places = pgTable(
  'places',
  {
    orderId: uuid('order_id')
      .notNull()
      .references(() => orders.id),
    serverId: text('server_id')
      .notNull()
      .references(() => streamingServers.id),
    until: at('until').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.orderId, table.serverId] }),
    index('places_server').on(table.serverId, table.until),
  ],
);
