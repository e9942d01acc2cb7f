/**
 * Double entry. A customer's balance is money that we owe: positive is what the customer may spend. Orders debit it
 * and credit revenue; top-ups and credits come from promotion, until real payments exist. The database holds the
 * rules (see the migration): append-only, zero sum per transaction and currency, no balance below zero.
 */
import { and, eq, isNull } from 'drizzle-orm';
import { Denial } from '../../plugin/errors.ts';
import { isSqlState, type Executor } from '../db/connect.ts';
import { ledgerAccounts, ledgerEntries, ledgerTransactions } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { money, type Money } from './money.ts';

type HouseKind = 'revenue' | 'promotion';

/** What a customer may spend, per currency. */
export async function balancesOf(db: Executor, accountId: string): Promise<Money[]> {
  const rows = await db
    .select({ amountMinor: ledgerAccounts.balanceMinor, currency: ledgerAccounts.currency })
    .from(ledgerAccounts)
    .where(and(eq(ledgerAccounts.kind, 'customer_balance'), eq(ledgerAccounts.ownerId, accountId)))
    .orderBy(ledgerAccounts.currency);
  return rows.map((row) => money(row.amountMinor ?? 0, row.currency));
}

async function openAccount(
  tx: Executor,
  kind: 'customer_balance' | HouseKind,
  ownerId: string | null,
  currency: string,
  now: Date,
): Promise<string> {
  const find = () =>
    tx
      .select({ id: ledgerAccounts.id })
      .from(ledgerAccounts)
      .where(
        and(
          eq(ledgerAccounts.kind, kind),
          ownerId === null ? isNull(ledgerAccounts.ownerId) : eq(ledgerAccounts.ownerId, ownerId),
          eq(ledgerAccounts.currency, currency),
        ),
      );
  const [known] = await find();
  if (known !== undefined) return known.id;
  await tx
    .insert(ledgerAccounts)
    .values({
      id: newId(),
      kind,
      ownerId,
      currency,
      balanceMinor: kind === 'customer_balance' ? 0 : null,
      createdAt: now,
    })
    .onConflictDoNothing();
  const [opened] = await find();
  if (opened === undefined) throw new Error('a ledger account that was just opened is missing');
  return opened.id;
}

async function book(
  tx: Executor,
  transactionId: string,
  entries: readonly { ledgerAccountId: string; amount: Money }[],
): Promise<void> {
  await tx.insert(ledgerEntries).values(
    entries.map(({ ledgerAccountId, amount }) => ({
      id: newId(),
      transactionId,
      ledgerAccountId,
      amountMinor: amount.amountMinor,
      currency: amount.currency,
    })),
  );
}

/**
 * Debits a customer for an order. Must run in the order's transaction, which a denial aborts.
 * @throws Denial `funds_insufficient`.
 */
export async function chargeOrder(
  tx: Executor,
  order: { readonly id: string; readonly accountId: string; readonly price: Money },
  now: Date,
): Promise<void> {
  const { amountMinor, currency } = order.price;
  const customer = await openAccount(tx, 'customer_balance', order.accountId, currency, now);
  const revenue = await openAccount(tx, 'revenue', null, currency, now);
  const transactionId = newId();
  await tx
    .insert(ledgerTransactions)
    .values({ id: transactionId, kind: 'order', orderId: order.id, createdAt: now });
  try {
    await book(tx, transactionId, [
      { ledgerAccountId: customer, amount: money(-amountMinor, currency) },
      { ledgerAccountId: revenue, amount: money(amountMinor, currency) },
    ]);
  } catch (error) {
    if (isSqlState(error, '23514', 'ledger_accounts_covered'))
      throw new Denial('funds_insufficient', { cause: error });
    throw error;
  }
}

export interface CreditRequest {
  readonly kind: 'top_up' | 'credit';
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
  if (amountMinor <= 0) throw new TypeError('a credit is positive');
  const requestHash = JSON.stringify([request.kind, request.accountId, amountMinor, currency]);
  const transactionId = newId();
  const [inserted] = await tx
    .insert(ledgerTransactions)
    .values({
      id: transactionId,
      kind: request.kind,
      requestedBy: request.requestedBy,
      idempotencyKey: request.idempotencyKey,
      requestHash,
      createdAt: now,
    })
    .onConflictDoNothing()
    .returning({ id: ledgerTransactions.id });
  if (inserted === undefined) {
    const [before] = await tx
      .select({ requestHash: ledgerTransactions.requestHash })
      .from(ledgerTransactions)
      .where(
        and(
          eq(ledgerTransactions.requestedBy, request.requestedBy),
          eq(ledgerTransactions.idempotencyKey, request.idempotencyKey),
        ),
      );
    if (before?.requestHash !== requestHash) throw new Denial('idempotency_conflict');
    return true;
  }
  const customer = await openAccount(tx, 'customer_balance', request.accountId, currency, now);
  const promotion = await openAccount(tx, 'promotion', null, currency, now);
  await book(tx, transactionId, [
    { ledgerAccountId: promotion, amount: money(-amountMinor, currency) },
    { ledgerAccountId: customer, amount: money(amountMinor, currency) },
  ]);
  return false;
}
