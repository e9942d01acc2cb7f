import { eq } from 'drizzle-orm';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import type { Executor } from '../db/connect.ts';
import { accounts } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { lineSchema } from '../text.ts';
import { hashPassword } from './passwords.ts';
import type { Role } from './permissions.ts';

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

/** What makes an `Account`. The password hash is not among them: only what checks a password reads it. */
export const ACCOUNT_COLUMNS = {
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
    .returning(ACCOUNT_COLUMNS);
  if (created === undefined) throw new Denial('conflict', { detail: 'email' });
  return created;
}

export async function findAccount(db: Executor, id: string): Promise<Account | null> {
  const [found] = await db.select(ACCOUNT_COLUMNS).from(accounts).where(eq(accounts.id, id));
  return found ?? null;
}

export async function findAccountByEmail(db: Executor, email: string): Promise<Account | null> {
  const [found] = await db.select(ACCOUNT_COLUMNS).from(accounts).where(eq(accounts.email, email));
  return found ?? null;
}
