/** What is to become of an order's money, from what is known of it. Pure. */
import type { OrderState } from './states.ts';
import type { OrderTerms } from './terms.ts';

/** After the end of a ticket receipts may still come that long, and are charged for. */
export const RECEIPTS_WITHIN_MS = 600_000;

export interface SettlementFacts {
  readonly state: OrderState;
  readonly terms: OrderTerms;
  /** What is held; and the price before the discount, which a metered price is reduced by alike. */
  readonly priceMinor: number;
  readonly listPriceMinor: number;
  /** True if a picture has left. */
  readonly isDelivered: boolean;
  readonly mediaMsUsed: number;
  readonly bytesUsed: number;
  readonly isExhausted: boolean;
  readonly expiresAtMs: number;
  /** When the last of its tickets was revoked; null while one is good. */
  readonly revokedAtMs: number | null;
  readonly nowMs: number;
}

/** `charge`: that much, and what is held above it goes back. `null`: nothing is to be done before `dueAtMs`. */
export type Settlement =
  | { readonly what: 'charge'; readonly amountMinor: number; readonly reason: string }
  | { readonly what: 'release'; readonly reason: string }
  | { readonly what: 'wait'; readonly dueAtMs: number };

const METER_UNITS = {
  minute: ({ mediaMsUsed }: SettlementFacts) => mediaMsUsed / 60_000,
  gigabyte: ({ bytesUsed }: SettlementFacts) => bytesUsed / 1_000_000_000,
} as const;

/** Each unit that was begun counts whole; never more than is held. Minor units. */
export function meteredAmount(facts: SettlementFacts): number {
  const { meter } = facts.terms;
  if (meter === null) throw new TypeError('the order has no meter');
  const units = Math.ceil(METER_UNITS[meter.unit](facts));
  const list = units * meter.priceMinor;
  const { priceMinor, listPriceMinor } = facts;
  const discounted = listPriceMinor === priceMinor ? list : Math.floor((list * priceMinor) / listPriceMinor);
  return Math.min(discounted, priceMinor);
}

/** When nothing more can be delivered, or be told of. Unix milliseconds. */
function overAtMs({ expiresAtMs, revokedAtMs }: SettlementFacts): number {
  return Math.min(expiresAtMs, revokedAtMs ?? expiresAtMs) + RECEIPTS_WITHIN_MS;
}

function settleDelivered(facts: SettlementFacts): Settlement {
  const { terms, priceMinor, mediaMsUsed, isExhausted } = facts;
  const dueAtMs = overAtMs(facts);
  const isOver = facts.nowMs >= dueAtMs;
  switch (terms.charging) {
    case 'free':
    case 'prepaid':
      return { what: 'charge', amountMinor: priceMinor, reason: 'first picture' };
    case 'on_delivery':
      if (mediaMsUsed >= (terms.captureAfterSeconds ?? 0) * 1000)
        return { what: 'charge', amountMinor: priceMinor, reason: 'delivered' };
      return isOver ? { what: 'release', reason: 'too little was delivered' } : { what: 'wait', dueAtMs };
    case 'metered': {
      if (!isOver && !isExhausted) return { what: 'wait', dueAtMs };
      const amountMinor = meteredAmount(facts);
      return amountMinor === 0
        ? { what: 'release', reason: 'nothing was used' }
        : { what: 'charge', amountMinor, reason: 'metered' };
    }
  }
}

function settleUnused(facts: SettlementFacts): Settlement {
  const { terms, priceMinor, expiresAtMs, revokedAtMs, nowMs } = facts;
  const dueAtMs = overAtMs(facts);
  if (nowMs < dueAtMs) return { what: 'wait', dueAtMs };
  // Taken back by staff before anybody could use it: that is nobody's forfeit.
  if (revokedAtMs !== null && revokedAtMs < expiresAtMs)
    return { what: 'release', reason: 'revoked before it was used' };
  return terms.charging === 'prepaid' && terms.unusedPolicy === 'forfeit' && priceMinor > 0
    ? { what: 'charge', amountMinor: priceMinor, reason: 'not used: forfeited' }
    : { what: 'release', reason: 'not used' };
}

/**
 * What is to be done with the money of an order that has a ticket and is not settled.
 * @throws TypeError when the order is in a state in which there is nothing to settle.
 */
export function settlementOf(facts: SettlementFacts): Settlement {
  if (facts.state !== 'ticketed' && facts.state !== 'delivered')
    throw new TypeError(`nothing to settle: ${facts.state}`);
  return facts.isDelivered ? settleDelivered(facts) : settleUnused(facts);
}
