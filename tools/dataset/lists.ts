/** The API's lists that grow with what is sold and watched, and what the database does for them. */
import { drizzle } from 'drizzle-orm/postgres-js';
import type { Sql } from 'postgres';
import { listAccounts } from '../../admin/accounts/staff.ts';
import { listAudit } from '../../admin/audit/queries.ts';
import { listTitles } from '../../admin/catalog/search.ts';
import type { Page } from '../../admin/catalog/titles.ts';
import type { Database } from '../../admin/db/connect.ts';
import * as schema from '../../admin/db/schema.ts';
import { accountStatement, titleStatement } from '../../admin/ledger/statements.ts';
import { listOrders } from '../../admin/orders/orders.ts';
import { listUsage } from '../../admin/receipts/queries.ts';
import { listRevocations, listRunningSessions } from '../../admin/revocations/queries.ts';
import { listFlags } from '../../admin/tickets/flags.ts';
import { listUsageReport } from '../../admin/usage/report.ts';
import { DATASET_START } from './fill.ts';

const PAGE: Page = { limit: 21, inverted: false };
const DAY_MS = 86_400_000;

export interface ListQuery {
  readonly name: string;
  run(db: Database): Promise<readonly unknown[]>;
}

/** @param ids of an account and a title that the dataset has */
export function listQueries(ids: { readonly accountId: string; readonly titleId: string }): ListQuery[] {
  const { accountId, titleId } = ids;
  const now = new Date(DATASET_START.getTime() + DAY_MS);
  const day = { from: DATASET_START, until: now, timeZone: 'Europe/Berlin' };
  return [
    { name: 'orders', run: (db) => listOrders(db, {}, PAGE) },
    { name: 'orders of an account', run: (db) => listOrders(db, { accountId }, PAGE) },
    { name: 'orders of a title', run: (db) => listOrders(db, { titleId }, PAGE) },
    { name: 'orders by state', run: (db) => listOrders(db, { state: 'captured' }, PAGE) },
    { name: 'accounts', run: (db) => listAccounts(db, PAGE, {}) },
    { name: 'accounts by address', run: (db) => listAccounts(db, PAGE, { emailPrefix: 'viewer1' }) },
    { name: 'catalog', run: (db) => listTitles(db, 'all', {}, 'OLDEST', PAGE, now.getTime()) },
    { name: 'receipts of an account', run: (db) => listUsage(db, accountId, PAGE) },
    { name: 'running sessions', run: (db) => listRunningSessions(db, PAGE, now) },
    { name: 'statement of an account', run: (db) => accountStatement(db, accountId, PAGE) },
    { name: 'statement of a title', run: (db) => titleStatement(db, titleId, PAGE) },
    { name: 'revocations', run: (db) => listRevocations(db, PAGE) },
    { name: 'flagged tickets', run: (db) => listFlags(db, PAGE) },
    { name: 'audit log', run: (db) => listAudit(db, PAGE, {}) },
    {
      name: 'usage of a day by title',
      run: (db) => listUsageReport(db, { groupBy: 'title', ...day }, PAGE),
    },
    {
      name: 'usage of a title by day',
      run: (db) => listUsageReport(db, { groupBy: 'day', ...day, titleId }, PAGE),
    },
  ];
}

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly Plans?: readonly PlanNode[];
}

function scannedWhole({ 'Node Type': type, 'Relation Name': table, Plans = [] }: PlanNode): string[] {
  const own = type === 'Seq Scan' && table !== undefined ? [table] : [];
  return [...own, ...Plans.flatMap(scannedWhole)];
}

/** The tables that a list's statements read from end to end, by the plans that the database makes for them. */
export async function tablesScannedWhole(sql: Sql, query: ListQuery): Promise<string[]> {
  const statements: { text: string; params: unknown[] }[] = [];
  const logged = drizzle(sql, {
    schema,
    logger: { logQuery: (text, params) => void statements.push({ text, params }) },
  });
  await query.run(logged);
  const tables = new Set<string>();
  for (const { text, params } of statements) {
    const [row] = await sql.unsafe<{ 'QUERY PLAN': { Plan: PlanNode }[] }[]>(
      `explain (format json) ${text}`,
      params as never[],
    );
    for (const { Plan } of row?.['QUERY PLAN'] ?? [])
      for (const table of scannedWhole(Plan)) tables.add(table);
  }
  return [...tables].sort();
}
