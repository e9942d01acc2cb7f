/** Who has watched how much of what, and what it has earned: sums of what receipts have stated and of the ledger. */
import { inArray, sql, type SQL } from 'drizzle-orm';
import { z } from 'zod';
import { serverIdSchema } from '../../plugin/ticket/index.ts';
import type { Page } from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { accounts, titles } from '../db/schema.ts';
import { money, type Money } from '../ledger/money.ts';
import { PERIOD_MS } from './periods.ts';

export const USAGE_GROUPS = ['total', 'title', 'account', 'day', 'server'] as const;
export type UsageGroup = (typeof USAGE_GROUPS)[number];

const MAX_DAYS = 400;

/** The names of the IANA database, and no offsets: PostgreSQL reads their signs the other way round. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z][A-Za-z_]*(?:\/[A-Za-z0-9_+-]+){0,2}$/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

const edge = z.date().refine((date) => date.getTime() % PERIOD_MS === 0, 'not at a quarter of an hour');

export const usageRequestSchema = z
  .strictObject({
    groupBy: z.enum(USAGE_GROUPS),
    /** The first moment, and the first that is no longer meant; both at quarters of an hour. */
    from: edge,
    until: edge,
    /** Where days begin; an IANA name. */
    timeZone: z.string().max(64).refine(isTimeZone, 'not an IANA time zone').default('UTC'),
    titleId: z.uuid().optional(),
    accountId: z.uuid().optional(),
    serverId: serverIdSchema.optional(),
  })
  .refine(({ from, until }) => from < until, { path: ['until'], message: 'not after from' })
  .refine(({ from, until }) => until.getTime() - from.getTime() <= MAX_DAYS * 86_400_000, {
    path: ['until'],
    message: `more than ${String(MAX_DAYS)} days after from`,
  });
export type UsageRequest = z.infer<typeof usageRequestSchema>;

export interface UsageRow {
  /** Cursor of the row. */
  readonly id: string;
  /** Id of the title, account or server, or the day (2026-03-29); null for the total, and for no title or account. */
  readonly key: string | null;
  /** Name of the title, address of the account; null where the key says it all. */
  readonly label: string | null;
  readonly mediaMs: number;
  readonly bytes: number;
  readonly sessions: number;
  /** What was captured less what was refunded, by currency; nothing by server: an order is not of a server. */
  readonly revenue: readonly Money[];
}

const moment = (date: Date): SQL => sql`${date.toISOString()}::timestamptz`;
const both = (conditions: readonly (SQL | undefined)[]): SQL =>
  sql.join(
    conditions.filter((condition) => condition !== undefined),
    sql` and `,
  );

/** The text that a row is grouped by; '' stands for nobody and nothing. */
function keyOf({ groupBy, timeZone }: UsageRequest, table: 'u' | 't', time: SQL): SQL {
  const column = (name: string) => sql.raw(`${table}.${name}`);
  switch (groupBy) {
    case 'total':
      return sql`''::text`;
    case 'title':
      return sql`coalesce(${column('title_id')}::text, '')`;
    case 'account':
      return sql`coalesce(${column('account_id')}::text, '')`;
    case 'day':
      return sql`(${time} at time zone ${timeZone})::date::text`;
    case 'server':
      return column('server_id');
  }
}

function usedSql(request: UsageRequest): SQL {
  const { from, until, titleId, accountId, serverId } = request;
  return sql`
    select ${keyOf(request, 'u', sql`u.starts_at`)} as key, sum(u.media_ms)::bigint as media_ms,
      sum(u.bytes)::bigint as bytes, count(distinct u.session_id)::bigint as sessions
    from usage_periods u
    where ${both([
      sql`u.starts_at >= ${moment(from)} and u.starts_at < ${moment(until)}`,
      titleId === undefined ? undefined : sql`u.title_id = ${titleId}::uuid`,
      accountId === undefined ? undefined : sql`u.account_id = ${accountId}::uuid`,
      serverId === undefined ? undefined : sql`u.server_id = ${serverId}`,
    ])}
    group by 1`;
}

function earnedSql(request: UsageRequest): SQL {
  const { groupBy, from, until, titleId, accountId, serverId } = request;
  if (groupBy === 'server' || serverId !== undefined) {
    return sql`select null::text as key, null::jsonb as revenue where false`;
  }
  return sql`
    select key, jsonb_object_agg(currency, amount) as revenue from (
      select ${keyOf(request, 't', sql`t.created_at`)} as key, e.currency, sum(e.amount_minor)::bigint as amount
      from ledger_transactions t
      -- For each transaction by itself (that is what the offset does): the cost follows the time that is asked for, and
      -- not the age of the ledger.
      cross join lateral (
        select e.currency, e.amount_minor from ledger_entries e
        join ledger_accounts a on a.id = e.ledger_account_id
        where e.transaction_id = t.id and a.kind = 'revenue' offset 0
      ) e
      where ${both([
        sql`t.created_at >= ${moment(from)} and t.created_at < ${moment(until)}`,
        titleId === undefined ? undefined : sql`t.title_id = ${titleId}::uuid`,
        accountId === undefined ? undefined : sql`t.account_id = ${accountId}::uuid`,
      ])}
      group by 1, 2
    ) by_currency group by key`;
}

interface Cursor {
  readonly rank: string;
  readonly key: string;
}

function cursorOf(text: string | undefined): Cursor | undefined {
  if (text === undefined) return undefined;
  const [, rank, key] = /^(-?\d{1,18}):(.*)$/s.exec(Buffer.from(text, 'base64url').toString()) ?? [];
  if (rank === undefined || key === undefined) throw new TypeError('not a cursor of a usage report');
  return { rank, key };
}

/** True if `text` was a row's `id`. */
export function isUsageCursor(text: string): boolean {
  try {
    return /^[A-Za-z0-9_-]{1,300}$/.test(text) && !cursorOf(text)?.key.includes('\0');
  } catch {
    return false;
  }
}

interface Row extends Record<string, unknown> {
  readonly key: string;
  readonly rank: string;
  readonly media_ms: string;
  readonly bytes: string;
  readonly sessions: string;
  readonly revenue: Readonly<Record<string, number>>;
}

/** The names of a page's keys. */
async function labelsOf(
  db: Executor,
  groupBy: UsageGroup,
  keys: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const ids = keys.filter((key) => key !== '');
  if (ids.length === 0 || (groupBy !== 'title' && groupBy !== 'account')) return new Map();
  const rows =
    groupBy === 'title'
      ? await db.select({ id: titles.id, label: titles.name }).from(titles).where(inArray(titles.id, ids))
      : await db
          .select({ id: accounts.id, label: accounts.email })
          .from(accounts)
          .where(inArray(accounts.id, ids));
  return new Map(rows.map(({ id, label }) => [id, label]));
}

/**
 * One page of a report: days in their order, everything else by what was watched most. Usage counts where it was
 * consumed, to a quarter of an hour, whenever its session began; money counts when it was booked.
 * @param request as `usageRequestSchema` has made it
 * @param page with cursors that `isUsageCursor` has seen, of the same order
 * @param order `key`: what is not by days comes by its key, which does not change from page to page
 */
export async function listUsageReport(
  db: Executor,
  request: UsageRequest,
  page: Page,
  order: 'most watched' | 'key' = 'most watched',
): Promise<UsageRow[]> {
  const after = cursorOf(page.after);
  const before = cursorOf(page.before);
  const rank =
    request.groupBy === 'day'
      ? sql`(date '2000-01-01' - key::date)::bigint`
      : order === 'key'
        ? sql`0::bigint`
        : sql`coalesce(media_ms, 0)`;
  const rows = await db.execute<Row>(sql`
    with used as (${usedSql(request)}), earned as (${earnedSql(request)}),
    report as (
      select key, ${rank} as rank, coalesce(media_ms, 0) as media_ms, coalesce(bytes, 0) as bytes,
        coalesce(sessions, 0) as sessions, coalesce(revenue, '{}') as revenue
      from used full join earned using (key)
    )
    select * from report
    where ${both([
      sql`true`,
      after === undefined ? undefined : sql`(rank, key) < (${after.rank}::bigint, ${after.key})`,
      before === undefined ? undefined : sql`(rank, key) > (${before.rank}::bigint, ${before.key})`,
    ])}
    order by ${page.inverted ? sql`rank asc, key asc` : sql`rank desc, key desc`}
    limit ${page.limit}`);
  const labels = await labelsOf(
    db,
    request.groupBy,
    rows.map(({ key }) => key),
  );
  return rows.map((row) => ({
    id: Buffer.from(`${row.rank}:${row.key}`).toString('base64url'),
    key: row.key === '' ? null : row.key,
    label: labels.get(row.key) ?? null,
    mediaMs: Number(row.media_ms),
    bytes: Number(row.bytes),
    sessions: Number(row.sessions),
    revenue: Object.entries(row.revenue)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([currency, amountMinor]) => money(amountMinor, currency)),
  }));
}
