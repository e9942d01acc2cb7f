import { and, desc, eq, gt, lt, ne, notInArray } from 'drizzle-orm';
import { randomBytes } from 'node:crypto';
import type { Executor } from '../db/connect.ts';
import { accounts, sessions } from '../db/schema.ts';
import { newId, sha256 } from '../ids.ts';
import { ACCOUNT_COLUMNS, type Account } from './accounts.ts';

export const SESSION_SECONDS = 30 * 24 * 3600;

/** When a session or key was used last is right to this: not every request has to write. */
export const LAST_USED_STEP_MS = 60_000;

const MAX_USER_AGENT_CHARS = 200;
const MAX_LISTED = 100;
const TOKEN = /^[A-Za-z0-9_-]{43}$/;

export interface Session {
  readonly id: string;
  /** What the client called itself. */
  readonly userAgent: string | null;
  readonly createdAt: Date;
  /** Right to a minute. */
  readonly lastUsedAt: Date;
  readonly expiresAt: Date;
}

/** What a token signs in. */
export interface FoundSession {
  readonly id: string;
  readonly account: Account;
}

/**
 * Starts a session; the token (256 bits) is in the answer only, the database keeps its hash. An account has so many at
 * most as its list shows: the oldest makes way.
 */
export async function startSession(
  db: Executor,
  accountId: string,
  { now, userAgent }: { readonly now: Date; readonly userAgent: string | null },
): Promise<string> {
  const token = randomBytes(32).toString('base64url');
  const kept = db
    .select({ id: sessions.id })
    .from(sessions)
    .where(eq(sessions.accountId, accountId))
    .orderBy(desc(sessions.id))
    .limit(MAX_LISTED - 1);
  await db.delete(sessions).where(and(eq(sessions.accountId, accountId), notInArray(sessions.id, kept)));
  await db.insert(sessions).values({
    id: newId(),
    tokenHash: sha256(token),
    accountId,
    userAgent: userAgent?.slice(0, MAX_USER_AGENT_CHARS) ?? null,
    createdAt: now,
    lastUsedAt: now,
    expiresAt: new Date(now.getTime() + SESSION_SECONDS * 1000),
  });
  return token;
}

/** The session of a token, `null` when it is unknown or expired. Notes that it was used. */
export async function findSession(db: Executor, token: string, now: Date): Promise<FoundSession | null> {
  if (!TOKEN.test(token)) return null;
  const tokenHash = sha256(token);
  const [found] = await db
    .select({ ...ACCOUNT_COLUMNS, sessionId: sessions.id, lastUsedAt: sessions.lastUsedAt })
    .from(sessions)
    .innerJoin(accounts, eq(accounts.id, sessions.accountId))
    .where(and(eq(sessions.tokenHash, tokenHash), gt(sessions.expiresAt, now)));
  if (found === undefined) return null;
  const { sessionId, lastUsedAt, ...account } = found;
  if (now.getTime() - lastUsedAt.getTime() >= LAST_USED_STEP_MS) {
    await db.update(sessions).set({ lastUsedAt: now }).where(eq(sessions.tokenHash, tokenHash));
  }
  return { id: sessionId, account };
}

/** An account's latest sessions that have not expired, newest first; at most 100. */
export function listSessions(db: Executor, accountId: string, now: Date): Promise<Session[]> {
  return db
    .select({
      id: sessions.id,
      userAgent: sessions.userAgent,
      createdAt: sessions.createdAt,
      lastUsedAt: sessions.lastUsedAt,
      expiresAt: sessions.expiresAt,
    })
    .from(sessions)
    .where(and(eq(sessions.accountId, accountId), gt(sessions.expiresAt, now)))
    .orderBy(desc(sessions.id))
    .limit(MAX_LISTED);
}

/** Ends one session of an account; true if it had it. */
export async function endSession(db: Executor, accountId: string, id: string): Promise<boolean> {
  const ended = await db
    .delete(sessions)
    .where(and(eq(sessions.id, id), eq(sessions.accountId, accountId)))
    .returning({ id: sessions.id });
  return ended.length > 0;
}

/** Ends all sessions of an account, but the one with the id `except`; answers how many. */
export async function endSessions(db: Executor, accountId: string, except?: string): Promise<number> {
  const ended = await db
    .delete(sessions)
    .where(and(eq(sessions.accountId, accountId), except === undefined ? undefined : ne(sessions.id, except)))
    .returning({ id: sessions.id });
  return ended.length;
}

/** Removes the sessions that have expired. */
export async function pruneSessions(db: Executor, now: Date): Promise<void> {
  await db.delete(sessions).where(lt(sessions.expiresAt, now));
}
