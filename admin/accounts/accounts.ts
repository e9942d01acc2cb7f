import { eq } from 'drizzle-orm';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import type { Executor } from '../db/connect.ts';
import { accounts } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { lineSchema } from '../text.ts';
import { hashPassword, verifyPassword } from './passwords.ts';

export type Role = 'viewer' | 'staff';

export interface Account {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly role: Role;
  readonly createdAt: Date;
}

export const emailSchema = z
  .string()
  .trim()
  .max(254)
  .transform((text) => text.toLowerCase())
  .pipe(z.email());

/** NIST SP 800-63B: length counts, composition rules do not. */
export const passwordSchema = z.string().min(10).max(200);

export const signUpSchema = z.strictObject({
  email: emailSchema,
  password: passwordSchema,
  name: lineSchema(1, 100),
});
export type SignUp = z.infer<typeof signUpSchema>;

// The password hash is not among them: only `authenticate` reads it.
const COLUMNS = {
  id: accounts.id,
  email: accounts.email,
  name: accounts.name,
  role: accounts.role,
  createdAt: accounts.createdAt,
};

/** @throws Denial `conflict` when the address has an account; `rate_limited`. */
export async function createAccount(db: Executor, input: SignUp, role: Role, now: Date): Promise<Account> {
  const passwordHash = await hashPassword(input.password);
  const [created] = await db
    .insert(accounts)
    .values({ id: newId(), email: input.email, name: input.name, role, passwordHash, createdAt: now })
    .onConflictDoNothing({ target: accounts.email })
    .returning(COLUMNS);
  if (created === undefined) throw new Denial('conflict', { detail: 'email' });
  return created;
}

/**
 * The account of an email address and a password; the refusal does not tell which of the two is wrong.
 * @throws Denial `credentials_invalid`, `rate_limited`.
 */
export async function authenticate(db: Executor, email: string, password: string): Promise<Account> {
  let found: (Account & { passwordHash: string }) | undefined;
  const right = await verifyPassword(async () => {
    [found] = await db
      .select({ ...COLUMNS, passwordHash: accounts.passwordHash })
      .from(accounts)
      .where(eq(accounts.email, email));
    return found?.passwordHash ?? null;
  }, password);
  if (found === undefined || !right) {
    throw new Denial('credentials_invalid');
  }
  const { passwordHash: _, ...account } = found;
  return account;
}

export async function findAccount(db: Executor, id: string): Promise<Account | null> {
  const [found] = await db.select(COLUMNS).from(accounts).where(eq(accounts.id, id));
  return found ?? null;
}

export async function findAccountByEmail(db: Executor, email: string): Promise<Account | null> {
  const [found] = await db.select(COLUMNS).from(accounts).where(eq(accounts.email, email));
  return found ?? null;
}
