/** The ledger and payments. The ledger's rules (append-only, zero sum) are triggers, in migrations of their own. */
import { sql } from 'drizzle-orm';
import { check, index, integer, pgTable, text, unique, uniqueIndex, uuid } from 'drizzle-orm/pg-core';
import { accounts } from './accounts.ts';
import { titles } from './catalog.ts';
import { orders } from './orders.ts';
import { at, counter } from './columns.ts';

export const ledgerAccounts = pgTable(
  'ledger_accounts',
  {
    id: uuid('id').primaryKey(),
    /**
     * customer_balance: what a customer may spend. customer_held: what is held for his orders; both are owed to him.
     * revenue: what was earned. promotion: what was given. card_clearing: what card providers owe us.
     */
    kind: text('kind', {
      enum: ['customer_balance', 'customer_held', 'revenue', 'promotion', 'card_clearing'],
    }).notNull(),
    /** The customer of the first two kinds. */
    ownerId: uuid('owner_id').references(() => accounts.id),
    currency: text('currency').notNull(),
    /**
     * Sum of the entries, kept by a trigger for customers only: there it is checked and the row is the lock of the
     * balance; on the house's accounts it would be one row that every order waits for.
     */
    balanceMinor: counter('balance_minor'),
    createdAt: at('created_at').notNull(),
  },
  (table) => [
    unique('ledger_accounts_owner').on(table.kind, table.ownerId, table.currency).nullsNotDistinct(),
    index('ledger_accounts_of').on(table.ownerId),
    check(
      'ledger_accounts_customer',
      sql`(${table.kind} in ('customer_balance', 'customer_held')) = (${table.ownerId} is not null)`,
    ),
    check(
      'ledger_accounts_kept',
      sql`(${table.kind} in ('customer_balance', 'customer_held')) = (${table.balanceMinor} is not null)`,
    ),
    check('ledger_accounts_covered', sql`${table.balanceMinor} >= 0`),
  ],
);

export const ledgerTransactions = pgTable(
  'ledger_transactions',
  {
    id: uuid('id').primaryKey(),
    /** `order`: charged at once, as orders were before there were holds. */
    kind: text('kind', {
      enum: ['order', 'hold', 'capture', 'release', 'refund', 'top_up', 'credit', 'voucher'],
    }).notNull(),
    /** What it was for; null for top-ups, credits and vouchers. */
    orderId: uuid('order_id').references(() => orders.id),
    /** The customer concerned, null without an account; and the order's title. Statements go by them. */
    accountId: uuid('account_id').references(() => accounts.id),
    titleId: uuid('title_id').references(() => titles.id),
    /** Who may repeat the request, and its key; null where the order has them. */
    requestedBy: uuid('requested_by'),
    idempotencyKey: text('idempotency_key'),
    requestHash: text('request_hash'),
    createdAt: at('created_at').notNull(),
  },
  (table) => [
    unique('ledger_transactions_request').on(table.requestedBy, table.idempotencyKey),
    index('ledger_transactions_created').on(table.createdAt),
    index('ledger_transactions_order').on(table.orderId, table.id),
    index('ledger_transactions_account').on(table.accountId, table.id),
    index('ledger_transactions_title').on(table.titleId, table.id),
  ],
);

export const ledgerEntries = pgTable(
  'ledger_entries',
  {
    id: uuid('id').primaryKey(),
    transactionId: uuid('transaction_id')
      .notNull()
      .references(() => ledgerTransactions.id),
    ledgerAccountId: uuid('ledger_account_id')
      .notNull()
      .references(() => ledgerAccounts.id),
    /** Signed; a transaction's entries sum to zero per currency. */
    amountMinor: counter('amount_minor').notNull(),
    currency: text('currency').notNull(),
  },
  (table) => [
    index('ledger_entries_transaction').on(table.transactionId),
    index('ledger_entries_account').on(table.ledgerAccountId),
    check('ledger_entries_nonzero', sql`${table.amountMinor} <> 0`),
  ],
);

/** What pays for an order; a free order has none. */
export const payments = pgTable(
  'payments',
  {
    id: uuid('id').primaryKey(),
    orderId: uuid('order_id')
      .notNull()
      .unique()
      .references(() => orders.id),
    provider: text('provider', { enum: ['balance', 'voucher', 'test_card'] }).notNull(),
    state: text('state', {
      enum: ['pending', 'authorized', 'declined', 'captured', 'released', 'refunded', 'failed'],
    }).notNull(),
    /** What was authorized, or is to be; of it was captured, and of that refunded. */
    amountMinor: counter('amount_minor').notNull(),
    capturedMinor: counter('captured_minor').notNull(),
    refundedMinor: counter('refunded_minor').notNull(),
    currency: text('currency').notNull(),
    /** The provider's token for the card; forgotten once the authorization is decided. Never a card number. */
    source: text('source'),
    createdAt: at('created_at').notNull(),
    updatedAt: at('updated_at').notNull(),
  },
  (table) => [
    check(
      'payments_amounts',
      sql`${table.amountMinor} > 0 and ${table.capturedMinor} between 0 and ${table.amountMinor} and ${table.refundedMinor} between 0 and ${table.capturedMinor}`,
    ),
  ],
);

/**
 * What a provider outside is asked to do: written before it is asked, so that a crash in between forgets nothing. The id
 * is what the provider knows it by: asked twice, it does it once. Refunds of every provider are among them.
 */
export const paymentOperations = pgTable(
  'payment_operations',
  {
    id: uuid('id').primaryKey(),
    paymentId: uuid('payment_id')
      .notNull()
      .references(() => payments.id),
    kind: text('kind', { enum: ['authorize', 'capture', 'release', 'refund'] }).notNull(),
    amountMinor: counter('amount_minor').notNull(),
    /** sent: the answer is not known. waiting: the provider decides later. */
    state: text('state', { enum: ['sent', 'waiting', 'done', 'refused'] }).notNull(),
    attempts: integer('attempts').notNull(),
    /** When it is asked for again; null once it is decided. */
    dueAt: at('due_at'),
    /** Why and by whom, for the order's history; set on refunds. */
    reason: text('reason'),
    requestedBy: uuid('requested_by'),
    idempotencyKey: text('idempotency_key'),
    requestHash: text('request_hash'),
    createdAt: at('created_at').notNull(),
    resolvedAt: at('resolved_at'),
  },
  (table) => [
    index('payment_operations_payment').on(table.paymentId, table.id),
    // One at a time: what is asked second must know how the first has ended.
    uniqueIndex('payment_operations_open')
      .on(table.paymentId)
      .where(sql`${table.state} in ('sent', 'waiting')`),
    index('payment_operations_due')
      .on(table.dueAt)
      .where(sql`${table.dueAt} is not null`),
    unique('payment_operations_request').on(table.requestedBy, table.idempotencyKey),
    check('payment_operations_amount', sql`${table.amountMinor} > 0`),
    check(
      'payment_operations_open_due',
      sql`(${table.state} in ('sent', 'waiting')) = (${table.dueAt} is not null)`,
    ),
  ],
);

/** What providers have told: each event once. */
export const paymentEvents = pgTable(
  'payment_events',
  {
    id: uuid('id').primaryKey(),
    provider: text('provider', { enum: ['test_card'] }).notNull(),
    /** The provider's name of the event. */
    eventId: text('event_id').notNull(),
    operationId: uuid('operation_id')
      .notNull()
      .references(() => paymentOperations.id),
    outcome: text('outcome', { enum: ['done', 'refused'] }).notNull(),
    receivedAt: at('received_at').notNull(),
  },
  (table) => [
    unique('payment_events_event').on(table.provider, table.eventId),
    index('payment_events_operation').on(table.operationId),
  ],
);
