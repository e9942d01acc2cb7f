/** Statements: what has moved, line by line, for a customer or a title. */
import { sql, type SQL } from 'drizzle-orm';
import type { Page } from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { inPage, newestFirst } from '../db/keyset.ts';
import { ledgerTransactions } from '../db/schema.ts';
import type { BookingKind } from './book.ts';
import { money, type Money } from './money.ts';

/** One transaction of the ledger, as one side sees it. Amounts are changes: what was added, or taken. */
export interface StatementLine {
  readonly id: string;
  readonly kind: BookingKind | 'order';
  readonly orderId: string | null;
  readonly at: Date;
  /** Of what the customer may spend; 0 where no customer is concerned. */
  readonly balance: Money;
  /** Of what is held for the customer's orders. */
  readonly held: Money;
  /** Of what was earned. */
  readonly revenue: Money;
}

interface Row extends Record<string, unknown> {
  readonly id: string;
  readonly kind: StatementLine['kind'];
  readonly order_id: string | null;
  readonly created_at: string;
  readonly currency: string;
  readonly balance: string;
  readonly held: string;
  readonly revenue: string;
}

async function listLines(db: Executor, where: SQL, page: Page): Promise<StatementLine[]> {
  const order = newestFirst(ledgerTransactions.id, page);
  const between = inPage(ledgerTransactions.id, page);
  const rows = await db.execute<Row>(sql`
    select p.id, p.kind, p.order_id, p.created_at::text as created_at, s.* from (
      select ${ledgerTransactions.id}, ${ledgerTransactions.kind}, ${ledgerTransactions.orderId},
        ${ledgerTransactions.createdAt}
      from ${ledgerTransactions} where ${where} and ${between ?? sql`true`} order by ${order} limit ${page.limit}
    ) p
    cross join lateral (
      select e.currency,
        coalesce(sum(e.amount_minor) filter (where a.kind = 'customer_balance'), 0)::text as balance,
        coalesce(sum(e.amount_minor) filter (where a.kind = 'customer_held'), 0)::text as held,
        coalesce(sum(e.amount_minor) filter (where a.kind = 'revenue'), 0)::text as revenue
      from ledger_entries e join ledger_accounts a on a.id = e.ledger_account_id
      where e.transaction_id = p.id group by e.currency
    ) s
    order by ${page.inverted ? sql`p.id asc` : sql`p.id desc`}`);
  return rows.map(({ id, kind, order_id, created_at, currency, ...sums }) => ({
    id,
    kind,
    orderId: order_id,
    at: new Date(created_at),
    balance: money(Number(sums.balance), currency),
    held: money(Number(sums.held), currency),
    revenue: money(Number(sums.revenue), currency),
  }));
}

/** What has moved for a customer, newest first. */
export function accountStatement(db: Executor, accountId: string, page: Page): Promise<StatementLine[]> {
  return listLines(db, sql`${ledgerTransactions.accountId} = ${accountId}::uuid`, page);
}

const CHARGES = sql`${ledgerTransactions.kind} in ('capture', 'refund')`;

/** What is looked for among charges and refunds. */
export interface ChargesFilter {
  /** The first moment that is meant. */
  readonly since: Date;
  readonly titleId?: string;
}

function isCharge({ since, titleId }: ChargesFilter): SQL {
  const ofTitle = titleId === undefined ? sql`` : sql` and ${ledgerTransactions.titleId} = ${titleId}::uuid`;
  return sql`${CHARGES} and ${ledgerTransactions.createdAt} >= ${since.toISOString()}::timestamptz${ofTitle}`;
}

/** What orders were charged, and what was given back, oldest first; at most `limit`. */
export function chargesOfOrders(
  db: Executor,
  orderIds: readonly string[],
  filter: ChargesFilter,
  limit: number,
): Promise<StatementLine[]> {
  const ids = sql.param(`{${orderIds.join(',')}}`);
  const where = sql`${ledgerTransactions.orderId} = any(${ids}::uuid[]) and ${isCharge(filter)}`;
  return listLines(db, where, { limit, inverted: true });
}

/** The latest charges and refunds, and their orders; at most `limit`. */
export async function latestCharges(
  db: Executor,
  filter: ChargesFilter,
  limit: number,
): Promise<{ id: string; orderId: string }[]> {
  const rows = await db.execute<{ id: string; order_id: string }>(sql`
    select ${ledgerTransactions.id}, ${ledgerTransactions.orderId} from ${ledgerTransactions}
    where ${isCharge(filter)} and ${ledgerTransactions.orderId} is not null
    order by ${ledgerTransactions.createdAt} desc limit ${limit}`);
  return rows.map(({ id, order_id }) => ({ id, orderId: order_id }));
}

/** What has moved for the orders of a title, newest first. */
export function titleStatement(db: Executor, titleId: string, page: Page): Promise<StatementLine[]> {
  return listLines(db, sql`${ledgerTransactions.titleId} = ${titleId}::uuid`, page);
}
