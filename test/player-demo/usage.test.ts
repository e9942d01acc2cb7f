import { expect, it, test } from 'vitest';
import { paidInAll, paidWords } from '../../player-demo/src/views/usage.ts';

const euros = (amountMinor: number) => ({ amountMinor, currency: 'EUR' });

function order(state: string, price: number, captured = 0, refunded = 0) {
  return { state, price: euros(price), captured: euros(captured), refunded: euros(refunded) };
}

it.each([
  ['what is only held', order('ticketed', 300), '€3.00 held'],
  ['what is being watched and charged later', order('delivered', 300), '€3.00 held'],
  ['the price, once it is charged', order('captured', 300, 300), '€3.00'],
  ['what was used of a metered order', order('captured', 300, 75), '€0.75'],
  ['what is left after a refund of a part', order('captured', 300, 300, 100), '€2.00'],
  ['nothing of what was given back', order('refunded', 300, 300, 300), '€0.00'],
  ['nothing of what was taken back', order('cancelled', 300), '€0.00'],
  ['nothing of what was never charged', order('released', 300), '€0.00'],
  ['nothing of what was declined', order('failed', 300), '€0.00'],
  ['what is free', order('captured', 0), 'Free'],
])('an order shows %s', (_what, of, words) => {
  expect(paidWords(of)).toBe(words);
});

test('what was paid in all is what was charged and kept, by currency; no price that was not', () => {
  const dollars = { amountMinor: 500, currency: 'USD' };
  const orders = [
    order('captured', 300, 300),
    order('captured', 300, 75),
    order('refunded', 300, 300, 300),
    order('cancelled', 300),
    order('ticketed', 300),
    { state: 'captured', price: dollars, captured: dollars, refunded: { ...dollars, amountMinor: 0 } },
  ];
  expect(paidInAll(orders)).toBe('€3.75 + $5.00');
});

it.each([
  ['nothing while all is held', [order('ticketed', 300), order('captured', 0)], '€0.00'],
  ['nothing when all was given back', [order('refunded', 300, 300, 300)], '€0.00'],
  ['free when nothing had a price', [order('captured', 0), order('delivered', 0)], 'Free'],
])('what was paid in all is %s', (_what, orders, words) => {
  expect(paidInAll(orders)).toBe(words);
});
