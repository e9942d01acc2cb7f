/** Writing to the ledger: accounts that are opened when they are first needed, and transactions of two entries. */
import { and, eq, isNull, sql, type SQL } from 'drizzle-orm';
import { Denial } from '../../plugin/errors.ts';
import { isSqlState, type Executor } from '../db/connect.ts';
import { writtenOnce } from '../db/prepare.ts';
import { ledgerAccounts } from '../db/schema.ts';
import { newId } from '../ids.ts';
import type { Money } from './money.ts';

type CustomerKind = 'customer_balance' | 'customer_held';
export type LedgerKind = (typeof ledgerAccounts.kind.enumValues)[number];
export type BookingKind = 'hold' | 'capture' | 'release' | 'refund' | 'top_up' | 'credit' | 'voucher';

export function isCustomerKind(kind: LedgerKind): kind is CustomerKind {
  return kind === 'customer_balance' || kind === 'customer_held';
}

/** What a transaction of the ledger is for. */
export interface Booking {
  readonly kind: BookingKind;
  readonly from: LedgerKind;
  readonly to: LedgerKind;
  /** More than nothing. */
  readonly amount: Money;
  /** The customer; needed where one of the two ledger accounts is a customer's. */
  readonly accountId: string | null;
  readonly orderId?: string;
  readonly titleId?: string;
  /** Who may repeat the request; `book` does nothing when the two have been used together. */
  readonly request?: { readonly by: string; readonly key: string; readonly hash: string };
}

async function openAccount(
  tx: Executor,
  kind: LedgerKind,
  ownerId: string | null,
  currency: string,
  now: Date,
): Promise<void> {
  const [known] = await tx
    .select({ id: ledgerAccounts.id })
    .from(ledgerAccounts)
    .where(
      and(
        eq(ledgerAccounts.kind, kind),
        ownerId === null ? isNull(ledgerAccounts.ownerId) : eq(ledgerAccounts.ownerId, ownerId),
        eq(ledgerAccounts.currency, currency),
      ),
    );
  if (known !== undefined) return;
  await tx
    .insert(ledgerAccounts)
    .values({
      id: newId(),
      kind,
      ownerId,
      currency,
      balanceMinor: isCustomerKind(kind) ? 0 : null,
      createdAt: now,
    })
    .onConflictDoNothing();
}

const given = (name: string, type: 'text' | 'uuid' | 'bigint' | 'timestamptz'): SQL =>
  sql`${sql.placeholder(name)}::${sql.raw(type)}`;

function isAccount(side: 'from' | 'to', isCustomers: boolean): SQL {
  const owner = isCustomers ? sql`owner_id = ${given('accountId', 'uuid')}` : sql`owner_id is null`;
  return sql`(kind = ${given(side, 'text')} and currency = ${given('currency', 'text')} and ${owner})`;
}

/**
 * One transaction of the ledger and its two entries, in one statement; nothing when one of the accounts is not open
 * yet. Entries go in by the accounts' ids, and so lock balances in the same order everywhere: two transactions that
 * move money of one customer in opposite directions do not wait for each other.
 */
const writing = (fromCustomer: boolean, toCustomer: boolean) =>
  writtenOnce<{ written: number }>(sql`
    with a as (
      select id, kind from ledger_accounts where ${isAccount('from', fromCustomer)} or ${isAccount('to', toCustomer)}
    ), t as (
      insert into ledger_transactions
        (id, kind, order_id, account_id, title_id, requested_by, idempotency_key, request_hash, created_at)
      select ${given('id', 'uuid')}, ${given('kind', 'text')}, ${given('orderId', 'uuid')}, ${given('accountId', 'uuid')},
        ${given('titleId', 'uuid')}, ${given('by', 'uuid')}, ${given('key', 'text')}, ${given('hash', 'text')},
        ${given('now', 'timestamptz')}
      where (select count(*) from a) = 2
      on conflict (requested_by, idempotency_key) do nothing
      returning id
    )
    insert into ledger_entries (id, transaction_id, ledger_account_id, amount_minor, currency)
    select case when a.kind = ${given('from', 'text')} then ${given('fromEntry', 'uuid')} else ${given('toEntry', 'uuid')} end,
      t.id, a.id,
      case when a.kind = ${given('from', 'text')} then -${given('amount', 'bigint')} else ${given('amount', 'bigint')} end,
      ${given('currency', 'text')}
    from t cross join a order by a.id returning 1 as written`);

const WRITING = {
  both: writing(true, true),
  from: writing(true, false),
  to: writing(false, true),
  none: writing(false, false),
} as const;

/** @returns how many entries were written: two or none. */
async function write(tx: Executor, booking: Booking, id: string, now: Date): Promise<number> {
  const { kind, from, to, amount, accountId, orderId, titleId, request } = booking;
  const isOwned = (side: LedgerKind) => accountId !== null && isCustomerKind(side);
  const writer = isOwned(from) ? (isOwned(to) ? 'both' : 'from') : isOwned(to) ? 'to' : 'none';
  const rows = await WRITING[writer](tx).execute({
    ...{ id, kind, from, to, accountId, orderId: orderId ?? null, titleId: titleId ?? null },
    ...{ by: request?.by ?? null, key: request?.key ?? null, hash: request?.hash ?? null },
    ...{ now: now.toISOString(), fromEntry: newId(), toEntry: newId() },
    ...{ amount: amount.amountMinor, currency: amount.currency },
  });
  return rows.length;
}

/**
 * Moves an amount from one ledger account to another.
 * @returns false when the request has been made before; nothing has happened then.
 * @throws Denial `funds_insufficient` when the customer does not have it. The transaction it ran in is lost.
 * @throws TypeError when the amount is not positive.
 */
export async function book(tx: Executor, booking: Booking, now: Date): Promise<boolean> {
  if (!(booking.amount.amountMinor > 0)) throw new TypeError('a booking moves a positive amount');
  const transactionId = newId();
  try {
    if ((await write(tx, booking, transactionId, now)) > 0) return true;
    for (const kind of [booking.from, booking.to]) {
      const owner = isCustomerKind(kind) ? booking.accountId : null;
      await openAccount(tx, kind, owner, booking.amount.currency, now);
    }
    return (await write(tx, booking, transactionId, now)) > 0;
  } catch (error) {
    if (isSqlState(error, '23514', 'ledger_accounts_covered'))
      throw new Denial('funds_insufficient', { cause: error });
    throw error;
  }
}
