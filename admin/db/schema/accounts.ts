/** People: viewers and staff. */
import { index, pgTable, text, uuid } from 'drizzle-orm/pg-core';
import { at } from './columns.ts';

export const accounts = pgTable('accounts', {
  id: uuid('id').primaryKey(),
  /** Lower case. */
  email: text('email').notNull().unique(),
  name: text('name').notNull(),
  role: text('role', { enum: ['viewer', 'staff'] }).notNull(),
  /** Argon2id, PHC string. Read only by signIn. */
  passwordHash: text('password_hash').notNull(),
  createdAt: at('created_at').notNull(),
  /** Since then it may not order; its tickets of that moment are revoked. */
  revokedAt: at('revoked_at'),
});

export const sessions = pgTable(
  'sessions',
  {
    /** SHA-256 of the token, base64url; the token itself is known to its bearer only. */
    tokenHash: text('token_hash').primaryKey(),
    accountId: uuid('account_id')
      .notNull()
      .references(() => accounts.id, { onDelete: 'cascade' }),
    createdAt: at('created_at').notNull(),
    expiresAt: at('expires_at').notNull(),
  },
  (table) => [index('sessions_account').on(table.accountId), index('sessions_expiry').on(table.expiresAt)],
);
