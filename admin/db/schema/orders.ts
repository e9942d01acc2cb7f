/** Orders, their tickets and the viewings on them. */
import { sql } from 'drizzle-orm';
import { check, index, integer, jsonb, pgTable, text, unique, uniqueIndex, uuid } from 'drizzle-orm/pg-core';
import type { JWK } from 'jose';
import type { Rights } from '../../../plugin/rights/index.ts';
import { ORDER_STATES } from '../../orders/states.ts';
import type { OrderTerms } from '../../orders/terms.ts';
import { accounts } from './accounts.ts';
import { offers, titles } from './catalog.ts';
import { at, counter } from './columns.ts';

interface ClientKeys {
  readonly jkt: string;
  readonly sealKey: JWK;
  /** The ticket (`jti`) that this order's one may take the place of. */
  readonly renews?: string;
}

export const orders = pgTable(
  'orders',
  {
    id: uuid('id').primaryKey(),
    /** Null without an account: free offers, vouchers, cards. */
    accountId: uuid('account_id').references(() => accounts.id),
    offerId: uuid('offer_id')
      .notNull()
      .references(() => offers.id),
    /** What it was ordered for; of a category, the first title. */
    titleId: uuid('title_id')
      .notNull()
      .references(() => titles.id),
    /** What is charged, or held at most; before the discount it was `listPriceMinor`. */
    priceMinor: counter('price_minor').notNull(),
    listPriceMinor: counter('list_price_minor').notNull(),
    currency: text('currency').notNull(),
    /** What was charged in the end, and what of it was given back. */
    capturedMinor: counter('captured_minor').notNull(),
    refundedMinor: counter('refunded_minor').notNull(),
    state: text('state', { enum: ORDER_STATES }).notNull(),
    /** What was sold, as the offer said it then. */
    terms: jsonb('terms').$type<OrderTerms>().notNull(),
    /** Who may repeat the request: `account:<id>`, or `key:<jkt>` without an account. */
    buyer: text('buyer').notNull(),
    idempotencyKey: text('idempotency_key').notNull(),
    requestHash: text('request_hash').notNull(),
    /** The buyer's public keys, and what is renewed, until the ticket is issued. */
    clientKeys: jsonb('client_keys').$type<ClientKeys>(),
    createdAt: at('created_at').notNull(),
    /** When its last ticket expires; null without a ticket. */
    expiresAt: at('expires_at'),
    /** When the first picture left, as far as is known. */
    deliveredAt: at('delivered_at'),
    /** When somebody must look at it: money to move, or a ticket to come. Null when nothing is left to do. */
    dueAt: at('due_at'),
  },
  (table) => [
    unique('orders_request').on(table.buyer, table.idempotencyKey),
    index('orders_account').on(table.accountId, table.id),
    index('orders_title').on(table.titleId, table.id),
    index('orders_state').on(table.state, table.id),
    index('orders_due')
      .on(table.dueAt)
      .where(sql`${table.dueAt} is not null`),
    check(
      'orders_amounts',
      sql`${table.capturedMinor} between 0 and ${table.priceMinor} and ${table.refundedMinor} between 0 and ${table.capturedMinor} and ${table.priceMinor} <= ${table.listPriceMinor}`,
    ),
  ],
);

/** Every change of an order's state; append-only, by a trigger. */
export const orderEvents = pgTable(
  'order_events',
  {
    id: uuid('id').primaryKey(),
    orderId: uuid('order_id')
      .notNull()
      .references(() => orders.id),
    /** Null for the first. */
    fromState: text('from_state', { enum: ORDER_STATES }),
    toState: text('to_state', { enum: ORDER_STATES }).notNull(),
    actor: text('actor', { enum: ['buyer', 'staff', 'provider', 'system'] }).notNull(),
    /** The account, or API key, of a buyer or of staff. */
    actorId: uuid('actor_id'),
    /** What was charged or given back by it. */
    amountMinor: counter('amount_minor'),
    reason: text('reason'),
    createdAt: at('created_at').notNull(),
  },
  (table) => [index('order_events_order').on(table.orderId, table.id)],
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
    /** The ticket that begins where this one ends: it has been renewed once, and is not again. */
    renewedBy: uuid('renewed_by'),
    /** Of a request for a further ticket; null for the order's first one. */
    idempotencyKey: text('idempotency_key'),
    requestHash: text('request_hash'),
  },
  (table) => [
    index('tickets_order').on(table.orderId),
    index('tickets_jkt').on(table.jkt),
    unique('tickets_request').on(table.orderId, table.idempotencyKey),
  ],
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
    /** As it states it, Unix seconds. */
    lastAtSeconds: counter('last_at_seconds'),
    mediaMs: counter('media_ms').notNull(),
    bytes: counter('bytes').notNull(),
    /** Its lease: what it may use of its ticket's budgets in all, from its beginning on. Null: not limited. */
    leasedMediaMs: counter('leased_media_ms'),
    leasedBytes: counter('leased_bytes'),
  },
  (table) => [
    index('media_sessions_ticket').on(table.ticketId),
    uniqueIndex('media_sessions_attempt')
      .on(table.ticketId, table.serverId, table.attempt)
      .where(sql`${table.state} in ('reserved', 'committed')`),
    index('media_sessions_live')
      .on(table.serverId)
      .where(sql`${table.state} in ('reserved', 'committed')`),
    index('media_sessions_running')
      .on(table.id)
      .where(sql`${table.state} in ('reserved', 'committed')`),
  ],
);
