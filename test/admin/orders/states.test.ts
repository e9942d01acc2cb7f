import fc from 'fast-check';
import { expect, it } from 'vitest';
import { mayBecome, ORDER_STATES, type OrderState } from '../../../admin/orders/states.ts';

const ENDS: readonly OrderState[] = ['released', 'refunded', 'cancelled', 'failed'];
const state = fc.constantFrom(...ORDER_STATES);

it('nothing follows an end', () => {
  for (const end of ENDS) for (const to of ORDER_STATES) expect(mayBecome(end, to)).toBe(false);
});

it('every way from placed ends, or stays charged', () => {
  const reach = (from: OrderState): OrderState[] =>
    ORDER_STATES.filter((to) => to !== from && mayBecome(from, to));
  const dead = ORDER_STATES.filter((from) => reach(from).length === 0);
  expect(dead.sort()).toEqual([...ENDS].sort());
});

it('no walk comes back to a state, but for refunds in part', () => {
  fc.assert(
    fc.property(fc.array(state, { maxLength: 12 }), (wanted) => {
      let at: OrderState = 'placed';
      const seen: OrderState[] = [at];
      for (const to of wanted) {
        if (!mayBecome(at, to)) continue;
        if (to !== at) expect(seen).not.toContain(to);
        else expect(at).toBe('captured');
        seen.push((at = to));
      }
      const ticketed = seen.indexOf('ticketed');
      // No ticket without authorization, no charge without a ticket.
      if (ticketed !== -1) expect(seen.indexOf('authorized')).toBeLessThan(ticketed);
      if (seen.includes('captured')) expect(ticketed).toBeGreaterThan(-1);
    }),
  );
});
