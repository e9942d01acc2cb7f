/**
 * Double entry. A customer's balance, and what is held of it for his orders, is money that we owe: positive is his. An
 * order moves it to revenue when it is charged; top-ups, credits and vouchers come from promotion. The database holds
 * the rules (see the migrations): append-only, zero sum per transaction and currency, no customer below zero.
 */
import { and, eq } from 'drizzle-orm';
import { Denial } from '../../plugin/errors.ts';
import type { Executor } from '../db/connect.ts';
import { ledgerAccounts, ledgerTransactions } from '../db/schema.ts';
import { book } from './book.ts';
import { money, type Money } from './money.ts';

async function sumsOf(
  db: Executor,
  kind: 'customer_balance' | 'customer_held',
  accountId: string,
): Promise<Money[]> {
  const rows = await db
    .select({ amountMinor: ledgerAccounts.balanceMinor, currency: ledgerAccounts.currency })
    .from(ledgerAccounts)
    .where(and(eq(ledgerAccounts.kind, kind), eq(ledgerAccounts.ownerId, accountId)))
    .orderBy(ledgerAccounts.currency);
  return rows.map((row) => money(row.amountMinor ?? 0, row.currency));
}

/** What a customer may spend, per currency. */
export function balancesOf(db: Executor, accountId: string): Promise<Money[]> {
  return sumsOf(db, 'customer_balance', accountId);
}

/** What is held for a customer's orders, per currency. */
export async function heldOf(db: Executor, accountId: string): Promise<Money[]> {
  const sums = await sumsOf(db, 'customer_held', accountId);
  return sums.filter(({ amountMinor }) => amountMinor > 0);
}

export interface CreditRequest {
  readonly kind: 'top_up' | 'credit' | 'voucher';
  /** Who asks: the customer, or a member of staff. */
  readonly requestedBy: string;
  readonly accountId: string;
  readonly amount: Money;
  readonly idempotencyKey: string;
}

/**
 * Adds to a customer's balance, once per requester and idempotency key.
 * @returns true if the request had been done before.
 * @throws Denial `idempotency_conflict` when the key was used with other input.
 */
export async function creditCustomer(tx: Executor, request: CreditRequest, now: Date): Promise<boolean> {
  const { amountMinor, currency } = request.amount;
  const hash = JSON.stringify([request.kind, request.accountId, amountMinor, currency]);
  const booked = await book(
    tx,
    {
      kind: request.kind,
      from: 'promotion',
      to: 'customer_balance',
      amount: request.amount,
      accountId: request.accountId,
      request: { by: request.requestedBy, key: request.idempotencyKey, hash },
    },
    now,
  );
  if (booked) return false;
  const [before] = await tx
    .select({ requestHash: ledgerTransactions.requestHash })
    .from(ledgerTransactions)
    .where(
      and(
        eq(ledgerTransactions.requestedBy, request.requestedBy),
        eq(ledgerTransactions.idempotencyKey, request.idempotencyKey),
      ),
    );
  if (before?.requestHash !== hash) throw new Denial('idempotency_conflict');
  return true;
}
