/** What was taken back, and what was noticed. */
import { index, integer, pgTable, text, unique, uuid } from 'drizzle-orm/pg-core';
import { accounts } from './accounts.ts';
import { tickets } from './orders.ts';
import { at, counter } from './columns.ts';

/** The numbered feed. Rows are never changed or deleted: who ended what, when and why. */
export const revocations = pgTable(
  'revocations',
  {
    id: uuid('id').primaryKey(),
    /** Without gaps, in the order in which the transactions that wrote them committed. */
    seq: counter('seq').notNull().unique(),
    kind: text('kind', { enum: ['ticket', 'subject', 'key', 'session'] }).notNull(),
    /** A ticket's `jti`, `sub` or `cnf.jkt`, or the id of a media session. */
    value: text('value').notNull(),
    /** When nothing that it concerns can be alive any more. */
    until: at('until').notNull(),
    reason: text('reason').notNull(),
    revokedBy: uuid('revoked_by')
      .notNull()
      .references(() => accounts.id),
    createdAt: at('created_at').notNull(),
  },
  (table) => [
    unique('revocations_value').on(table.kind, table.value),
    index('revocations_until').on(table.until),
  ],
);

/** What streaming servers have noticed about a ticket, once per ticket and kind. */
export const ticketFlags = pgTable(
  'ticket_flags',
  {
    id: uuid('id').primaryKey(),
    ticketId: uuid('ticket_id')
      .notNull()
      .references(() => tickets.jti),
    what: text('what', { enum: ['proof_replayed'] }).notNull(),
    times: integer('times').notNull(),
    firstAt: at('first_at').notNull(),
    lastAt: at('last_at').notNull(),
    /** The one that reported it last. */
    serverId: text('server_id').notNull(),
  },
  (table) => [unique('ticket_flags_ticket').on(table.ticketId, table.what)],
);

/** Messages of streaming servers that were taken: none is taken twice, by whichever process. */
export const serverMessages = pgTable(
  'server_messages',
  {
    /** SHA-256 of sender and `jti`, base64url. */
    id: text('id').primaryKey(),
    seenAt: at('seen_at').notNull(),
  },
  (table) => [index('server_messages_seen').on(table.seenAt)],
);
