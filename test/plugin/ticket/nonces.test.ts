import { beforeEach, describe, expect, it } from 'vitest';
import { createNonces, type Nonces } from '../../../plugin/ticket/index.ts';
import { flipBit, FrozenClock } from './support.ts';

const secret = new Uint8Array(32).fill(1);
let clock: FrozenClock;
let nonces: Nonces;

beforeEach(() => {
  clock = new FrozenClock();
  clock.ms = 1_770_000_000_000 - (1_770_000_000_000 % 60_000);
  nonces = createNonces({ secret, clock });
});

describe('a nonce', () => {
  it('is short text that fits a header', () => {
    expect(nonces.current()).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });

  it.each([
    [0, true],
    [59, true],
    [60, true],
    [119, true],
    [120, false],
    [86_400, false],
  ])('from the start of a period is, after %i s, current: %s', (seconds, isCurrent) => {
    const nonce = nonces.current();
    clock.advanceSeconds(seconds);
    expect(nonces.isCurrent(nonce)).toBe(isCurrent);
  });

  it('from the end of a period lives for one more', () => {
    clock.advanceSeconds(59);
    const nonce = nonces.current();
    clock.advanceSeconds(60);
    expect(nonces.isCurrent(nonce)).toBe(true);
    clock.advanceSeconds(1);
    expect(nonces.isCurrent(nonce)).toBe(false);
  });

  it('changes with the period', () => {
    const before = nonces.current();
    clock.advanceSeconds(60);
    expect(nonces.current()).not.toBe(before);
  });

  it('of the next period is not current yet', () => {
    const other = createNonces({ secret, clock });
    clock.advanceSeconds(60);
    const next = other.current();
    clock.advanceSeconds(-60);
    expect(nonces.isCurrent(next)).toBe(false);
  });

  it('that is dead stays dead when the clock is set back', () => {
    const dead = nonces.current();
    clock.advanceSeconds(120);
    expect(nonces.isCurrent(dead)).toBe(false);
    clock.advanceSeconds(-120);
    expect(nonces.isCurrent(dead)).toBe(false);
    expect(nonces.isCurrent(nonces.current())).toBe(true);
  });

  it('is shared by processes with the same secret, and by no others', () => {
    expect(createNonces({ secret, clock }).isCurrent(nonces.current())).toBe(true);
    const other = createNonces({ secret: new Uint8Array(32).fill(2), clock });
    expect(other.isCurrent(nonces.current())).toBe(false);
  });

  it('with any bit inverted, empty, or longer is not current', () => {
    const nonce = nonces.current();
    for (let bit = 0; bit < nonce.length * 8; bit += 1) {
      expect(nonces.isCurrent(flipBit(nonce, bit))).toBe(false);
    }
    expect(nonces.isCurrent('')).toBe(false);
    expect(nonces.isCurrent(`${nonce}A`)).toBe(false);
  });
});

it('a short secret or a period that is not positive is refused', () => {
  expect(() => createNonces({ secret: new Uint8Array(31), clock })).toThrow(TypeError);
  expect(() => createNonces({ secret, clock, periodSeconds: 0 })).toThrow(TypeError);
  expect(() => createNonces({ secret, clock, periodSeconds: Number.NaN })).toThrow(TypeError);
});
