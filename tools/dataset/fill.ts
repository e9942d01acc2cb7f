/** Rows as years of business leave them, made inside the database: ids and times follow from the number of the row. */
import type { Sql } from 'postgres';

/** How many there are at scale 1. */
const FULL = { accounts: 20_000, titles: 1000, orders: 200_000 };
/** At any scale; each has an offer of its own. */
const CATEGORIES = 20;
/** Of each order's one session. */
export const RECEIPTS_PER_ORDER = 5;
/** Orders of one transaction: the unit in which it goes on after an interruption. */
const CHUNK = 5000;
/** Orders begin then, one every 38.88 s: 200,000 of them take 90 days. */
export const DATASET_START = new Date('2026-01-01T00:00:00Z');
const ORDER_EVERY_MS = 38_880;

export interface Sizes {
  readonly accounts: number;
  readonly titles: number;
  readonly orders: number;
}

export function sizesOf(scale: number): Sizes {
  const scaled = (count: number) => Math.max(1, Math.round(count * scale));
  return { accounts: scaled(FULL.accounts), titles: scaled(FULL.titles), orders: scaled(FULL.orders) };
}

/** `pg_temp.uid(kind, n)`: UUIDv7 by time; `pg_temp.moment(n)`: when order n was placed. */
async function createFunctions(sql: Sql): Promise<void> {
  await sql.unsafe(`
    create or replace function pg_temp.moment(n bigint) returns timestamptz immutable language sql as
      $$ select timestamptz '${DATASET_START.toISOString()}' + n * interval '${String(ORDER_EVERY_MS)} milliseconds' $$;
    create or replace function pg_temp.uid(kind int, n bigint) returns uuid immutable language sql as
      $$ select (lpad(to_hex(${String(DATASET_START.getTime())} + n * ${String(ORDER_EVERY_MS)}), 12, '0') || '7' ||
        lpad(to_hex(kind), 3, '0') || '8' || lpad(to_hex(n), 15, '0'))::uuid $$`);
}

const RIGHTS = JSON.stringify({
  action: 'play',
  accesses: null,
  seconds: null,
  bytes: null,
  concurrent: null,
  window: null,
  onExcess: 'reject-new',
  controls: [],
  tier: {},
});
const TERMS = JSON.stringify({
  name: 'A day',
  categoryId: null,
  rights: JSON.parse(RIGHTS) as unknown,
  validSeconds: 86_400,
  validFrom: null,
  validUntil: null,
  charging: 'prepaid',
  unusedPolicy: 'forfeit',
  captureAfterSeconds: null,
  meter: null,
  transport: null,
  taxInclusive: true,
});

async function fillCatalog(sql: Sql, { accounts, titles }: Sizes): Promise<void> {
  await sql.unsafe(`
    insert into accounts (id, email, name, role, password_hash, created_at)
    select pg_temp.uid(1, n), 'viewer' || n || '@dataset.example', 'Viewer ' || n, 'viewer', '!', pg_temp.moment(0)
    from generate_series(1, ${String(accounts)}) n on conflict do nothing;
    insert into titles (id, path, name, description, published, created_at)
    select pg_temp.uid(2, n), '/dataset/title-' || n, 'Title ' || n, 'Number ' || n || ' of many', true, pg_temp.moment(0)
    from generate_series(1, ${String(titles)}) n on conflict do nothing;
    insert into offers (id, title_id, name, price_minor, currency, time_option, rights, valid_seconds, charging, active, created_at)
    select pg_temp.uid(3, n), pg_temp.uid(2, n), 'A day', 300, 'EUR', '{"kind":"duration","seconds":86400}',
      '${RIGHTS}', 86400, 'prepaid', true, pg_temp.moment(0)
    from generate_series(1, ${String(titles)}) n on conflict do nothing;
    insert into categories (id, slug, name, created_at)
    select pg_temp.uid(13, n), 'dataset-' || n, 'Category ' || n, pg_temp.moment(0)
    from generate_series(1, ${String(CATEGORIES)}) n on conflict do nothing;
    insert into title_categories (title_id, category_id)
    select pg_temp.uid(2, n), pg_temp.uid(13, 1 + n % ${String(CATEGORIES)})
    from generate_series(1, ${String(titles)}) n on conflict do nothing;
    insert into offers (id, category_id, name, price_minor, currency, time_option, rights, valid_seconds, charging, active, created_at)
    select pg_temp.uid(14, n), pg_temp.uid(13, n), 'A month', 900, 'EUR', '{"kind":"category","seconds":2592000}',
      '${RIGHTS}', 2592000, 'prepaid', true, pg_temp.moment(0)
    from generate_series(1, ${String(CATEGORIES)}) n on conflict do nothing;
    insert into ledger_accounts (id, kind, currency, created_at)
    values (pg_temp.uid(9, 1), 'revenue', 'EUR', pg_temp.moment(0)), (pg_temp.uid(9, 2), 'card_clearing', 'EUR', pg_temp.moment(0))
    on conflict do nothing`);
}

/** Orders `from` to `until` (not with it), with tickets, sessions, receipts, usage and money. */
function ordersSql({ accounts, titles }: Sizes, from: number, until: number): string {
  const n = `generate_series(${String(from)}::bigint, ${String(until - 1)}) n`;
  const title = `1 + n * 7919 % ${String(titles)}`;
  const account = `pg_temp.uid(1, 1 + n * 104729 % ${String(accounts)})`;
  const house = (kind: string) =>
    `(select id from ledger_accounts where kind = '${kind}' and currency = 'EUR')`;
  return `
    insert into orders (id, account_id, offer_id, title_id, price_minor, list_price_minor, currency, captured_minor,
      refunded_minor, state, terms, buyer, idempotency_key, request_hash, created_at, expires_at, delivered_at)
    select pg_temp.uid(4, n), ${account}, pg_temp.uid(3, ${title}), pg_temp.uid(2, ${title}), 300, 300, 'EUR', 300, 0,
      'captured', '${TERMS}', 'dataset', lpad(n::text, 12, '0'), '', pg_temp.moment(n),
      pg_temp.moment(n) + interval '1 day', pg_temp.moment(n)
    from ${n};
    insert into payments (id, order_id, provider, state, amount_minor, captured_minor, refunded_minor, currency, created_at, updated_at)
    select pg_temp.uid(10, n), pg_temp.uid(4, n), 'test_card', 'captured', 300, 300, 0, 'EUR', pg_temp.moment(n), pg_temp.moment(n)
    from ${n};
    insert into tickets (jti, order_id, subject, uri, jkt, audience, endpoints, rights, ticket, issued_at, expires_at,
      media_ms_used, bytes_used)
    select pg_temp.uid(5, n), pg_temp.uid(4, n), md5('s' || n), '/dataset/title-' || (${title}), md5('k' || n),
      '{dataset-1,dataset-2,dataset-3,dataset-4}', '{}', '${RIGHTS}', '', pg_temp.moment(n),
      pg_temp.moment(n) + interval '1 day', ${String(RECEIPTS_PER_ORDER * 5000)}, ${String(RECEIPTS_PER_ORDER * 1_000_000)}
    from ${n};
    insert into media_sessions (id, ticket_id, server_id, state, created_at, committed_at, started_at_seconds, ended_at,
      end_reason, last_seq, last_hash, last_at_seconds, media_ms, bytes)
    select pg_temp.uid(6, n), pg_temp.uid(5, n), 'dataset-' || (1 + n % 4), 'ended', pg_temp.moment(n), pg_temp.moment(n),
      extract(epoch from pg_temp.moment(n))::bigint, pg_temp.moment(n) + interval '25 seconds', 'viewer_left',
      ${String(RECEIPTS_PER_ORDER - 1)}, md5('h' || n), extract(epoch from pg_temp.moment(n))::bigint + 25,
      ${String(RECEIPTS_PER_ORDER * 5000)}, ${String(RECEIPTS_PER_ORDER * 1_000_000)}
    from ${n};
    insert into receipt_batches (id, server_id, jws, stored_at)
    select pg_temp.uid(7, n), 'dataset-1', '', pg_temp.moment(n) from ${n} where n % 100 = 0;
    insert into receipts (session_id, seq, ticket_id, batch_id, hash, body, stored_at)
    select pg_temp.uid(6, n), seq, pg_temp.uid(5, n), pg_temp.uid(7, n - n % 100), md5(n || ' ' || seq),
      jsonb_build_object('session', pg_temp.uid(6, n), 'ticket', pg_temp.uid(5, n), 'uri', '/dataset/title-' || (${title}),
        'seq', seq, 'prev', case when seq > 0 then md5(n || ' ' || (seq - 1)) end,
        'startedAt', extract(epoch from pg_temp.moment(n))::bigint, 'at', extract(epoch from pg_temp.moment(n))::bigint + 5 * (seq + 1),
        'mediaMs', 5000 * (seq + 1), 'bytes', 1000000 * (seq + 1),
        'state', case when seq = ${String(RECEIPTS_PER_ORDER - 1)} then 'final' else 'progress' end,
        'reason', case when seq = ${String(RECEIPTS_PER_ORDER - 1)} then 'viewer_left' end),
      pg_temp.moment(n) + (seq + 1) * interval '5 seconds'
    from ${n}, generate_series(0, ${String(RECEIPTS_PER_ORDER - 1)}) seq;
    insert into usage_periods (session_id, starts_at, order_id, account_id, title_id, server_id, media_ms, bytes)
    select pg_temp.uid(6, n), date_bin('15 minutes', pg_temp.moment(n), timestamptz '2000-01-01T00:00:00Z'), pg_temp.uid(4, n),
      ${account}, pg_temp.uid(2, ${title}), 'dataset-' || (1 + n % 4), ${String(RECEIPTS_PER_ORDER * 5000)},
      ${String(RECEIPTS_PER_ORDER * 1_000_000)}
    from ${n};
    insert into ledger_transactions (id, kind, order_id, account_id, title_id, created_at)
    select pg_temp.uid(8, n), 'capture', pg_temp.uid(4, n), ${account}, pg_temp.uid(2, ${title}), pg_temp.moment(n)
    from ${n};
    insert into ledger_entries (id, transaction_id, ledger_account_id, amount_minor, currency)
    select pg_temp.uid(11, n), pg_temp.uid(8, n), ${house('revenue')}, 300, 'EUR' from ${n}
    union all
    select pg_temp.uid(12, n), pg_temp.uid(8, n), ${house('card_clearing')}, -300, 'EUR' from ${n};`;
}

/**
 * Fills a database whose tables are up to date, or goes on where it was interrupted. Of the same sizes the rows are always
 * the same.
 * @param sql one connection (`max: 1`)
 * @param progress told after each part how many orders there are
 */
export async function fillDataset(sql: Sql, sizes: Sizes, progress: (orders: number) => void): Promise<void> {
  await createFunctions(sql);
  await fillCatalog(sql, sizes);
  const [last] = await sql<{ next: number }[]>`
    select coalesce(max(idempotency_key)::int + 1, 0) as next from orders where buyer = 'dataset'`;
  for (let from = last?.next ?? 0; from < sizes.orders;) {
    const until = Math.min(sizes.orders, from - (from % CHUNK) + CHUNK);
    // A batch of receipts belongs to a hundred orders: parts begin where batches do.
    await sql.begin((tx) => tx.unsafe(ordersSql(sizes, from, until)));
    from = until;
    progress(until);
  }
  await sql.unsafe('vacuum analyze');
}
