/** What each step of a payment does to the ledger: one row per provider, and nothing else knows. */
import type { Executor } from '../db/connect.ts';
import { book, type LedgerKind } from '../ledger/book.ts';
import { money } from '../ledger/money.ts';
import type { Payment } from './payments.ts';

type Step = 'hold' | 'capture' | 'release' | 'refund';

/** From which account to which; what is absent moves no money of ours. */
const MOVES: Readonly<
  Record<Payment['provider'], Partial<Record<Step, readonly [from: LedgerKind, to: LedgerKind]>>>
> = {
  balance: {
    hold: ['customer_balance', 'customer_held'],
    capture: ['customer_held', 'revenue'],
    release: ['customer_held', 'customer_balance'],
    refund: ['revenue', 'customer_balance'],
  },
  // A voucher was given: what it pays for was never money of the customer's.
  voucher: {
    capture: ['promotion', 'revenue'],
    refund: ['revenue', 'promotion'],
  },
  // Until it is captured it is the card issuer's.
  test_card: {
    capture: ['card_clearing', 'revenue'],
    refund: ['revenue', 'card_clearing'],
  },
};

/**
 * Books a step of a payment; nothing when the amount is 0.
 * @throws Denial `funds_insufficient` from a hold.
 */
export async function bookStep(
  tx: Executor,
  step: Step,
  payment: Payment,
  amountMinor: number,
  now: Date,
): Promise<void> {
  const move = MOVES[payment.provider][step];
  if (move === undefined || amountMinor === 0) return;
  const [from, to] = move;
  await book(
    tx,
    {
      kind: step,
      from,
      to,
      amount: money(amountMinor, payment.currency),
      accountId: payment.accountId,
      orderId: payment.orderId,
      titleId: payment.titleId,
    },
    now,
  );
}
