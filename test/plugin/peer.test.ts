import { expect, it } from 'vitest';
import { isLoopback } from '../../plugin/peer.ts';

it.each(['127.0.0.1', '127.255.0.1', '::1', '::ffff:127.0.0.1'])('%s is this machine', (address) => {
  expect(isLoopback(address)).toBe(true);
});

it.each([
  '',
  '10.0.0.1',
  '127.0.0.1.evil.example',
  '128.0.0.1',
  '::',
  '::ffff:10.0.0.1',
  '2001:db8::1',
  'localhost',
])('%j is not, or is no address', (address) => {
  expect(isLoopback(address)).toBe(false);
});
