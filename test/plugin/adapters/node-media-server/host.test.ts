import { expect, test } from 'vitest';
import { isTestedVersion } from '../../../../plugin/adapters/node-media-server/host.ts';

test.each([
  ['4.4.0', true],
  ['4.4.3', true],
  ['4.10.1', true],
  ['4.3.9', false],
  ['4.4', false],
  ['4.4.0-beta.1', false],
  ['5.0.0', false],
  ['14.4.0', false],
  ['2.7.4', false],
])('version %s is tested: %s', (version, tested) => {
  expect(isTestedVersion(version)).toBe(tested);
});
