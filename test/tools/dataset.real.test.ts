import { drizzle } from 'drizzle-orm/postgres-js';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrateDatabase } from '../../admin/db/migrate.ts';
import * as schema from '../../admin/db/schema.ts';
import { listUsageReport } from '../../admin/usage/report.ts';
import { DATASET_START, fillDataset, RECEIPTS_PER_ORDER, sizesOf } from '../../tools/dataset/fill.ts';
import { listQueries, tablesScannedWhole } from '../../tools/dataset/lists.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

// What the first id holds is not needed: both are there by number.
const NAMES = listQueries({ accountId: '', titleId: '' }).map(({ name }) => name);
/** What grows with business. The planner rightly reads the others whole while they are a page or two. */
const LARGE = [
  'orders',
  'tickets',
  'media_sessions',
  'receipts',
  'usage_periods',
  'ledger_transactions',
  'ledger_entries',
];

let cluster: TestPostgres;
let sql: postgres.Sql;
let ids: { accountId: string; titleId: string };
const sizes = sizesOf(0.1);
beforeAll(async () => {
  cluster = await startPostgres();
  sql = postgres(cluster.url, { max: 1, onnotice: () => undefined });
  await migrateDatabase(sql);
  // Interrupted once, and gone on.
  await fillDataset(sql, { ...sizes, orders: 7300 }, () => undefined);
  await fillDataset(sql, sizes, () => undefined);
  const [row] = await sql<{ accountId: string; titleId: string }[]>`
    select account_id as "accountId", title_id as "titleId" from orders limit 1`;
  ids = row!;
});
afterAll(async () => {
  await sql.end();
  await cluster.stop();
});

it('has as many rows as it says, after an interruption too', async () => {
  const [counts] = await sql`
    select (select count(*)::int from accounts) as accounts, (select count(*)::int from titles) as titles,
      (select count(*)::int from orders) as orders, (select count(*)::int from receipts) as receipts,
      (select sum(amount_minor)::int from ledger_entries) as ledger`;
  expect(counts).toEqual({ ...sizes, receipts: sizes.orders * RECEIPTS_PER_ORDER, ledger: 0 });
});

it('usage and revenue are the sums of its receipts and its ledger, in all and by day', async () => {
  const db = drizzle(sql, { schema });
  const request = {
    from: DATASET_START,
    until: new Date(DATASET_START.getTime() + 20 * 86_400_000),
    timeZone: 'America/New_York',
  };
  const page = { limit: 100, inverted: false };
  const [total] = await listUsageReport(db, { groupBy: 'total', ...request }, page);
  expect(total).toMatchObject({
    mediaMs: sizes.orders * RECEIPTS_PER_ORDER * 5000,
    bytes: sizes.orders * RECEIPTS_PER_ORDER * 1_000_000,
    sessions: sizes.orders,
    revenue: [{ amountMinor: 300 * sizes.orders, currency: 'EUR' }],
  });
  const days = await listUsageReport(db, { groupBy: 'day', ...request }, page);
  expect(days.map(({ key }) => key)).toEqual(days.map(({ key }) => key).toSorted());
  expect(days.length).toBeGreaterThan(9);
  const earned = days.reduce((sum, { revenue }) => sum + (revenue[0]?.amountMinor ?? 0), 0);
  expect(earned).toBe(300 * sizes.orders);
});

describe('no list reads a large table from end to end:', () => {
  it.each(NAMES)('%s', async (name) => {
    const query = listQueries(ids).find((candidate) => candidate.name === name)!;
    const whole = await tablesScannedWhole(sql, query);
    expect(whole.filter((table) => LARGE.includes(table))).toEqual([]);
  });
});
