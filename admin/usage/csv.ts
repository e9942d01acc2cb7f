/** A usage report as CSV (RFC 4180), page by page. */
import { stringify } from 'csv-stringify/sync';
import { eq } from 'drizzle-orm';
import type { Executor } from '../db/connect.ts';
import { ledgerAccounts } from '../db/schema.ts';
import { listUsageReport, type UsageRequest, type UsageRow } from './report.ts';

const ROWS_AT_ONCE = 1000;

/** Text that a spreadsheet would take for a formula is quoted for it by an apostrophe. */
const toCsv = (rows: readonly (readonly (string | number)[])[]): string =>
  stringify(
    rows.map((row) => [...row]),
    { escape_formulas: true, record_delimiter: '\r\n' },
  );

/**
 * Every row of a report, however many, by their keys: what goes on being watched changes its place among the most
 * watched, and would be left out, or come twice. One page is held at a time.
 */
export async function* usageRows(
  db: Executor,
  request: UsageRequest,
  rowsAtOnce = ROWS_AT_ONCE,
): AsyncGenerator<UsageRow[]> {
  let after: string | undefined;
  do {
    const page = { limit: rowsAtOnce, inverted: false, ...(after === undefined ? {} : { after }) };
    const rows: UsageRow[] = await listUsageReport(db, request, page, 'key');
    yield rows;
    after = rows.length < rowsAtOnce ? undefined : rows.at(-1)?.id;
  } while (after !== undefined);
}

/** The report as CSV: a line of names, then a line per row; money in minor units, a column per currency. */
export async function* usageCsv(db: Executor, request: UsageRequest): AsyncGenerator<string> {
  const found = await db
    .selectDistinct({ currency: ledgerAccounts.currency })
    .from(ledgerAccounts)
    .where(eq(ledgerAccounts.kind, 'revenue'));
  const currencies = found.map(({ currency }) => currency).sort();
  const names = ['name', 'seconds', 'bytes', 'sessions'];
  yield toCsv([[request.groupBy, ...names, ...currencies.map((currency) => `revenue_minor_${currency}`)]]);
  for await (const rows of usageRows(db, request)) {
    if (rows.length === 0) continue;
    yield toCsv(
      rows.map((row) => [
        row.key ?? '',
        row.label ?? '',
        row.mediaMs / 1000,
        row.bytes,
        row.sessions,
        ...currencies.map(
          (currency) => row.revenue.find((amount) => amount.currency === currency)?.amountMinor ?? 0,
        ),
      ]),
    );
  }
}
