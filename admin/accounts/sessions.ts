import { and, eq, gt, lt } from 'drizzle-orm';
import { randomBytes } from 'node:crypto';
import type { Executor } from '../db/connect.ts';
import { accounts, sessions } from '../db/schema.ts';
import { sha256 } from '../ids.ts';
import type { Account } from './accounts.ts';

export const SESSION_SECONDS = 30 * 24 * 3600;

const TOKEN = /^[A-Za-z0-9_-]{43}$/;

/** Starts a session; the token (256 bits) is in the answer only, the database keeps its hash. */
export async function startSession(db: Executor, accountId: string, now: Date): Promise<string> {
  const token = randomBytes(32).toString('base64url');
  await db.insert(sessions).values({
    tokenHash: sha256(token),
    accountId,
    createdAt: now,
    expiresAt: new Date(now.getTime() + SESSION_SECONDS * 1000),
  });
  return token;
}

/** The account that a token signs in, `null` when it is unknown or expired. */
export async function findSession(db: Executor, token: string, now: Date): Promise<Account | null> {
  if (!TOKEN.test(token)) return null;
  const [found] = await db
    .select({
      id: accounts.id,
      email: accounts.email,
      name: accounts.name,
      role: accounts.role,
      createdAt: accounts.createdAt,
    })
    .from(sessions)
    .innerJoin(accounts, eq(accounts.id, sessions.accountId))
    .where(and(eq(sessions.tokenHash, sha256(token)), gt(sessions.expiresAt, now)));
  return found ?? null;
}

/** Ends a session; an unknown token is no error. */
export async function endSession(db: Executor, token: string): Promise<void> {
  if (TOKEN.test(token)) await db.delete(sessions).where(eq(sessions.tokenHash, sha256(token)));
}

/** Removes the sessions that have expired. */
export async function pruneSessions(db: Executor, now: Date): Promise<void> {
  await db.delete(sessions).where(lt(sessions.expiresAt, now));
}
