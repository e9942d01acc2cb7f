/** Messages of registered streaming servers: whose they are, and that none is used twice. */
import { eq, lt, sql } from 'drizzle-orm';
import type { CryptoKey } from 'jose';
import type { z } from 'zod';
import { Denial, type Code } from '../../plugin/errors.ts';
import type { Clock } from '../../plugin/ports.ts';
import {
  importVerifyKey,
  signingAlgOf,
  verifyServerMessage,
  type ServerMessageTyp,
  type SigningAlg,
} from '../../plugin/ticket/index.ts';
import type { Executor } from '../db/connect.ts';
import { serverMessages, streamingServers } from '../db/schema.ts';
import { sha256 } from '../ids.ts';
import { findMessageKeys } from './servers.ts';

const MAX_AGE_SECONDS = 60;
/** Longer than a message is taken, with the tolerance of clocks and what the clocks of our processes differ by. */
const REMEMBER_SECONDS = 180;
/** For this long a registration's key need not be read again; that it was withdrawn is seen at once (`use_message`). */
const REGISTRATION_MS = 5000;

interface RegisteredKey {
  readonly alg: SigningAlg;
  readonly publicKey: CryptoKey;
}

interface Registration {
  /** By `kid`. */
  readonly keys: ReadonlyMap<string, RegisteredKey>;
  readonly readAtMs: number;
}

export interface MessageKind<T> {
  readonly typ: ServerMessageTyp;
  readonly schema: z.ZodType<T>;
  readonly maxChars: number;
}

/** A message that was verified and is not marked as used yet. */
export interface MessageUse {
  /** SHA-256 of its sender and number, base64url. */
  readonly id: string;
  readonly serverId: string;
}

export interface MessageReader {
  /** Verifies a message with the key registered for its sender, and marks it as used. @throws Denial of the verifier. */
  read<T>(jws: string, kind: MessageKind<T>): Promise<T>;
  /**
   * Verifies a message; the caller marks it in the statement or transaction that does what the message asks, by
   * `useMessage` or a function of the database that calls `use_message`. @throws Denial of the verifier.
   */
  verify<T extends { readonly iss: string }>(
    jws: string,
    kind: MessageKind<T>,
  ): Promise<{ readonly message: T; readonly use: MessageUse }>;
}

interface Refusal extends Record<string, unknown> {
  readonly refusal: Code | null;
  readonly detail: string | null;
}

/**
 * Marks a message as used, for all processes on this database.
 * @throws Denial `message_replayed`; `server_untrusted` when its sender's registration has been withdrawn.
 */
export async function useMessage(db: Executor, use: MessageUse, nowMs: number): Promise<void> {
  const seenAt = new Date(nowMs).toISOString();
  const [row] = await db.execute<Refusal>(
    sql`select refusal, detail from use_message(${use.id}, ${use.serverId}, ${seenAt}::timestamptz)`,
  );
  if (row === undefined) throw new Error('the database made no decision');
  if (row.refusal !== null) {
    throw new Denial(row.refusal, row.detail === null ? {} : { detail: row.detail });
  }
}

/** Ids of the servers whose messages are taken. */
export async function activeSenders(db: Executor): Promise<string[]> {
  const rows = await db
    .select({ id: streamingServers.id })
    .from(streamingServers)
    .where(eq(streamingServers.active, true));
  return rows.map(({ id }) => id);
}

/** Forgets the messages that are too old to be taken again. */
export async function pruneMessages(db: Executor, nowMs: number): Promise<void> {
  await db.delete(serverMessages).where(lt(serverMessages.seenAt, new Date(nowMs - REMEMBER_SECONDS * 1000)));
}

/**
 * Makes the reader of one process. What was taken is remembered in the database: by all processes, over restarts.
 * @param audience who we are to the servers
 */
export function createMessageReader(db: Executor, audience: string, clock: Clock): MessageReader {
  const registrations = new Map<string, Registration>();

  /** The keys of a server that is registered: one, or two while it changes over. */
  async function register(serverId: string): Promise<Registration> {
    registrations.delete(serverId);
    const found = await findMessageKeys(db, serverId, new Date(clock.nowMs()));
    const keys = new Map<string, RegisteredKey>();
    for (const { kid, jwk } of found) {
      const alg = signingAlgOf(jwk);
      if (alg !== null) keys.set(kid, { alg, publicKey: await importVerifyKey(jwk, alg) });
    }
    const registration = { keys, readAtMs: clock.monotonicMs() };
    if (keys.size > 0) registrations.set(serverId, registration);
    return registration;
  }

  async function findKey(iss: string, kid: string): Promise<RegisteredKey | null> {
    const known = registrations.get(iss);
    const isFresh = known !== undefined && clock.monotonicMs() - known.readAtMs < REGISTRATION_MS;
    const registration = isFresh && known.keys.has(kid) ? known : await register(iss);
    return registration.keys.get(kid) ?? null;
  }

  async function verify<T>(jws: string, kind: MessageKind<T>) {
    let id = '';
    let serverId = '';
    const message = await verifyServerMessage(jws, {
      ...kind,
      audience,
      maxAgeSeconds: MAX_AGE_SECONDS,
      nowSeconds: Math.floor(clock.nowMs() / 1000),
      findKey: (iss, kid) => {
        serverId = iss;
        return findKey(iss, kid);
      },
      // Its memory is the database's; here the name is taken down that it is remembered by.
      replay: {
        use: (name) => {
          id = sha256(name);
        },
        size: () => 0,
      },
    });
    return { message, use: { id, serverId } };
  }

  return {
    verify,
    read: async (jws, kind) => {
      const { message, use } = await verify(jws, kind);
      await useMessage(db, use, clock.nowMs());
      return message;
    },
  };
}
