/** What a payment provider outside of this server must be able to do. */
import type { Money } from '../ledger/money.ts';
import type { Operation, Payment } from './payments.ts';

export interface ProviderRequest {
  /** Names the request: made twice, it is done once, and answered alike. */
  readonly operationId: string;
  /** Names what was authorized. */
  readonly paymentId: string;
  readonly amount: Money;
  /** The token that stands for the card; set on authorizations only. */
  readonly source: string | null;
}

/** `waiting`: it decides later, and tells by webhook. */
export type ProviderOutcome =
  | { readonly state: 'done' }
  | { readonly state: 'refused'; readonly reason: string }
  | { readonly state: 'waiting' };

/** What a provider tells of its own accord. */
export interface ProviderEvent {
  readonly eventId: string;
  readonly operationId: string;
  readonly outcome: 'done' | 'refused';
  readonly reason: string | null;
}

/** An answer that does not come, or an error, means that the outcome is not known: it is asked again. */
type Ask = (request: ProviderRequest, signal: AbortSignal) => Promise<ProviderOutcome>;

/** Each call is made outside of any transaction of the database. */
export interface PaymentProvider extends Readonly<Record<Operation['kind'], Ask>> {
  readonly name: Exclude<Payment['provider'], 'balance' | 'voucher'>;
  /** True if the token could be one of this provider's. */
  knows(token: string): boolean;
  /**
   * Reads a webhook that came at a moment. The signature is checked first.
   * @throws Denial `server_untrusted` (signature or time), `request_malformed`.
   */
  readWebhook(signature: string | undefined, body: string, nowMs: number): ProviderEvent;
}

export type Providers = Readonly<Partial<Record<PaymentProvider['name'], PaymentProvider>>>;
