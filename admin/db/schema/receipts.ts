/** What streaming servers have stated. */
import { index, integer, jsonb, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { Receipt } from '../../../plugin/contract.ts';
import { mediaSessions, tickets } from './orders.ts';
import { at } from './columns.ts';

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
