/** An admin from the command line: the first one, or one more when all others are locked out. */
import { randomBytes } from 'node:crypto';
import { auditAs, COMMAND_LINE } from '../audit/audit.ts';
import type { Database } from '../db/connect.ts';
import { newId } from '../ids.ts';
import { createAccount, type Account, type SignUp } from './accounts.ts';

/** A password for somebody who gives none: 144 random bits. */
export function generatePassword(): string {
  return randomBytes(18).toString('base64url');
}

/**
 * Opens an account with all permissions, and notes it in the audit log.
 * @throws Denial `conflict` when the address has an account
 */
export function createAdmin(db: Database, input: SignUp, now: Date): Promise<Account> {
  return db.transaction(async (tx) => {
    const account = await createAccount(tx, input, 'admin', now);
    await auditAs(
      tx,
      COMMAND_LINE,
      {
        action: 'account.create',
        object: { type: 'account', id: account.id },
        before: null,
        after: { email: account.email, role: account.role },
      },
      { requestId: newId(), nowMs: now.getTime() },
    );
    return account;
  });
}
