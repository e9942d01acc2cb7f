import { describe, expect, test } from 'vitest';
import {
  describeRights,
  formatBytes,
  formatClock,
  formatMoney,
  formatPrice,
  formatSpan,
} from '../../player-demo/src/format.ts';
import { RIGHTS } from './support/shop.ts';

test.each([
  [250, 'EUR', '2.50'],
  [5, 'EUR', '0.05'],
  [1000, 'JPY', '1,000'],
  [1234, 'KWD', '1.234'],
])('%i minor units of %s are %s', (amountMinor, currency, expected) => {
  expect(formatMoney({ amountMinor, currency })).toContain(expected);
});

test('a price of nothing is free', () => {
  expect(formatPrice({ amountMinor: 0, currency: 'EUR' })).toBe('Free');
});

test.each([
  [1, '1 second'],
  [60, '1 minute'],
  [90, '90 seconds'],
  [5400, '90 minutes'],
  [86_400, '24 hours'],
  [604_800, '7 days'],
])('%i s are %s', (seconds, expected) => {
  expect(formatSpan(seconds)).toBe(expected);
});

test.each([
  [-1, '0:00'],
  [65.9, '1:05'],
  [3723, '1:02:03'],
])('%d s on the clock are %s', (seconds, expected) => {
  expect(formatClock(seconds)).toBe(expected);
});

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.0 kB'],
  [3_400_000, '3.4 MB'],
  [250_000_000, '250 MB'],
  [1e18, '1000000 TB'],
])('%d bytes are %s', (bytes, expected) => {
  expect(formatBytes(bytes)).toBe(expected);
});

describe('rights in words', () => {
  test('unlimited starts on one screen', () => {
    expect(describeRights(RIGHTS, 86_400)).toEqual([
      'Start it as often as you like',
      'Good for 24 hours',
      'One screen at a time',
      'Up to 720p',
    ]);
  });

  test('every limit is told', () => {
    const rights = {
      ...RIGHTS,
      accesses: 1,
      seconds: 600,
      bytes: 1e9,
      concurrent: 2,
      window: 7200,
      tier: {},
    };
    expect(describeRights(rights, 600)).toEqual([
      'One viewing',
      'Good for 10 minutes',
      'Ends 2 hours after you first watch',
      '10 minutes of picture',
      '1.0 GB of data',
      '2 screens at once',
    ]);
  });
});
