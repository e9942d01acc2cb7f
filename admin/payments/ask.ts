/** Asking a provider, outside of any transaction. */
import { money } from '../ledger/money.ts';
import type { Operation, Payment } from './payments.ts';
import type { PaymentProvider, ProviderOutcome } from './providers.ts';

/** A provider that has not answered by then may have done it all the same. */
export const ANSWER_WITHIN_MS = 10_000;

/** @returns `null` when the outcome is not known: no answer in time, or an error. */
export async function askProvider(
  provider: PaymentProvider,
  operation: Operation,
  payment: Payment,
  withinMs = ANSWER_WITHIN_MS,
): Promise<ProviderOutcome | null> {
  const { id: operationId, kind, amountMinor } = operation;
  const signal = AbortSignal.timeout(withinMs);
  const tooLate = new Promise<null>((resolve) => {
    signal.addEventListener('abort', () => {
      resolve(null);
    });
  });
  const request = {
    operationId,
    paymentId: payment.id,
    amount: money(amountMinor, payment.currency),
    source: payment.source,
  };
  try {
    // A provider that does not heed the signal is not waited for either.
    return await Promise.race([provider[kind](request, signal), tooLate]);
  } catch {
    return null;
  }
}
