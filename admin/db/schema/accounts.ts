/** People and programs: accounts, their sessions, API keys, and what staff have done. */
import { sql } from 'drizzle-orm';
import { check, index, jsonb, pgTable, text, uuid } from 'drizzle-orm/pg-core';
import { PERMISSIONS, ROLES } from '../../accounts/permissions.ts';
import { at } from './columns.ts';

export const accounts = pgTable(
  'accounts',
  {
    id: uuid('id').primaryKey(),
    /** Lower case. */
    email: text('email').notNull().unique(),
    name: text('name').notNull(),
    role: text('role', { enum: ROLES }).notNull(),
    /** Argon2id, PHC string. Read only where a password is checked. */
    passwordHash: text('password_hash').notNull(),
    createdAt: at('created_at').notNull(),
    /** Since then it may not order; its tickets of that moment are revoked. */
    revokedAt: at('revoked_at'),
  },
  (table) => [
    // Bytewise, whatever the database's collation: beginnings of addresses are ranges of it.
    index('accounts_by_email').on(sql`(${table.email} collate "C")`),
    index('accounts_by_role').on(table.role, sql`(${table.email} collate "C")`),
    check('accounts_role', sql.raw(`"role" in (${ROLES.map((role) => `'${role}'`).join(', ')})`)),
  ],
);

export const sessions = pgTable(
  'sessions',
  {
    /** SHA-256 of the token, base64url; the token itself is known to its bearer only. */
    tokenHash: text('token_hash').primaryKey(),
    /** Names it in the list of an account's sessions, and is no secret. */
    id: uuid('id').notNull().unique(),
    accountId: uuid('account_id')
      .notNull()
      .references(() => accounts.id, { onDelete: 'cascade' }),
    /** What the client called itself; cut to 200 characters. */
    userAgent: text('user_agent'),
    createdAt: at('created_at').notNull(),
    /** Right to a minute. */
    lastUsedAt: at('last_used_at').notNull(),
    expiresAt: at('expires_at').notNull(),
  },
  (table) => [index('sessions_account').on(table.accountId), index('sessions_expiry').on(table.expiresAt)],
);

/** Single-use tokens that were mailed to somebody who has forgotten a password. */
export const passwordResets = pgTable(
  'password_resets',
  {
    /** SHA-256 of the token, base64url. */
    tokenHash: text('token_hash').primaryKey(),
    accountId: uuid('account_id')
      .notNull()
      .references(() => accounts.id, { onDelete: 'cascade' }),
    createdAt: at('created_at').notNull(),
    expiresAt: at('expires_at').notNull(),
  },
  (table) => [
    index('password_resets_account').on(table.accountId),
    index('password_resets_expiry').on(table.expiresAt),
  ],
);

export const apiKeys = pgTable('api_keys', {
  id: uuid('id').primaryKey(),
  name: text('name').notNull(),
  /** The first characters, by which people recognise it. */
  prefix: text('prefix').notNull(),
  /** SHA-256 of the key, base64url. The key has 256 random bits: nothing slower is needed. */
  keyHash: text('key_hash').notNull().unique(),
  permissions: text('permissions', { enum: PERMISSIONS }).array().notNull(),
  /** Who answers for it; it never may more than that account. */
  createdBy: uuid('created_by')
    .notNull()
    .references(() => accounts.id),
  createdAt: at('created_at').notNull(),
  /** `null`: it does not expire. */
  expiresAt: at('expires_at'),
  /** Right to a minute. */
  lastUsedAt: at('last_used_at'),
  revokedAt: at('revoked_at'),
});

/** What staff have done; append-only, by a trigger. Its ids are times: a time filter is a range of ids. */
export const auditLog = pgTable(
  'audit_log',
  {
    id: uuid('id').primaryKey(),
    createdAt: at('created_at').notNull(),
    actorKind: text('actor_kind', { enum: ['account', 'api_key', 'system'] }).notNull(),
    /** Account or API key; `null` for the command line. */
    actorId: uuid('actor_id'),
    /** Email address or name of the key at that time. */
    actorName: text('actor_name').notNull(),
    /** The request that did it, as the log names it. */
    requestId: text('request_id').notNull(),
    /** Such as "title.update". */
    action: text('action').notNull(),
    objectType: text('object_type').notNull(),
    objectId: text('object_id').notNull(),
    before: jsonb('before').$type<object>(),
    after: jsonb('after').$type<object>(),
  },
  (table) => [
    index('audit_log_actor').on(table.actorId, table.id),
    index('audit_log_object').on(table.objectType, table.objectId, table.id),
    index('audit_log_type').on(table.objectType, table.id),
    index('audit_log_action').on(table.action, table.id),
  ],
);
