import { errors } from 'jose';
import { expect, test } from 'vitest';
import { errorFields } from '../../plugin/error-fields.ts';

test('an error is told by name, code, message and place, its causes with it', () => {
  const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  const { causes, frames } = errorFields(new TypeError('fetch failed', { cause }));
  expect(causes).toEqual([
    { name: 'TypeError', message: 'fetch failed' },
    { name: 'Error', message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' },
  ]);
  expect(frames[0]).toMatch(/^at .*error-fields\.test\.ts/);
});

test('what an error carries besides, such as the claims of a ticket, is left out', () => {
  const error = new errors.JWTClaimValidationFailed('unexpected "aud"', { sub: 'a-secret-subject' }, 'aud');
  expect(JSON.stringify(error.payload)).toContain('a-secret-subject');
  expect(JSON.stringify(errorFields(error))).not.toContain('a-secret-subject');
});

test('a chain of causes that goes round ends', () => {
  const error: Error = new Error('round');
  error.cause = error;
  expect(errorFields(error).causes).toHaveLength(5);
});

test('what is no error has nothing to tell', () => {
  expect(errorFields('a secret')).toEqual({ causes: [], frames: [] });
});
