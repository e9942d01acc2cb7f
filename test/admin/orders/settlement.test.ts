import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  meteredAmount,
  RECEIPTS_WITHIN_MS,
  settlementOf,
  type SettlementFacts,
} from '../../../admin/orders/settlement.ts';
import type { OrderTerms } from '../../../admin/orders/terms.ts';
import { UNLIMITED_PLAY } from '../../../plugin/rights/index.ts';

const terms = (changes: Partial<OrderTerms>): OrderTerms => ({
  name: 'Test',
  categoryId: null,
  rights: UNLIMITED_PLAY,
  validSeconds: 3600,
  validFrom: null,
  validUntil: null,
  charging: 'prepaid',
  unusedPolicy: 'forfeit',
  captureAfterSeconds: null,
  meter: null,
  transport: null,
  taxInclusive: true,
  ...changes,
});

const PREPAID = terms({});
const REFUNDED = terms({ unusedPolicy: 'refund' });
const FREE = terms({ charging: 'free' });
const ON_DELIVERY = terms({ charging: 'on_delivery', captureAfterSeconds: 30 });
const METERED = terms({ charging: 'metered', meter: { unit: 'minute', priceMinor: 10 } });

const EXPIRES_MS = 1_000_000_000;
const OVER_MS = EXPIRES_MS + RECEIPTS_WITHIN_MS;

function facts(changes: Partial<SettlementFacts>): SettlementFacts {
  return {
    state: 'ticketed',
    terms: PREPAID,
    priceMinor: 300,
    listPriceMinor: 300,
    isDelivered: false,
    mediaMsUsed: 0,
    bytesUsed: 0,
    isExhausted: false,
    expiresAtMs: EXPIRES_MS,
    revokedAtMs: null,
    nowMs: EXPIRES_MS - 1,
    ...changes,
  };
}

const charge = (amountMinor: number): unknown => expect.objectContaining({ what: 'charge', amountMinor });
const release: unknown = expect.objectContaining({ what: 'release' });
const wait = { what: 'wait', dueAtMs: OVER_MS };

it.each<[string, Partial<SettlementFacts>, unknown]>([
  ['prepaid, not used yet', {}, wait],
  ['prepaid, first picture', { isDelivered: true }, charge(300)],
  ['prepaid, expired, receipts may come', { nowMs: OVER_MS - 1 }, wait],
  ['prepaid, never used, forfeited', { nowMs: OVER_MS }, charge(300)],
  ['prepaid, never used, refunded', { terms: REFUNDED, nowMs: OVER_MS }, release],
  [
    'prepaid, revoked before use',
    { revokedAtMs: EXPIRES_MS - RECEIPTS_WITHIN_MS, nowMs: EXPIRES_MS },
    release,
  ],
  [
    'prepaid, revoked after it had expired: forfeited',
    { revokedAtMs: EXPIRES_MS, nowMs: OVER_MS },
    charge(300),
  ],
  ['free, first picture', { terms: FREE, priceMinor: 0, isDelivered: true }, charge(0)],
  ['free, never used', { terms: FREE, priceMinor: 0, nowMs: OVER_MS }, release],
  ['on delivery, too early', { terms: ON_DELIVERY, isDelivered: true, mediaMsUsed: 29_999 }, wait],
  ['on delivery, enough', { terms: ON_DELIVERY, isDelivered: true, mediaMsUsed: 30_000 }, charge(300)],
  [
    'on delivery, over before enough',
    { terms: ON_DELIVERY, isDelivered: true, mediaMsUsed: 29_999, nowMs: OVER_MS },
    release,
  ],
  ['on delivery, never used', { terms: ON_DELIVERY, nowMs: OVER_MS }, release],
  ['metered, goes on', { terms: METERED, isDelivered: true, mediaMsUsed: 60_001 }, wait],
  [
    'metered, used up',
    { terms: METERED, isDelivered: true, mediaMsUsed: 1_800_000, isExhausted: true },
    charge(300),
  ],
  ['metered, over', { terms: METERED, isDelivered: true, mediaMsUsed: 60_001, nowMs: OVER_MS }, charge(20)],
  ['metered, over without use', { terms: METERED, isDelivered: true, nowMs: OVER_MS }, release],
  ['metered, never used', { terms: METERED, nowMs: OVER_MS }, release],
])('%s', (_name, changes, expected) => {
  expect(settlementOf(facts(changes))).toEqual(expected);
});

it.each(['placed', 'authorized', 'captured', 'released', 'refunded', 'cancelled', 'failed'] as const)(
  'an order that is %s has nothing to settle',
  (state) => {
    expect(() => settlementOf(facts({ state }))).toThrow(TypeError);
  },
);

it('a meter counts each unit that was begun, grows with use, and never asks for more than is held', () => {
  const amount = fc.nat({ max: 5_000_000_000 });
  fc.assert(
    fc.property(
      fc.constantFrom('minute', 'gigabyte'),
      fc.integer({ min: 1, max: 1000 }),
      fc.nat({ max: 100_000 }),
      fc.tuple(amount, amount),
      (unit, priceMinor, heldMinor, [a, b]) => {
        const [less, more] = a < b ? [a, b] : [b, a];
        const of = (used: number) =>
          meteredAmount(
            facts({
              terms: terms({ charging: 'metered', meter: { unit, priceMinor } }),
              priceMinor: heldMinor,
              listPriceMinor: heldMinor,
              mediaMsUsed: used,
              bytesUsed: used,
            }),
          );
        expect(of(less)).toBeLessThanOrEqual(of(more));
        expect(of(more)).toBeLessThanOrEqual(heldMinor);
        expect(of(0)).toBe(0);
        if (more > 0) expect(of(more)).toBeGreaterThanOrEqual(Math.min(priceMinor, heldMinor));
      },
    ),
  );
});
