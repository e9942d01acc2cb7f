/** Messages of registered streaming servers: whose they are, and that none is used twice. */
import { lt } from 'drizzle-orm';
import type { z } from 'zod';
import {
  importVerifyKey,
  signingAlgOf,
  thumbprint,
  verifyServerMessage,
  type ServerMessageTyp,
} from '../../plugin/ticket/index.ts';
import type { Executor } from '../db/connect.ts';
import { serverMessages } from '../db/schema.ts';
import { findServer } from './servers.ts';

const MAX_AGE_SECONDS = 60;
/** Longer than a message is taken, with the tolerance of clocks. */
const REMEMBER_SECONDS = 120;

export interface ReadMessageOptions<T> {
  readonly typ: ServerMessageTyp;
  readonly schema: z.ZodType<T>;
  readonly maxChars: number;
  /** Who we are to the servers. */
  readonly audience: string;
  readonly nowMs: number;
}

/** Verifies a message with the key registered for its sender, and marks it as used. @throws Denial of the verifier. */
export async function readServerMessage<T>(
  db: Executor,
  jws: string,
  options: ReadMessageOptions<T>,
): Promise<T> {
  const { nowMs, ...rest } = options;
  return verifyServerMessage(jws, {
    ...rest,
    maxAgeSeconds: MAX_AGE_SECONDS,
    nowSeconds: Math.floor(nowMs / 1000),
    findKey: async (iss, kid) => {
      const server = await findServer(db, iss);
      if (server === null) return null;
      const { signingKey } = server;
      if ((signingKey.kid ?? thumbprint(signingKey)) !== kid) return null;
      const alg = signingAlgOf(signingKey);
      return alg === null ? null : { alg, publicKey: await importVerifyKey(signingKey, alg) };
    },
    useOnce: async (serverId, jti) => {
      const used = await db
        .insert(serverMessages)
        .values({ serverId, jti, expiresAt: new Date(nowMs + REMEMBER_SECONDS * 1000) })
        .onConflictDoNothing()
        .returning({ jti: serverMessages.jti });
      return used.length === 1;
    },
  });
}

/** Forgets messages that are too old to be used again. */
export async function pruneServerMessages(db: Executor, now: Date): Promise<void> {
  await db.delete(serverMessages).where(lt(serverMessages.expiresAt, now));
}
