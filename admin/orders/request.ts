/** What is asked for by an order, and by whom. */
import type { z } from 'zod';
import { sealingJwkSchema, signingJwkSchema } from '../../plugin/registration.ts';
import { cardTokenSchema } from '../payments/tokens.ts';
import { quoteRequestSchema } from '../pricing/quote.ts';
import { idempotencyKeySchema } from './orders.ts';

export const orderRequestSchema = quoteRequestSchema.extend({
  proofKey: signingJwkSchema,
  sealKey: sealingJwkSchema,
  /** Pays by card; without it the balance does. */
  cardToken: cardTokenSchema.exactOptional(),
  idempotencyKey: idempotencyKeySchema,
});
export type OrderRequest = z.infer<typeof orderRequestSchema>;

/** Who orders, and from where. */
export interface Buyer {
  /** Null without an account: for what is free, or paid by a voucher. */
  readonly accountId: string | null;
  /** ISO 3166-1; null where it is not known. */
  readonly country: string | null;
  /** Client address: previews are counted by it. */
  readonly address: string;
}
