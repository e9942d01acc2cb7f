/** Writing to the ledger: accounts that are opened when they are first needed, and transactions of two entries. */
import { and, eq, isNull, sql, type SQL } from 'drizzle-orm';
import { Denial } from '../../plugin/errors.ts';
import { isSqlState, type Executor } from '../db/connect.ts';
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

function isAccount(kind: LedgerKind, { accountId, amount }: Booking): SQL {
  const owner =
    isCustomerKind(kind) && accountId !== null
      ? sql`${ledgerAccounts.ownerId} = ${accountId}::uuid`
      : sql`${ledgerAccounts.ownerId} is null`;
  return sql`(${ledgerAccounts.kind} = ${kind} and ${ledgerAccounts.currency} = ${amount.currency} and ${owner})`;
}

const textOrNull = (text: string | undefined | null): SQL => sql`${text ?? null}::text`;
const uuidOrNull = (id: string | undefined | null): SQL => sql`${id ?? null}::uuid`;

/**
 * One transaction of the ledger and its two entries, in one statement; nothing when one of the accounts is not open
 * yet. Entries go in by the accounts' ids, and so lock balances in the same order everywhere: two transactions that
 * move money of one customer in opposite directions do not wait for each other.
 */
async function write(tx: Executor, booking: Booking, transactionId: string, now: Date): Promise<number> {
  const { kind, from, to, amount, accountId, orderId, titleId, request } = booking;
  const rows = await tx.execute(sql`
    with a as (
      select id, kind from ledger_accounts where ${isAccount(from, booking)} or ${isAccount(to, booking)}
    ), t as (
      insert into ledger_transactions
        (id, kind, order_id, account_id, title_id, requested_by, idempotency_key, request_hash, created_at)
      select ${transactionId}::uuid, ${kind}, ${uuidOrNull(orderId)}, ${uuidOrNull(accountId)}, ${uuidOrNull(titleId)},
        ${uuidOrNull(request?.by)}, ${textOrNull(request?.key)}, ${textOrNull(request?.hash)},
        ${now.toISOString()}::timestamptz
      where (select count(*) from a) = 2
      on conflict (requested_by, idempotency_key) do nothing
      returning id
    )
    insert into ledger_entries (id, transaction_id, ledger_account_id, amount_minor, currency)
    select case when a.kind = ${from} then ${newId()}::uuid else ${newId()}::uuid end, t.id, a.id,
      case when a.kind = ${from} then ${-amount.amountMinor}::bigint else ${amount.amountMinor}::bigint end,
      ${amount.currency}
    from t cross join a order by a.id returning 1`);
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
