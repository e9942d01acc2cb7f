import { z } from 'zod';

/** ISO 4217 alphabetic code. */
export const currencySchema = z.string().regex(/^[A-Z]{3}$/, 'an ISO 4217 code in capitals');

/** The largest amount of one booking: far below 2^53, so that sums of many stay exact. */
export const MAX_AMOUNT_MINOR = 1_000_000_000;

export interface Money {
  /** Integer count of the currency's minor unit. */
  readonly amountMinor: number;
  readonly currency: string;
}

export function money(amountMinor: number, currency: string): Money {
  return { amountMinor, currency };
}
