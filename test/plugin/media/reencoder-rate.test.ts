import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createSourceRate, encodingBits, isOutgrown } from '../../../plugin/media/reencoder-rate.ts';

const LIMIT = 8_000_000;

describe('what is made of a source', () => {
  test.each([
    ['has what is allowed while nothing has been measured', 'V_MPEG4/ISO/AVC', 0, LIMIT, LIMIT],
    ['has a quarter more than its H.264', 'V_MPEG4/ISO/AVC', 2_500_000, LIMIT, 3_125_000],
    ['has twice its H.265', 'V_MPEGH/ISO/HEVC', 2_500_000, LIMIT, 5_000_000],
    ['has twice its AV1', 'V_AV1', 1_000_000, LIMIT, 2_000_000],
    ['has twice its VP9', 'V_VP9', 1_000_000, LIMIT, 2_000_000],
    ['has no more than is allowed', 'V_MPEG4/ISO/AVC', 20_000_000, LIMIT, LIMIT],
    ['has room for its keyframes', 'V_MPEG4/ISO/AVC', 20_000, LIMIT, 400_000],
    ['has no more than is allowed, be it little', 'V_MPEG4/ISO/AVC', 20_000, 100_000, 100_000],
  ] as const)('%s', (_, codecId, peakBits, limitBits, bits) => {
    expect(encodingBits(codecId, peakBits, limitBits)).toBe(bits);
  });

  test('never has more than is allowed, nor less when more is published', () => {
    const bits = fc.integer({ min: 1, max: 200_000_000 });
    fc.assert(
      fc.property(bits, bits, fc.integer({ min: 100_000, max: 100_000_000 }), (one, other, limitBits) => {
        const made = [Math.min(one, other), Math.max(one, other)].map((peakBits) =>
          encodingBits('V_AV1', peakBits, limitBits),
        );
        expect(made[0]).toBeLessThanOrEqual(made[1]!);
        expect(made[1]).toBeLessThanOrEqual(limitBits);
      }),
    );
  });
});

test.each([
  [1_000_000, 1_999_999, false],
  [1_000_000, 2_000_000, true],
  [8_000_000, 1_000_000, false],
])('a child of %i b/s makes way for one of %i b/s: %s', (bits, nextBits, outgrown) => {
  expect(isOutgrown(bits, nextBits)).toBe(outgrown);
});

test('the rate of a source is the most that it was, until there is another', () => {
  const rate = createSourceRate();
  const send = (fromMs: number, untilMs: number, bytes: number): void => {
    for (let atMs = fromMs; atMs < untilMs; atMs += 40) rate.add(bytes, atMs);
  };
  send(0, 2000, 1000);
  expect(rate.peakBits()).toBe(0);
  send(2000, 4000, 5000);
  expect(rate.peakBits()).toBe(200_000);
  send(4000, 12_000, 100);
  expect(rate.peakBits()).toBe(1_000_000);
  rate.reset();
  expect(rate.peakBits()).toBe(0);
});
