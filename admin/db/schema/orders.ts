/** Orders, their tickets and the viewings on them. */
import { sql } from 'drizzle-orm';
import { index, integer, jsonb, pgTable, text, unique, uniqueIndex, uuid } from 'drizzle-orm/pg-core';
import type { Rights } from '../../../plugin/rights/index.ts';
import { accounts } from './accounts.ts';
import { offers } from './catalog.ts';
import { at, counter } from './columns.ts';

export const orders = pgTable(
  'orders',
  {
    id: uuid('id').primaryKey(),
    /** Null for a free offer taken without an account. */
    accountId: uuid('account_id').references(() => accounts.id),
    offerId: uuid('offer_id')
      .notNull()
      .references(() => offers.id),
    priceMinor: counter('price_minor').notNull(),
    currency: text('currency').notNull(),
    state: text('state', { enum: ['completed'] }).notNull(),
    /** Who may repeat the request: `account:<id>`, or `key:<jkt>` without an account. */
    buyer: text('buyer').notNull(),
    idempotencyKey: text('idempotency_key').notNull(),
    requestHash: text('request_hash').notNull(),
    createdAt: at('created_at').notNull(),
  },
  (table) => [
    unique('orders_request').on(table.buyer, table.idempotencyKey),
    index('orders_account').on(table.accountId, table.id),
  ],
);

export const tickets = pgTable(
  'tickets',
  {
    jti: uuid('jti').primaryKey(),
    orderId: uuid('order_id')
      .notNull()
      .references(() => orders.id),
    /** The claim `sub`: a pseudonym of the order. */
    subject: text('subject').notNull(),
    uri: text('uri').notNull(),
    jkt: text('jkt').notNull(),
    audience: text('audience').array().notNull(),
    endpoints: text('endpoints').array().notNull(),
    rights: jsonb('rights').$type<Rights>().notNull(),
    /** The signed ticket and the client part, both sealed, so that a retried order is answered alike. */
    ticket: text('ticket').notNull(),
    clientPart: text('client_part'),
    issuedAt: at('issued_at').notNull(),
    expiresAt: at('expires_at').notNull(),
    /** Fixed by the first commit when the rights have a window. */
    windowEndsAt: at('window_ends_at'),
    mediaMsUsed: counter('media_ms_used').notNull(),
    bytesUsed: counter('bytes_used').notNull(),
    revokedAt: at('revoked_at'),
  },
  (table) => [index('tickets_order').on(table.orderId), index('tickets_jkt').on(table.jkt)],
);

/** Viewings, by the session id that the streaming server gave them. */
export const mediaSessions = pgTable(
  'media_sessions',
  {
    id: uuid('id').primaryKey(),
    ticketId: uuid('ticket_id')
      .notNull()
      .references(() => tickets.jti),
    serverId: text('server_id').notNull(),
    attempt: uuid('attempt'),
    /**
     * reserved: takes an access until reservedUntil; committed: took it, live while leaseUntil is ahead;
     * ended: took it; released: gave it back.
     */
    state: text('state', { enum: ['reserved', 'committed', 'ended', 'released'] }).notNull(),
    createdAt: at('created_at').notNull(),
    reservedUntil: at('reserved_until'),
    leaseUntil: at('lease_until'),
    committedAt: at('committed_at'),
    /** As the first receipt states it, Unix seconds. */
    startedAtSeconds: counter('started_at_seconds'),
    endedAt: at('ended_at'),
    endReason: text('end_reason'),
    /** Staff have ended it; the streaming server's last receipt follows. */
    kickedAt: at('kicked_at'),
    /** The last receipt. */
    lastSeq: integer('last_seq'),
    lastHash: text('last_hash'),
    mediaMs: counter('media_ms').notNull(),
    bytes: counter('bytes').notNull(),
  },
  (table) => [
    index('media_sessions_ticket').on(table.ticketId),
    uniqueIndex('media_sessions_attempt')
      .on(table.ticketId, table.serverId, table.attempt)
      .where(sql`${table.state} in ('reserved', 'committed')`),
    index('media_sessions_running')
      .on(table.id)
      .where(sql`${table.state} in ('reserved', 'committed')`),
  ],
);
