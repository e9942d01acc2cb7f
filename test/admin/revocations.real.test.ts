import { sql } from 'drizzle-orm';
import { expect, it } from 'vitest';
import { creditCustomer } from '../../admin/ledger/ledger.ts';
import { money } from '../../admin/ledger/money.ts';
import { revokeAccount } from '../../admin/revocations/revoke.ts';
import { createCustomer, describeDatabase, START_MS } from '../support/databases.ts';
import { revocationsSuite } from './suites/revocations.ts';

describeDatabase('postgres', (world) => {
  revocationsSuite(world);

  it('an account that is being revoked holds up nothing that is booked for it', async () => {
    const { db } = world();
    const [customer, staff] = [await createCustomer(world()), await createCustomer(world())];
    const now = new Date(START_MS);
    const credit = {
      kind: 'credit' as const,
      requestedBy: staff.id,
      accountId: customer.id,
      amount: money(5, 'EUR'),
      idempotencyKey: 'beside-a-revocation',
    };
    await db.transaction(async (tx) => {
      await revokeAccount(tx, customer.email, { accountId: staff.id, reason: 'test', now });
      const credited = db.transaction(async (other) => {
        await other.execute(sql`set local lock_timeout = '5s'`);
        return creditCustomer(other, credit, now);
      });
      await expect(credited).resolves.toBe(false);
    });
  });
});
