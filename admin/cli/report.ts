/** `usher report usage`: what was watched and what it has earned, on the terminal or for other programs. */
import { parseArgs } from 'node:util';
import type { Money } from '../ledger/money.ts';
import type { UsageRow } from '../usage/report.ts';
import { UsageError, type CommandTable } from './command.ts';

const OPTIONS = {
  by: { type: 'string', default: 'title' },
  from: { type: 'string' },
  until: { type: 'string' },
  'time-zone': { type: 'string' },
  title: { type: 'string' },
  account: { type: 'string' },
  server: { type: 'string' },
  csv: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

function parse(args: readonly string[]) {
  try {
    const { values } = parseArgs({ args: [...args], options: OPTIONS });
    if (values.from === undefined || values.until === undefined)
      throw new TypeError('--from and --until are needed');
    if (values.csv && values.json) throw new TypeError('either --csv or --json');
    return { ...values, from: values.from, until: values.until };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : 'wrong arguments');
  }
}

const amount = ({ amountMinor, currency }: Money): string => `${String(amountMinor)} ${currency} (minor)`;

/** Columns as wide as what is in them; the first to the left, numbers to the right. */
function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    console.log(cells.join('  ').trimEnd());
  }
}

function cellsOf(row: UsageRow): string[] {
  return [
    row.label ?? row.key ?? '-',
    (row.mediaMs / 1000).toFixed(1),
    String(row.bytes),
    String(row.sessions),
    row.revenue.map(amount).join(', ') || '-',
  ];
}

async function usage(args: readonly string[]): Promise<void> {
  const { by, csv, json, ...options } = parse(args);
  const [{ withDatabase }, { parseUsageQuery }, { usageCsv, usageRows }, { Denial }] = await Promise.all([
    import('./database.ts'),
    import('../usage/query.ts'),
    import('../usage/csv.ts'),
    import('../../plugin/errors.ts'),
  ]);
  const given = {
    groupBy: by,
    from: options.from,
    until: options.until,
    timeZone: options['time-zone'],
    titleId: options.title,
    accountId: options.account,
    serverId: options.server,
  };
  const read = () => {
    try {
      return parseUsageQuery(
        Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
      );
    } catch (error) {
      throw error instanceof Denial ? new UsageError(error.detail) : error;
    }
  };
  const request = read();
  await withDatabase(async (_config, db) => {
    if (csv) {
      for await (const text of usageCsv(db, request)) process.stdout.write(text);
      return;
    }
    const shown: UsageRow[] = [];
    for await (const rows of usageRows(db, request)) {
      if (json) for (const { id: _, ...row } of rows) console.log(JSON.stringify(row));
      else shown.push(...rows);
    }
    if (json) return;
    // People look for what was watched most.
    if (by !== 'day') shown.sort((a, b) => b.mediaMs - a.mediaMs);
    printTable([[by, 'seconds', 'bytes', 'sessions', 'revenue'], ...shown.map(cellsOf)]);
  });
}

export const REPORT_COMMANDS: CommandTable = {
  'report usage': {
    usage:
      '--from DAY --until DAY [--by total|title|account|day|server] [--time-zone ZONE] [--title ID] [--account ID] [--server ID] [--csv|--json]',
    summary: 'what was watched and what it has earned',
    details:
      'DAY is a day of the time zone (UTC without one) or a moment (2026-03-01T12:15:00Z); that of --until is the first ' +
      'that is no longer meant. With --json, one row a line. With the embedded database, stop the order server first.',
    run: usage,
  },
};
