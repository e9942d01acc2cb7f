import { describe, expect, it, test } from 'vitest';
import { BAR_BYTES, BAR_SECONDS, faultsOfMetering, type MeteringRow } from '../../tools/campaign/metering.ts';
import { createTally } from '../../tools/campaign/metering-readers.ts';

const counted = { mediaMs: 180_000, bytes: 10_000_000 };
const row: MeteringRow = { name: 'way', counted, billed: counted, sessions: 3 };
const billed = (changes: Partial<MeteringRow['billed']>): MeteringRow => ({
  ...row,
  billed: { ...counted, ...changes },
});

describe('the campaign of the meter', () => {
  test.each<[string, MeteringRow]>([
    ['what was counted', row],
    ['a second more', billed({ mediaMs: counted.mediaMs + BAR_SECONDS * 1000 })],
    ['a second less', billed({ mediaMs: counted.mediaMs - BAR_SECONDS * 1000 })],
    ['nearly a hundredth of the bytes more', billed({ bytes: counted.bytes * (1 + BAR_BYTES) - 1 })],
    ['nearly a hundredth of the bytes less', billed({ bytes: counted.bytes * (1 - BAR_BYTES) + 1 })],
  ])('takes %s', (_what, good) => {
    expect(faultsOfMetering([good])).toEqual([]);
  });

  test.each<[string, MeteringRow, RegExp]>([
    ['more than a second', billed({ mediaMs: 181_010 }), /^way: billed 1.01 s beyond/],
    ['less than a second', billed({ mediaMs: 178_990 }), /^way: billed -1.01 s beyond/],
    ['too many bytes', billed({ bytes: 10_110_000 }), /^way: billed 1.10% of the bytes beyond/],
    ['too few bytes', billed({ bytes: 9_890_000 }), /^way: billed -1.10% of the bytes beyond/],
    [
      'nothing at all',
      { ...row, counted: { mediaMs: 0, bytes: 0 }, billed: { mediaMs: 0, bytes: 0 } },
      /NaN/,
    ],
    ['a session that was billed beside', { ...row, sessions: 4 }, /^way: 4 sessions, not 3/],
  ])('refuses %s', (_what, bad, message) => {
    expect(faultsOfMetering([bad])).toContainEqual(expect.stringMatching(message));
  });

  it.each<[string, number[], number]>([
    ['adds up the time from moment to moment', [0, 40, 1040], 1040],
    ['leaves out what is longer than a second', [0, 500, 1501, 1601], 600],
    ['takes tracks that are interleaved', [100, 90, 140, 120, 160], 60],
  ])('%s', (_what, moments, sumMs) => {
    const tally = createTally();
    for (const moment of moments) tally.at(moment);
    expect(tally.sumMs()).toBe(sumMs);
  });
});
