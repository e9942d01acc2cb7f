/** What streaming servers have stated. */
import { index, integer, jsonb, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { Receipt } from '../../../plugin/contract.ts';
import { accounts } from './accounts.ts';
import { titles } from './catalog.ts';
import { mediaSessions, orders, tickets } from './orders.ts';
import { at, counter } from './columns.ts';

export const receiptBatches = pgTable('receipt_batches', {
  id: uuid('id').primaryKey(),
  serverId: text('server_id').notNull(),
  /** The batch as it was signed: the evidence for its receipts. */
  jws: text('jws').notNull(),
  storedAt: at('stored_at').notNull(),
});

export const receipts = pgTable(
  'receipts',
  {
    sessionId: uuid('session_id')
      .notNull()
      .references(() => mediaSessions.id),
    seq: integer('seq').notNull(),
    ticketId: uuid('ticket_id')
      .notNull()
      .references(() => tickets.jti),
    batchId: uuid('batch_id')
      .notNull()
      .references(() => receiptBatches.id),
    hash: text('hash').notNull(),
    body: jsonb('body').$type<Receipt>().notNull(),
    storedAt: at('stored_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.sessionId, table.seq] }),
    index('receipts_ticket').on(table.ticketId),
  ],
);

/**
 * What each session has used in each quarter of an hour, from what its receipts have added: the time zones of the
 * world differ by quarters of an hour, so that days of any of them are sums of these.
 */
export const usagePeriods = pgTable(
  'usage_periods',
  {
    sessionId: uuid('session_id')
      .notNull()
      .references(() => mediaSessions.id),
    /** When the quarter of an hour begins, UTC. */
    startsAt: at('starts_at').notNull(),
    orderId: uuid('order_id')
      .notNull()
      .references(() => orders.id),
    /** The buyer; null without an account. */
    accountId: uuid('account_id').references(() => accounts.id),
    /** What was watched; null when no title has the ticket's path any more. */
    titleId: uuid('title_id').references(() => titles.id),
    serverId: text('server_id').notNull(),
    mediaMs: counter('media_ms').notNull(),
    bytes: counter('bytes').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.sessionId, table.startsAt] }),
    index('usage_periods_time').on(table.startsAt),
    index('usage_periods_title').on(table.titleId, table.startsAt),
    index('usage_periods_account').on(table.accountId, table.startsAt),
    index('usage_periods_server').on(table.serverId, table.startsAt),
    index('usage_periods_order').on(table.orderId),
  ],
);
