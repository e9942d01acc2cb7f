import { PGlite } from '@electric-sql/pglite';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';

const journalSchema = z.object({ entries: z.array(z.object({ tag: z.string() })) });
const MIGRATIONS = new URL('../../migrations/', import.meta.url);
/** The migration that gave orders their states. */
const ORDERS = '0011_orders';

const id = (nth: number) => `01900000-0000-7000-8000-${String(nth).padStart(12, '0')}`;
const [ACCOUNT, TITLE, PAID, FREE, BALANCE, REVENUE, CHARGE] = [1, 2, 3, 4, 5, 6, 7].map(id);

/** An account, a paid and a free offer, an order of each, and the paid one's booking. */
const BEFORE = `
insert into accounts (id, email, name, role, password_hash, created_at)
  values ('${ACCOUNT}', 'a@example.com', 'A', 'viewer', 'x', now());
insert into titles (id, path, name, description, published, created_at)
  values ('${TITLE}', '/live/a', 'A', '', true, now());
insert into offers (id, title_id, name, price_minor, currency, rights, valid_seconds, charging, active, created_at, time_option)
  values ('${PAID}', '${TITLE}', 'Paid', 299, 'EUR', '{"accesses": 1}', 3600, 'prepaid', true, now(), '{}'),
    ('${FREE}', '${TITLE}', 'Free', 0, 'EUR', '{"accesses": 1}', 3600, 'free', true, now(), '{}');
insert into orders (id, account_id, offer_id, price_minor, currency, state, buyer, idempotency_key, request_hash, created_at)
  values ('${PAID}', '${ACCOUNT}', '${PAID}', 299, 'EUR', 'completed', 'account:a', 'key-1', 'x', now()),
    ('${FREE}', null, '${FREE}', 0, 'EUR', 'completed', 'key:a', 'key-2', 'x', now());
insert into tickets (jti, order_id, subject, uri, jkt, audience, endpoints, rights, ticket, issued_at, expires_at, media_ms_used, bytes_used)
  values ('${PAID}', '${PAID}', 's', '/live/a', 'j', '{}', '{}', '{}', 't', now(), '2026-01-01T00:00:00Z', 0, 0);
insert into ledger_accounts (id, kind, owner_id, currency, balance_minor, created_at)
  values ('${BALANCE}', 'customer_balance', '${ACCOUNT}', 'EUR', 1000, now()),
    ('${REVENUE}', 'revenue', null, 'EUR', null, now());
begin;
insert into ledger_transactions (id, kind, order_id, created_at) values ('${CHARGE}', 'order', '${PAID}', now());
insert into ledger_entries (id, transaction_id, ledger_account_id, amount_minor, currency)
  values ('${id(8)}', '${CHARGE}', '${BALANCE}', -299, 'EUR'), ('${id(9)}', '${CHARGE}', '${REVENUE}', 299, 'EUR');
commit;`;

let db: PGlite;

beforeAll(async () => {
  db = await PGlite.create();
  const journal: unknown = JSON.parse(await readFile(new URL('meta/_journal.json', MIGRATIONS), 'utf8'));
  const tags = journalSchema.parse(journal).entries.map(({ tag }) => tag);
  const run = async (list: readonly string[]) => {
    const files = await Promise.all(list.map((tag) => readFile(new URL(`${tag}.sql`, MIGRATIONS), 'utf8')));
    // All that are missing in one transaction, as the migrator does.
    await db.transaction(async (tx) => {
      for (const file of files) await tx.exec(file);
    });
  };
  const at = tags.indexOf(ORDERS);
  await run(tags.slice(0, at));
  await db.exec(BEFORE);
  await run(tags.slice(at));
}, 60_000);

afterAll(async () => {
  await db.close();
});

it('orders that were charged when they were placed are captured', async () => {
  const { rows } = await db.query(
    `select title_id, list_price_minor::int as list, captured_minor::int as captured, refunded_minor::int as refunded,
      state, terms->>'charging' as charging, due_at, expires_at from orders order by id`,
  );
  const common = { title_id: TITLE, refunded: 0, state: 'captured', due_at: null };
  expect(rows).toEqual([
    {
      ...common,
      list: 299,
      captured: 299,
      charging: 'prepaid',
      expires_at: new Date('2026-01-01T00:00:00Z'),
    },
    { ...common, list: 0, captured: 0, charging: 'free', expires_at: null },
  ]);
});

it('their payments can be refunded, and their history begins', async () => {
  const { rows: paid } = await db.query(
    'select order_id, provider, state, captured_minor::int as captured from payments',
  );
  expect(paid).toEqual([{ order_id: PAID, provider: 'balance', state: 'captured', captured: 299 }]);
  const { rows: events } = await db.query(
    'select order_id, from_state, to_state from order_events order by order_id',
  );
  expect(events).toEqual(
    [PAID, FREE].map((order) => ({ order_id: order, from_state: null, to_state: 'captured' })),
  );
});

it('the ledger is on the statements, and as closed as before', async () => {
  const { rows } = await db.query('select account_id, title_id from ledger_transactions');
  expect(rows).toEqual([{ account_id: ACCOUNT, title_id: TITLE }]);
  await expect(db.query("update ledger_transactions set kind = 'credit'")).rejects.toThrow('append-only');
});
