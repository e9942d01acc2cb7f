/** Streaming servers, and the keys of both sides. */
import { boolean, index, integer, jsonb, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { JWK } from 'jose';
import type { PublisherHealth } from '../../../plugin/contract.ts';
import type { StoredKey } from '../../../plugin/key-vault.ts';
import { accounts } from './accounts.ts';
import { titles } from './catalog.ts';
import { at } from './columns.ts';

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
  /** Viewers at the same time; null: not limited. */
  capacity: integer('capacity'),
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
