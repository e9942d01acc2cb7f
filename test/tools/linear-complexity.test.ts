import { randomBytes, randomInt } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CHARACTERS_NEEDED,
  drawnFromMersenneTwister,
  linearComplexity,
} from '../../tools/mediasoup-worker/linear-complexity.ts';

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz';

/** std::mt19937_64 (ISO C++ [rand.predef]), 64-bit draws. */
function* mersenneTwister64(seed: bigint): Generator<bigint, never> {
  const mask = (1n << 64n) - 1n;
  const state = [seed & mask];
  for (let i = 1; i < 312; i++) {
    const before = state[i - 1]!;
    state.push((6364136223846793005n * (before ^ (before >> 62n)) + BigInt(i)) & mask);
  }
  for (let at = 0; ; at = (at + 1) % 312) {
    const joined = (state[at]! & 0xffffffff80000000n) | (state[(at + 1) % 312]! & 0x7fffffffn);
    const twisted = (joined >> 1n) ^ ((joined & 1n) === 1n ? 0xb5026f5aa96619e9n : 0n);
    let x = (state[at] = state[(at + 156) % 312]! ^ twisted);
    x ^= (x >> 29n) & 0x5555555555555555n;
    x ^= (x << 17n) & 0x71d67fffeda60000n & mask;
    x ^= (x << 37n) & 0xfff7eee000000000n & mask;
    x ^= x >> 43n;
    yield x;
  }
}

describe('linear complexity', () => {
  test.each([
    ['no bits', [], 0],
    ['all zeros', [0, 0, 0, 0], 0],
    ['a one at the end of zeros', [0, 0, 0, 0, 1], 5],
    ['all ones', [1, 1, 1, 1, 1, 1], 1],
    ['alternating bits', [0, 1, 0, 1, 0, 1], 2],
    ['the m-sequence of x^3 + x + 1', [0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1], 3],
  ])('of %s', (_, bits, expected) => {
    expect(linearComplexity(Uint8Array.from(bits))).toBe(expected);
  });

  test('never exceeds the register that made the sequence', () => {
    const register = fc.uint8Array({ min: 0, max: 1, minLength: 1, maxLength: 70 });
    fc.assert(
      fc.property(register, fc.infiniteStream(fc.integer({ min: 0, max: 1 })), (taps, start) => {
        const bits = Array.from(start.take(taps.length));
        while (bits.length < 300) {
          bits.push(taps.reduce((sum, tap, i) => sum ^ (tap & bits[bits.length - 1 - i]!), 0));
        }
        expect(linearComplexity(Uint8Array.from(bits))).toBeLessThanOrEqual(taps.length);
      }),
    );
  });

  test('is about half the length for unpredictable bits', () => {
    const bits = Uint8Array.from(randomBytes(4000), (byte) => byte & 1);
    expect(Math.abs(linearComplexity(bits) - 2000)).toBeLessThan(64);
  });
});

describe('random characters', () => {
  test('the generator below is the one of the C++ standard', () => {
    // [rand.predef]: the 10000th draw of a default-constructed mt19937_64.
    const draws = mersenneTwister64(5489n);
    let last = 0n;
    for (let i = 0; i < 10_000; i++) last = draws.next().value;
    expect(last).toBe(9981545732273789042n);
  });

  test('drawn as an unpatched worker draws them are recognized', () => {
    const draws = mersenneTwister64(randomBytes(8).readBigUInt64BE());
    const skipped = randomInt(2000);
    for (let i = 0; i < skipped; i++) draws.next();
    let characters = '';
    for (let i = 0; i < CHARACTERS_NEEDED; i++)
      characters += ALPHABET[Number((draws.next().value * 36n) >> 64n)];
    expect(drawnFromMersenneTwister(characters)).toBe(true);
  });

  test('drawn from an unpredictable source pass', () => {
    const characters = Array.from({ length: CHARACTERS_NEEDED }, () => ALPHABET[randomInt(36)]).join('');
    expect(drawnFromMersenneTwister(characters)).toBe(false);
  });

  test('that are too few to tell are refused', () => {
    expect(() => drawnFromMersenneTwister('a'.repeat(1000))).toThrow(TypeError);
  });
});
