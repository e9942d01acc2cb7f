/** Passwords and what they open: signing in, changing one, replacing one that was forgotten. */
import { and, eq, gt, lt, type SQL } from 'drizzle-orm';
import { randomBytes } from 'node:crypto';
import { Denial } from '../../plugin/errors.ts';
import type { Database, Executor } from '../db/connect.ts';
import { accounts, passwordResets } from '../db/schema.ts';
import { sha256 } from '../ids.ts';
import { ACCOUNT_COLUMNS, findAccountByEmail, type Account } from './accounts.ts';
import { hashPassword, isOutdated, verifyPassword } from './passwords.ts';
import { endSessions, startSession } from './sessions.ts';

export const RESET_SECONDS = 30 * 60;

const RESET_TOKEN = /^[A-Za-z0-9_-]{43}$/;

export interface SignIn {
  readonly email: string;
  readonly password: string;
  readonly now: Date;
  readonly userAgent: string | null;
}

/**
 * Signs in with an email address and a password; the refusal does not tell which of the two is wrong. The session begins
 * only if the password still is the one that was compared: a reset ends every session, those that are about to begin too.
 * @throws Denial `credentials_invalid`, `rate_limited`.
 */
export async function signIn(
  db: Database,
  { email, password, ...session }: SignIn,
): Promise<{ readonly account: Account; readonly token: string }> {
  const { passwordHash, ...account } = await proven(db, email, password);
  return db.transaction(async (tx) => {
    const [same] = await tx
      .select({ id: accounts.id })
      .from(accounts)
      .where(and(eq(accounts.id, account.id), eq(accounts.passwordHash, passwordHash)))
      .for('share');
    if (same === undefined) throw new Denial('credentials_invalid');
    return { account, token: await startSession(tx, account.id, session) };
  });
}

/**
 * The account, with the hash as it is in the database now: one that was made with less than is asked for today is made
 * anew, now that the password is at hand.
 */
async function proven(db: Executor, email: string, password: string): Promise<Proven> {
  const found = await verified(db, eq(accounts.email, email), password);
  if (!isOutdated(found.passwordHash)) return found;
  const passwordHash = await hashPassword(password);
  const renewed = await db
    .update(accounts)
    .set({ passwordHash })
    .where(and(eq(accounts.id, found.id), eq(accounts.passwordHash, found.passwordHash)))
    .returning({ id: accounts.id });
  return renewed.length === 0 ? found : { ...found, passwordHash };
}

type Proven = Account & { readonly passwordHash: string };

/** @throws Denial `credentials_invalid`, `rate_limited`. */
async function verified(db: Executor, which: SQL, password: string): Promise<Proven> {
  let found: (Account & { passwordHash: string }) | undefined;
  const right = await verifyPassword(async () => {
    [found] = await db
      .select({ ...ACCOUNT_COLUMNS, passwordHash: accounts.passwordHash })
      .from(accounts)
      .where(which);
    return found?.passwordHash ?? null;
  }, password);
  if (found === undefined || !right) throw new Denial('credentials_invalid');
  return found;
}

export interface PasswordChange {
  readonly accountId: string;
  /** The one that goes on; all other sessions of the account end. */
  readonly sessionId: string;
  readonly current: string;
  readonly next: string;
}

/** Changes a password. @throws Denial `credentials_invalid` for the current one, `rate_limited`. */
export async function changePassword(db: Executor, change: PasswordChange): Promise<void> {
  const { accountId, sessionId } = change;
  const { passwordHash } = await verified(db, eq(accounts.id, accountId), change.current);
  const next = await hashPassword(change.next);
  await db.transaction(async (tx) => {
    const changed = await tx
      .update(accounts)
      .set({ passwordHash: next })
      // It may have been changed in the meantime, by whoever is kept out with it.
      .where(and(eq(accounts.id, accountId), eq(accounts.passwordHash, passwordHash)))
      .returning({ id: accounts.id });
    if (changed.length === 0) throw new Denial('credentials_invalid');
    await endSessions(tx, accountId, sessionId);
    await tx.delete(passwordResets).where(eq(passwordResets.accountId, accountId));
  });
}

/**
 * Makes a token (256 bits) with which the password of this address can be replaced once; `null` when no account has
 * the address. The database keeps its hash.
 */
export async function startPasswordReset(db: Executor, email: string, now: Date): Promise<string | null> {
  const account = await findAccountByEmail(db, email);
  if (account === null) return null;
  const token = randomBytes(32).toString('base64url');
  await db.insert(passwordResets).values({
    tokenHash: sha256(token),
    accountId: account.id,
    createdAt: now,
    expiresAt: new Date(now.getTime() + RESET_SECONDS * 1000),
  });
  return token;
}

/**
 * Replaces a password by a token that was mailed: once, within its time. All sessions of the account end, and every
 * other token of it.
 * @throws Denial `not_found` for a token that is not known, or no longer; `rate_limited`.
 */
export async function resetPassword(db: Database, token: string, next: string, now: Date): Promise<Account> {
  const unknown = new Denial('not_found', { detail: 'the link was used, or is too old' });
  if (!RESET_TOKEN.test(token)) throw unknown;
  const alive = and(eq(passwordResets.tokenHash, sha256(token)), gt(passwordResets.expiresAt, now));
  // Hashes are dear: only who holds a token gets one.
  const [held] = await db.select({ accountId: passwordResets.accountId }).from(passwordResets).where(alive);
  if (held === undefined) throw unknown;
  const passwordHash = await hashPassword(next);
  return db.transaction(async (tx) => {
    const [used] = await tx
      .delete(passwordResets)
      .where(alive)
      .returning({ accountId: passwordResets.accountId });
    if (used === undefined) throw unknown;
    const { accountId } = used;
    const [account] = await tx
      .update(accounts)
      .set({ passwordHash })
      .where(eq(accounts.id, accountId))
      .returning(ACCOUNT_COLUMNS);
    if (account === undefined) throw unknown;
    await endSessions(tx, accountId);
    await tx.delete(passwordResets).where(eq(passwordResets.accountId, accountId));
    return account;
  });
}

/** Removes the tokens that have expired. */
export async function prunePasswordResets(db: Executor, now: Date): Promise<void> {
  await db.delete(passwordResets).where(lt(passwordResets.expiresAt, now));
}
