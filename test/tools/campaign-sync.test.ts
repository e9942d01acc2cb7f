import { describe, expect, it, test } from 'vitest';
import { faultsOfSync, readingOf, SYNC_BAR_MS, type SyncReading } from '../../tools/campaign/sync.ts';
import { SYNC_WAYS } from '../../tools/campaign/sync-publishers.ts';

const GOOD: SyncReading = { medianMs: 3, flashes: 20, idle: 0.4 };
const rowsWith = (reading: Partial<SyncReading>) => [
  { name: 'way', readings: [GOOD, { ...GOOD, ...reading }] },
];

describe('the campaign of flash and beep', () => {
  test.each<[string, Partial<SyncReading>]>([
    ['the beep at the bar', { medianMs: SYNC_BAR_MS }],
    ['the flash at the bar', { medianMs: -SYNC_BAR_MS }],
  ])('passes %s', (_what, reading) => {
    expect(faultsOfSync(rowsWith(reading))).toEqual([]);
  });

  test.each<[string, Partial<SyncReading>, RegExp]>([
    ['a beep after the bar', { medianMs: SYNC_BAR_MS + 1 }, /^way: minute 2: beep 61 ms after the flash/],
    ['a beep before the bar', { medianMs: -SYNC_BAR_MS - 1 }, /^way: minute 2: beep -61 ms/],
    ['too few flashes', { flashes: 9 }, /^way: minute 2: only 9 flashes/],
    ['no flash', readingOf([], 0.4), /^way: minute 2: only 0 flashes/],
    ['a machine that could not keep up', { idle: 0.01 }, /^way: minute 2: the machine was too busy/],
  ])('fails for %s', (_what, reading, message) => {
    expect(faultsOfSync(rowsWith(reading))).toEqual([expect.stringMatching(message)]);
  });

  it('fails for a way that was never read', () => {
    expect(faultsOfSync([{ name: 'way', readings: [] }])).toEqual(['way: not read']);
  });

  it('reads the median, so that one flash beside its beep changes nothing', () => {
    expect(readingOf([5, -400, 7], 0.4)).toEqual({ medianMs: 5, flashes: 3, idle: 0.4 });
  });

  it('has each of its ways once', () => {
    const names = SYNC_WAYS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThanOrEqual(5);
  });
});
