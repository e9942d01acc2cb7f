import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { Denial } from '../../../plugin/errors.ts';
import { createReplayMemory, type ReplayMemory } from '../../../plugin/ticket/index.ts';
import { FrozenClock } from './support.ts';

let clock: FrozenClock;
beforeEach(() => {
  clock = new FrozenClock();
});

/** `ok`, or the code of the refusal. */
function use(memory: ReplayMemory, id: string, code?: 'message_replayed'): string {
  try {
    memory.use(id, code);
    return 'ok';
  } catch (error) {
    return error instanceof Denial ? error.code : 'not a denial';
  }
}

describe('an id', () => {
  it('is good once', () => {
    const memory = createReplayMemory({ clock });
    expect(use(memory, 'a')).toBe('ok');
    expect(use(memory, 'a')).toBe('proof_replayed');
    expect(use(memory, 'b')).toBe('ok');
  });

  it('is refused by the code that the caller wants', () => {
    const memory = createReplayMemory({ clock });
    use(memory, 'a');
    expect(use(memory, 'a', 'message_replayed')).toBe('message_replayed');
  });

  it.each([0, 1, 89, 90, 150, 179])('is remembered for 180 s when first used at second %i', (second) => {
    const memory = createReplayMemory({ clock });
    clock.advanceSeconds(second);
    use(memory, 'a');
    for (let elapsed = 0; elapsed < 179; elapsed += 1) {
      clock.advanceSeconds(1);
      expect(use(memory, 'a')).toBe('proof_replayed');
    }
  });

  it('is forgotten after twice that time at most', () => {
    const memory = createReplayMemory({ clock });
    use(memory, 'a');
    clock.advanceSeconds(360);
    expect(memory.size()).toBe(0);
    expect(use(memory, 'a')).toBe('ok');
  });

  it('may be of any length', () => {
    const memory = createReplayMemory({ clock });
    const long = 'x'.repeat(100_000);
    expect(use(memory, `${long}1`)).toBe('ok');
    expect(use(memory, `${long}2`)).toBe('ok');
    expect(use(memory, `${long}1`)).toBe('proof_replayed');
  });
});

describe('a full memory', () => {
  it('refuses what is new and forgets nothing that is remembered', () => {
    const memory = createReplayMemory({ clock, capacity: 3 });
    for (const id of ['a', 'b', 'c']) expect(use(memory, id)).toBe('ok');
    expect(use(memory, 'd')).toBe('overloaded');
    for (const id of ['a', 'b', 'c']) expect(use(memory, id)).toBe('proof_replayed');
    expect(memory.size()).toBe(3);
  });

  it('has room again when what it holds is old', () => {
    const memory = createReplayMemory({ clock, capacity: 2 });
    use(memory, 'a');
    clock.advanceSeconds(180);
    expect(use(memory, 'b')).toBe('ok');
    expect(use(memory, 'c')).toBe('overloaded');
    clock.advanceSeconds(180);
    expect(use(memory, 'c')).toBe('ok');
    expect(use(memory, 'b')).toBe('proof_replayed');
  });
});

it('behaves as a list of all uses with their times would', () => {
  const ttlSeconds = 10;
  const step = fc.record({ wait: fc.nat(8), id: fc.constantFrom('a', 'b', 'c', 'd', 'e') });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const time = new FrozenClock();
      const memory = createReplayMemory({ clock: time, ttlSeconds, capacity: 4 });
      const usedAtMs = new Map<string, number>();
      for (const { wait, id } of steps) {
        time.advanceSeconds(wait);
        const outcome = use(memory, id);
        const ageMs = time.ms - (usedAtMs.get(id) ?? Number.NEGATIVE_INFINITY);
        if (ageMs < ttlSeconds * 1000) expect(outcome).toBe('proof_replayed');
        if (ageMs >= 2 * ttlSeconds * 1000) expect(outcome).not.toBe('proof_replayed');
        if (outcome === 'ok') usedAtMs.set(id, time.ms);
        expect(memory.size()).toBeLessThanOrEqual(4);
      }
    }),
    { seed: 1, numRuns: 500 },
  );
});

it('a capacity or a time that is not positive is refused', () => {
  expect(() => createReplayMemory({ clock, capacity: 0 })).toThrow(TypeError);
  expect(() => createReplayMemory({ clock, ttlSeconds: 0 })).toThrow(TypeError);
  expect(() => createReplayMemory({ clock, ttlSeconds: Number.NaN })).toThrow(TypeError);
});
