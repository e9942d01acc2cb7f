import { DrizzleQueryError } from 'drizzle-orm';
import postgres from 'postgres';
import { expect, it } from 'vitest';
import { errorFields } from '../../admin/http/error-fields.ts';
import { toDenial } from '../../admin/http/problems.ts';
import { hashPassword, verifyPassword } from '../../admin/accounts/passwords.ts';
import { Denial } from '../../plugin/errors.ts';

it('logs nothing of a statement but its code and constraint', () => {
  const cause = new postgres.PostgresError('invalid input "secret-value"');
  Object.assign(cause, { code: '23505', constraint_name: 'accounts_email_unique', detail: 'secret-value' });
  const error = new DrizzleQueryError('insert into x values ($1)', ['secret-value'], cause);
  const fields = errorFields(new Denial('internal', { cause: error }));
  expect(JSON.stringify(fields)).not.toContain('secret-value');
  expect(JSON.stringify(fields)).toContain('23505');
  expect(JSON.stringify(fields)).toContain('accounts_email_unique');
});

it.each([
  ['a refused connection', Object.assign(new Error('x'), { code: 'ECONNREFUSED' }), 'overloaded'],
  [
    'a lost connection',
    new Error('x', { cause: Object.assign(new Error('y'), { code: 'CONNECTION_CLOSED' }) }),
    'overloaded',
  ],
  ['a bug', new TypeError('x'), 'internal'],
  ['a text', 'x', 'internal'],
  ['a refusal', new Denial('forbidden'), 'forbidden'],
])('answers %s with %s', (_what, error, code) => {
  expect(toDenial(error).code).toBe(code);
});

it('hashes one password at a time, and turns away what would wait for long', async () => {
  const hash = await hashPassword('a long password');
  const results = await Promise.allSettled(
    Array.from({ length: 60 }, () => verifyPassword(() => Promise.resolve(hash), 'a long password')),
  );
  const right = results.filter((result) => result.status === 'fulfilled' && result.value);
  const turnedAway = results.filter(
    (result) => result.status === 'rejected' && (result.reason as Denial).code === 'rate_limited',
  );
  expect(right.length).toBe(32);
  expect(turnedAway.length).toBe(28);
  // The queue is empty again.
  expect(await verifyPassword(() => Promise.resolve(hash), 'another password')).toBe(false);
});
