/**
 * The tables. SQL floor: PostgreSQL 15; ids are UUIDv7 made by us, since `uuidv7()` is newer than that. The
 * triggers that keep the ledger (no update, no delete, sums to zero) are in a migration of their own.
 */
import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  check,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';
import type { JWK } from 'jose';
import type { PublisherHealth, Receipt } from '../../plugin/contract.ts';
import type { StoredKey } from '../../plugin/key-vault.ts';
import type { Rights } from '../../plugin/rights/index.ts';

const at = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' });
const counter = (name: string) => bigint(name, { mode: 'number' });

// ---------------------------------------------------------------- accounts

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

// ---------------------------------------------------------------- catalog

export const titles = pgTable('titles', {
  id: uuid('id').primaryKey(),
  /** Stream path, as `isStreamPath` has it. */
  path: text('path').notNull().unique(),
  name: text('name').notNull(),
  description: text('description').notNull(),
  published: boolean('published').notNull(),
  createdAt: at('created_at').notNull(),
});

export const offers = pgTable(
  'offers',
  {
    id: uuid('id').primaryKey(),
    titleId: uuid('title_id')
      .notNull()
      .references(() => titles.id),
    name: text('name').notNull(),
    priceMinor: counter('price_minor').notNull(),
    /** ISO 4217. */
    currency: text('currency').notNull(),
    rights: jsonb('rights').$type<Rights>().notNull(),
    /** How long a ticket lives, from its issue. */
    validSeconds: integer('valid_seconds').notNull(),
    charging: text('charging', { enum: ['free', 'prepaid'] }).notNull(),
    /** `clear`: its tickets may be used where media travel in the clear (RTMP and HTTP-FLV without TLS). */
    transport: text('transport', { enum: ['clear'] }),
    active: boolean('active').notNull(),
    createdAt: at('created_at').notNull(),
  },
  (table) => [
    index('offers_title').on(table.titleId),
    check(
      'offers_price',
      sql`${table.priceMinor} >= 0 and (${table.charging} = 'free') = (${table.priceMinor} = 0)`,
    ),
  ],
);

export const streamKeys = pgTable(
  'stream_keys',
  {
    id: uuid('id').primaryKey(),
    titleId: uuid('title_id')
      .notNull()
      .references(() => titles.id),
    /** SHA-256 of the key, base64url. */
    keyHash: text('key_hash').notNull().unique(),
    createdAt: at('created_at').notNull(),
    revokedAt: at('revoked_at'),
  },
  (table) => [index('stream_keys_title').on(table.titleId)],
);

// ---------------------------------------------------------------- trust

export const streamingServers = pgTable('streaming_servers', {
  id: text('id').primaryKey(),
  publicUrl: text('public_url').notNull(),
  /** Public keys. */
  signingKey: jsonb('signing_key').$type<JWK>().notNull(),
  sealingKey: jsonb('sealing_key').$type<JWK>().notNull(),
  /** The signing key before the last rotation, and until when messages may still be signed with it. */
  previousSigningKey: jsonb('previous_signing_key').$type<JWK>(),
  previousSigningUntil: at('previous_signing_until'),
  active: boolean('active').notNull(),
  registeredAt: at('registered_at').notNull(),
});

/** The latest one-time code of each streaming server that may enrol. */
export const enrolmentCodes = pgTable('enrolment_codes', {
  serverId: text('server_id').primaryKey(),
  /** SHA-256 of the code, base64url; the code itself was shown once. */
  codeHash: text('code_hash').notNull(),
  createdBy: uuid('created_by')
    .notNull()
    .references(() => accounts.id),
  createdAt: at('created_at').notNull(),
  expiresAt: at('expires_at').notNull(),
  usedAt: at('used_at'),
  /** Thumbprint of the signing key that used it: its repetition is answered alike. */
  usedBy: text('used_by'),
});

/** Which servers carry a title; a title without a row is carried by all of them. */
export const titleServers = pgTable(
  'title_servers',
  {
    titleId: uuid('title_id')
      .notNull()
      .references(() => titles.id),
    serverId: text('server_id')
      .notNull()
      .references(() => streamingServers.id),
  },
  (table) => [primaryKey({ columns: [table.titleId, table.serverId] })],
);

/** What each server has on the air, by its last report; old rows are those of a server that no longer reports. */
export const serverStreams = pgTable(
  'server_streams',
  {
    serverId: text('server_id')
      .notNull()
      .references(() => streamingServers.id),
    /** Stream path. */
    uri: text('uri').notNull(),
    report: jsonb('report').$type<PublisherHealth>().notNull(),
    onAirSince: at('on_air_since').notNull(),
    viewers: integer('viewers').notNull(),
    reportedAt: at('reported_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.serverId, table.uri] }),
    index('server_streams_uri').on(table.uri),
  ],
);

export const signingKeys = pgTable('signing_keys', {
  kid: text('kid').primaryKey(),
  alg: text('alg', { enum: ['Ed25519', 'ES256'] }).notNull(),
  publicJwk: jsonb('public_jwk').$type<JWK>().notNull(),
  /** Sealed under the master key where there is one; read only by trust/signing-keys.ts. Null once it signs no more. */
  privateJwk: jsonb('private_jwk').$type<StoredKey>(),
  /** A JWS over this key's thumbprint by the key that signed before it; null for the first. */
  endorsement: text('endorsement'),
  createdAt: at('created_at').notNull(),
  /** The latest key whose moment has come signs. */
  signsFrom: at('signs_from').notNull(),
  /** Not published from then on: no ticket signed by it is alive. Null while that is not known. */
  retiredAt: at('retired_at'),
});

// ---------------------------------------------------------------- money

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

// ---------------------------------------------------------------- orders and tickets

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

// ---------------------------------------------------------------- receipts

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

// ---------------------------------------------------------------- revocation

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
