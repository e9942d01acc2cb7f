/**
 * Works everything out again from what cannot be changed (ledger entries and receipts) and compares it with what is kept
 * beside them: balances, orders, payments, usage.
 */
import { sql, type SQL } from 'drizzle-orm';
import type { Database, Executor } from '../db/connect.ts';

/** Two figures that should be one. */
export interface Difference {
  /** The rule that does not hold. */
  readonly check: string;
  /** Of what: a ledger account, transaction, order, ticket or session. */
  readonly id: string;
  /** What follows from the entries or receipts. */
  readonly expected: string;
  /** What is kept. */
  readonly found: string;
}

interface Check {
  readonly name: string;
  /** What it says of a difference. */
  readonly about: string;
  /** Rows of `id`, `expected` and `found`. */
  readonly differences: SQL;
}

/** What was earned by an order and what was given back, from the entries. */
const PER_ORDER = sql`
  select t.order_id,
    coalesce(sum(e.amount_minor) filter (where t.kind in ('order', 'capture')), 0) as captured,
    coalesce(-sum(e.amount_minor) filter (where t.kind = 'refund'), 0) as refunded
  from ledger_transactions t
  join ledger_entries e on e.transaction_id = t.id
  join ledger_accounts a on a.id = e.ledger_account_id and a.kind = 'revenue'
  where t.order_id is not null group by t.order_id`;

const PAIR = sql.raw(`coalesce(booked.captured, 0)::text || ' / ' || coalesce(booked.refunded, 0)::text`);

export const CHECKS: readonly Check[] = [
  {
    name: 'balances',
    about: "a customer's balance is the sum of its entries",
    differences: sql`
      select a.id, coalesce(sum(e.amount_minor), 0) as expected, a.balance_minor as found
      from ledger_accounts a left join ledger_entries e on e.ledger_account_id = a.id
      where a.balance_minor is not null group by a.id
      having a.balance_minor <> coalesce(sum(e.amount_minor), 0)`,
  },
  {
    name: 'zero-sum',
    about: 'a transaction of the ledger sums to zero',
    differences: sql`
      select transaction_id as id, 0 as expected, sum(amount_minor) as found
      from ledger_entries group by transaction_id, currency having sum(amount_minor) <> 0`,
  },
  {
    name: 'holds',
    about: 'what is held for a customer is what his open orders hold',
    differences: sql`
      with open as (
        select o.account_id, p.currency, sum(p.amount_minor) as held
        from payments p join orders o on o.id = p.order_id
        where p.provider = 'balance' and p.state = 'authorized' group by o.account_id, p.currency
      )
      select a.id, coalesce(open.held, 0) as expected, a.balance_minor as found
      from ledger_accounts a
      left join open on open.account_id = a.owner_id and open.currency = a.currency
      where a.kind = 'customer_held' and a.balance_minor <> coalesce(open.held, 0)
      union all
      select open.account_id, open.held, 0 from open where not exists (
        select 1 from ledger_accounts a
        where a.kind = 'customer_held' and a.owner_id = open.account_id and a.currency = open.currency)`,
  },
  {
    name: 'orders',
    about: 'what an order was charged, and given back, is in the ledger',
    differences: sql`
      with booked as (${PER_ORDER})
      select o.id, ${PAIR} as expected, o.captured_minor::text || ' / ' || o.refunded_minor::text as found
      from orders o left join booked on booked.order_id = o.id
      where o.captured_minor <> coalesce(booked.captured, 0) or o.refunded_minor <> coalesce(booked.refunded, 0)`,
  },
  {
    name: 'payments',
    about: 'a payment is captured and refunded as its order is',
    differences: sql`
      select o.id, p.captured_minor::text || ' / ' || p.refunded_minor::text as expected,
        o.captured_minor::text || ' / ' || o.refunded_minor::text as found
      from orders o join payments p on p.order_id = o.id
      where o.captured_minor <> p.captured_minor or o.refunded_minor <> p.refunded_minor`,
  },
  {
    name: 'undelivered',
    about: 'nothing is charged that was not delivered, but what was forfeited',
    differences: sql`
      select o.id, '0' as expected, o.captured_minor::text as found
      from orders o
      where o.captured_minor > 0 and o.delivered_at is null and exists (
        select 1 from order_events v where v.order_id = o.id and v.from_state is not null and v.to_state = 'captured'
      ) and not (o.terms->>'charging' = 'prepaid' and o.terms->>'unusedPolicy' = 'forfeit')`,
  },
  {
    name: 'uncharged',
    about: 'what was delivered in full was charged',
    differences: sql`
      select o.id, o.price_minor::text as expected, '0' as found
      from orders o
      where o.price_minor > 0 and o.terms->>'charging' = 'prepaid' and o.state in ('released', 'cancelled')
        and exists (select 1 from tickets t where t.order_id = o.id and t.media_ms_used > 0)`,
  },
  {
    name: 'sessions',
    about: 'a viewing has used what its last receipt says',
    differences: sql`
      select s.id, (r.body->>'mediaMs') || ' ms, ' || (r.body->>'bytes') || ' bytes' as expected,
        s.media_ms::text || ' ms, ' || s.bytes::text || ' bytes' as found
      from media_sessions s join receipts r on r.session_id = s.id and r.seq = s.last_seq
      where s.media_ms <> (r.body->>'mediaMs')::bigint or s.bytes <> (r.body->>'bytes')::bigint`,
  },
  {
    name: 'tickets',
    about: 'a ticket has used what its viewings have',
    differences: sql`
      with used as (
        select ticket_id, sum(media_ms) as media_ms, sum(bytes) as bytes from media_sessions group by ticket_id
      )
      select t.jti as id, coalesce(used.media_ms, 0)::text || ' ms, ' || coalesce(used.bytes, 0)::text || ' bytes' as expected,
        t.media_ms_used::text || ' ms, ' || t.bytes_used::text || ' bytes' as found
      from tickets t left join used on used.ticket_id = t.jti
      where t.media_ms_used <> coalesce(used.media_ms, 0) or t.bytes_used <> coalesce(used.bytes, 0)`,
  },
  {
    name: 'usage',
    about: 'the periods of a viewing sum up to it',
    differences: sql`
      select s.id, s.media_ms::text || ' ms, ' || s.bytes::text || ' bytes' as expected,
        sum(u.media_ms)::text || ' ms, ' || sum(u.bytes)::text || ' bytes' as found
      from usage_periods u join media_sessions s on s.id = u.session_id
      group by s.id having sum(u.media_ms) <> s.media_ms or sum(u.bytes) <> s.bytes`,
  },
];

/** Differences that are told of each check; one that has more is broken all the same. */
const MAX_TOLD = 100;

async function runCheck(tx: Executor, { name, differences }: Check): Promise<Difference[]> {
  const rows = await tx.execute<{ id: string; expected: string | null; found: string | null }>(sql`
    select id::text as id, expected::text as expected, found::text as found
    from (${differences}) d order by id limit ${MAX_TOLD}`);
  return rows.map(({ id, expected, found }) => ({
    check: name,
    id,
    expected: expected ?? 'nothing',
    found: found ?? 'nothing',
  }));
}

/** All differences there are, at one moment; at most 100 of each check. */
export async function reconcile(db: Database): Promise<Difference[]> {
  return db.transaction(
    async (tx) => {
      const found: Difference[] = [];
      for (const check of CHECKS) found.push(...(await runCheck(tx, check)));
      return found;
    },
    { isolationLevel: 'repeatable read', accessMode: 'read only' },
  );
}
