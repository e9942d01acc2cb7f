import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createBudget, type Budget } from '../../plugin/budget.ts';
import { SESSION_ID, UNLIMITED } from '../support/doubles.ts';

const lease = (mediaMsLeft: number | null, bytesLeft: number | null = null) => ({ mediaMsLeft, bytesLeft });
const at = (mediaMs: number, bytes = 0) => ({ mediaMs, bytes });

function budgetOf(mediaMsLeft: number | null, bytesLeft: number | null = null): Budget {
  const budget = createBudget({ ...UNLIMITED, ...lease(mediaMsLeft, bytesLeft), session: SESSION_ID });
  if (budget === null) throw new Error('it is not limited');
  return budget;
}

describe('a budget', () => {
  it('is none where neither seconds nor bytes are limited, or nothing is counted', () => {
    expect(createBudget({ ...UNLIMITED, session: SESSION_ID })).toBeNull();
    expect(createBudget(null)).toBeNull();
  });

  it('asks at once, then each time when half of what was left is used, and is used up at its end', () => {
    const budget = budgetOf(5000);
    expect(budget.look(at(0))).toEqual({ isToAsk: true, againInMs: 2500 });
    // An answer that brought nothing: it asks again.
    expect(budget.look(at(2500))).toEqual({ isToAsk: true, againInMs: 1250 });
    budget.extend(lease(20_000));
    expect(budget.look(at(3000))).toEqual({ isToAsk: false, againInMs: 8500 });
    expect(budget.look(at(11_499))).toEqual({ isToAsk: false, againInMs: 20 });
    expect(budget.look(at(11_500))).toEqual({ isToAsk: true, againInMs: 4250 });
    expect(budget.look(at(19_500))).toEqual({ isToAsk: true, againInMs: 500 });
    expect(budget.look(at(19_999))).toEqual({ isToAsk: false, againInMs: 20 });
    expect(budget.look(at(20_000))).toBe('used up');
  });

  it('looks at bytes every second, and ends by whichever is used up first', () => {
    const budget = budgetOf(60_000, 1000);
    expect(budget.look(at(0))).toEqual({ isToAsk: true, againInMs: 1000 });
    budget.extend(lease(60_000, 2000));
    expect(budget.look(at(1000, 400))).toEqual({ isToAsk: false, againInMs: 1000 });
    expect(budget.look(at(2000, 1200))).toEqual({ isToAsk: true, againInMs: 1000 });
    expect(budget.look(at(3000, 2000))).toBe('used up');
    expect(budgetOf(null, 1000).look(at(86_400_000, 999))).toMatchObject({ againInMs: 1000 });
  });

  it('passes over answers that were overtaken, and asks for no more because of them', () => {
    const budget = budgetOf(5000);
    budget.look(at(0));
    budget.extend(lease(30_000));
    budget.extend(lease(5000));
    budget.extend(lease(null));
    expect(budget.look(at(5000))).toEqual({ isToAsk: false, againInMs: 12_500 });
    expect(budget.look(at(20_000))).toMatchObject({ isToAsk: true });
    budget.extend(lease(30_000));
    expect(budget.look(at(21_000))).toMatchObject({ isToAsk: false });
  });

  it('never lets more be used than was leased', () => {
    const step = fc.record({ usedMs: fc.integer({ min: 0, max: 9000 }), leasedMs: fc.nat({ max: 40_000 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const budget = budgetOf(5000);
        let [end, mediaMs] = [5000, 0];
        for (const { usedMs, leasedMs } of steps) {
          mediaMs += usedMs;
          const look = budget.look(at(mediaMs));
          expect(look === 'used up').toBe(mediaMs >= end);
          if (look === 'used up') return;
          // Looked at again before it can be used up.
          expect(look.againInMs).toBeLessThanOrEqual(Math.max(20, end - mediaMs));
          budget.extend(lease(leasedMs));
          end = Math.max(end, leasedMs);
        }
      }),
    );
  });
});
