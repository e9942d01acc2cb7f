import { describe, expect, test } from 'vitest';
import {
  describeAgent,
  describeRights,
  formatBytes,
  formatChange,
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

test.each([
  [250, /^\+.*2\.50/],
  [-250, /^[-−].*2\.50/],
  [0, /^[^-+−]*0\.00/],
])('a change of %i says which way', (amountMinor, expected) => {
  expect(formatChange({ amountMinor, currency: 'EUR' })).toMatch(expected);
});

test.each([
  [
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0',
    'Edge on Windows',
  ],
  [
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
    'Chrome on Linux',
  ],
  ['Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0', 'Firefox on Android'],
  [
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1',
    'Safari on iOS',
  ],
  ['curl/8.5.0', 'curl/8.5.0'],
  ['x'.repeat(200), `${'x'.repeat(59)}…`],
  ['', 'A program without a name'],
  [null, 'A program without a name'],
])('%s is shown as %s', (userAgent, expected) => {
  expect(describeAgent(userAgent)).toBe(expected);
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
