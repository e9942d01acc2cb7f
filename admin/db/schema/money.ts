/** The ledger. Its rules (append-only, zero sum) are triggers, in a migration of their own. */
import { sql } from 'drizzle-orm';
import { check, index, pgTable, text, unique, uuid } from 'drizzle-orm/pg-core';
import { accounts } from './accounts.ts';
import { orders } from './orders.ts';
import { at, counter } from './columns.ts';

export const ledgerAccounts = pgTable(
  'ledger_accounts',
  {
    id: uuid('id').primaryKey(),
    kind: text('kind', { enum: ['customer_balance', 'revenue', 'promotion'] }).notNull(),
    /** The customer of a customer_balance. */
    ownerId: uuid('owner_id').references(() => accounts.id),
    currency: text('currency').notNull(),
    /**
     * Sum of the entries, kept by a trigger for customer_balance only: there it is checked and the row is the lock
     * of the balance; on the house's accounts it would be one row that every order waits for.
     */
    balanceMinor: counter('balance_minor'),
    createdAt: at('created_at').notNull(),
  },
  (table) => [
    unique('ledger_accounts_owner').on(table.kind, table.ownerId, table.currency).nullsNotDistinct(),
    check(
      'ledger_accounts_customer',
      sql`(${table.kind} = 'customer_balance') = (${table.ownerId} is not null)`,
    ),
    check(
      'ledger_accounts_kept',
      sql`(${table.kind} = 'customer_balance') = (${table.balanceMinor} is not null)`,
    ),
    check('ledger_accounts_covered', sql`${table.balanceMinor} >= 0`),
  ],
);

export const ledgerTransactions = pgTable(
  'ledger_transactions',
  {
    id: uuid('id').primaryKey(),
    kind: text('kind', { enum: ['order', 'top_up', 'credit'] }).notNull(),
    /** The order, for `order`. */
    orderId: uuid('order_id').references(() => orders.id),
    /** Who may repeat the request, and its key; null for `order`, where the order has them. */
    requestedBy: uuid('requested_by'),
    idempotencyKey: text('idempotency_key'),
    requestHash: text('request_hash'),
    createdAt: at('created_at').notNull(),
  },
  (table) => [unique('ledger_transactions_request').on(table.requestedBy, table.idempotencyKey)],
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
