import fc from 'fast-check';
import { expect, it } from 'vitest';
import { cardTokenSchema } from '../../../admin/payments/tokens.ts';
import { TEST_CARDS } from '../../../admin/payments/test-card.ts';

it.each(Object.keys(TEST_CARDS))('takes %s', (token) => {
  expect(cardTokenSchema.parse(token)).toBe(token);
});

it.each(['', 'tok_', 'ok', 'tok ok', 'tok_ok\n', `tok_${'a'.repeat(81)}`, 'tok_ö'])(
  'refuses "%s"',
  (token) => {
    expect(cardTokenSchema.safeParse(token).success).toBe(false);
  },
);

it('refuses what has a card number in it, however it is grouped, and does not repeat it', () => {
  const digit = fc.integer({ min: 0, max: 9 }).map(String);
  const separator = fc.constantFrom('', ' ', '-', '.', '_');
  fc.assert(
    fc.property(
      fc.array(digit, { minLength: 12, maxLength: 19 }),
      separator,
      fc.constantFrom('', 'tok_', 'card:'),
      (digits, between, before) => {
        const number = before + digits.join(between);
        const parsed = cardTokenSchema.safeParse(number);
        expect(parsed.success).toBe(false);
        expect(parsed.error?.issues[0]?.message).toMatch(/never a card number/);
        expect(JSON.stringify(parsed.error)).not.toContain(digits.join(between));
      },
    ),
  );
});
