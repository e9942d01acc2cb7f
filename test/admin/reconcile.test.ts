import { sql } from 'drizzle-orm';
import { beforeAll, expect, it } from 'vitest';
import { CHECKS, reconcile } from '../../admin/ledger/reconcile.ts';
import { createCustomer, describeDatabase, orderOffer, type World } from '../support/databases.ts';
import { createTestDesk } from '../support/order-desk.ts';
import { createSale } from '../support/sales.ts';
import { createViewing } from '../support/viewings.ts';

/** What goes wrong, how it is put right again, and what is found meanwhile. */
const FAULTS: readonly [check: string, wrong: string, right: string][] = [
  [
    'balances',
    `update ledger_accounts set balance_minor = balance_minor + 1 where kind = 'customer_balance'`,
    `update ledger_accounts set balance_minor = balance_minor - 1 where kind = 'customer_balance'`,
  ],
  [
    'holds',
    `update payments set state = 'released' where state = 'authorized'`,
    `update payments set state = 'authorized' where state = 'released'`,
  ],
  [
    'orders',
    `update orders set captured_minor = captured_minor - 1 where state = 'captured'`,
    `update orders set captured_minor = captured_minor + 1 where state = 'captured'`,
  ],
  [
    'payments',
    `update payments set captured_minor = captured_minor - 1 where state = 'captured'`,
    `update payments set captured_minor = captured_minor + 1 where state = 'captured'`,
  ],
  [
    'undelivered',
    `update orders set delivered_at = null, terms = terms || '{"charging": "metered"}' where state = 'captured'`,
    `update orders set delivered_at = now(), terms = terms || '{"charging": "prepaid"}' where state = 'captured'`,
  ],
  [
    'uncharged',
    `update orders set state = 'cancelled' where state = 'captured'`,
    `update orders set state = 'captured' where state = 'cancelled'`,
  ],
  [
    'sessions',
    `update media_sessions set media_ms = media_ms - 1`,
    `update media_sessions set media_ms = media_ms + 1`,
  ],
  [
    'tickets',
    `update tickets set bytes_used = bytes_used + 1 where media_ms_used > 0`,
    `update tickets set bytes_used = bytes_used - 1 where media_ms_used > 0`,
  ],
  ['usage', `update usage_periods set bytes = bytes + 1`, `update usage_periods set bytes = bytes - 1`],
];

describeDatabase('pglite', (world: () => World) => {
  beforeAll(async () => {
    const [customer, offer] = [await createCustomer(world(), 1000), await createSale(world())];
    const watched = await orderOffer(world(), offer.id, customer.id);
    const viewing = createViewing(world(), watched);
    await viewing.begin();
    await viewing.use({ seconds: 5 });
    const desk = createTestDesk(world());
    desk.advance(60_000);
    await desk.settle([watched.order.id]);
    // One that goes on holding its price.
    await orderOffer(world(), offer.id, customer.id);
  });

  const broken = async () => [...new Set((await reconcile(world().db)).map(({ check }) => check))];

  it('finds nothing where there is nothing', async () => {
    expect(await broken()).toEqual([]);
  });

  it.each(FAULTS)(
    'finds that %s are wrong, and nothing when they are right again',
    async (check, wrong, right) => {
      await world().db.execute(sql.raw(wrong));
      expect(await broken()).toContain(check);
      await world().db.execute(sql.raw(right));
      expect(await broken()).toEqual([]);
    },
  );

  it('has a fault for each check, but for the one that the database itself prevents', () => {
    const tried = FAULTS.map(([check]) => check);
    expect([...tried, 'zero-sum'].sort()).toEqual(CHECKS.map(({ name }) => name).sort());
  });
});
