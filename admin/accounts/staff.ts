/** What staff see of accounts, and who of them may what. */
import { and, asc, desc, eq, sql, type SQL } from 'drizzle-orm';
import { Denial } from '../../plugin/errors.ts';
import type { Page } from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { accounts } from '../db/schema.ts';
import { lineSchema } from '../text.ts';
import { ACCOUNT_COLUMNS, type Account } from './accounts.ts';
import { covers, permissionsOf, type Permission, type Role } from './permissions.ts';
import { endSessions } from './sessions.ts';

/** An account, as staff see it. */
export interface AccountRecord extends Account {
  /** Since then it may not order; `null` while it may. */
  readonly revokedAt: Date | null;
}

export interface AccountFilter {
  /** Beginning of the address, lower case. */
  readonly emailPrefix?: string;
  readonly role?: Role;
}

/** The beginning of an address. */
export const emailPrefixSchema = lineSchema(1, 254).transform((text) => text.toLowerCase());

const COLUMNS = { ...ACCOUNT_COLUMNS, revokedAt: accounts.revokedAt };

/** Addresses are compared byte by byte, as their index has them. */
const BY_EMAIL = sql`(${accounts.email} collate "C")`;

function emailOf(id: string): SQL {
  return sql`(select (c.email collate "C") from accounts c where c.id = ${id})`;
}

/** Accounts by their address. */
export function listAccounts(db: Executor, page: Page, filter: AccountFilter): Promise<AccountRecord[]> {
  const { emailPrefix, role } = filter;
  return db
    .select(COLUMNS)
    .from(accounts)
    .where(
      and(
        role === undefined ? undefined : eq(accounts.role, role),
        emailPrefix === undefined ? undefined : sql`${BY_EMAIL} >= ${emailPrefix}`,
        // Nothing in UTF-8 comes after its last character.
        emailPrefix === undefined ? undefined : sql`${BY_EMAIL} < ${`${emailPrefix}\u{10FFFF}`}`,
        page.after === undefined ? undefined : sql`${BY_EMAIL} > ${emailOf(page.after)}`,
        page.before === undefined ? undefined : sql`${BY_EMAIL} < ${emailOf(page.before)}`,
      ),
    )
    .orderBy(page.inverted ? desc(BY_EMAIL) : asc(BY_EMAIL))
    .limit(page.limit);
}

export interface RoleChange {
  readonly accountId: string;
  readonly role: Role;
  /** What whoever asks may do himself; no more than `actorId` may when it comes to it. */
  readonly held: readonly Permission[];
  /** The account that answers for it. */
  readonly actorId: string;
}

/**
 * Gives an account another role, and ends its sessions. Nobody gives or takes more than he has himself, and the last
 * admin stays.
 * @returns the account before
 * @throws Denial `not_found`, `forbidden`, `conflict` for the last admin
 */
export async function setRole(tx: Executor, change: RoleChange): Promise<AccountRecord> {
  const { accountId, role, actorId } = change;
  // One after the other: of two admins that take each other's role away, one stays.
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended('accounts.role', 0))`);
  // Whoever asks may have waited for his own role to be taken.
  const [actor] = await tx.select({ role: accounts.role }).from(accounts).where(eq(accounts.id, actorId));
  const allowed = actor === undefined ? [] : permissionsOf(actor.role);
  const held = change.held.filter((permission) => allowed.includes(permission));
  const [before] = await tx.select(COLUMNS).from(accounts).where(eq(accounts.id, accountId)).for('update');
  if (before === undefined) throw new Denial('not_found', { detail: 'account' });
  if (!covers(held, permissionsOf(before.role)) || !covers(held, permissionsOf(role))) {
    throw new Denial('forbidden', { detail: 'the role may more than you' });
  }
  if (before.role === role) return before;
  if (before.role === 'admin') {
    const admins = await tx
      .select({ id: accounts.id })
      .from(accounts)
      .where(eq(accounts.role, 'admin'))
      .limit(2);
    if (admins.length < 2) throw new Denial('conflict', { detail: 'the last admin' });
  }
  await tx.update(accounts).set({ role }).where(eq(accounts.id, accountId));
  await endSessions(tx, accountId);
  return before;
}
