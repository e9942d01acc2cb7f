import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { createPassBook, isPass, PASS_SECONDS, type PassBook } from '../../../plugin/ticket/index.ts';

const clock = { ms: 0, monotonicMs: () => clock.ms };
let book: PassBook<string>;
beforeEach(() => {
  clock.ms = 1000;
  book = createPassBook<string>({ clock });
});

const take = (pass: string): string | undefined => book.take(pass)?.value;

describe('a pass', () => {
  it('is opaque, short, and never the same', () => {
    const passes = Array.from({ length: 100 }, (_, holder) => book.issue(String(holder), 'value'));
    expect(new Set(passes).size).toBe(100);
    for (const pass of passes) expect(pass).toMatch(/^ps_[A-Za-z0-9_-]{22}$/);
    expect(passes.every(isPass)).toBe(true);
  });

  it('is taken once', () => {
    const pass = book.issue('a', 'value');
    expect([take(pass), take(pass)]).toEqual(['value', undefined]);
  });

  it('is good for 60 s', () => {
    const [first, second] = [book.issue('a', 'first'), book.issue('a', 'second')];
    clock.ms += PASS_SECONDS * 1000 - 1;
    expect(take(first)).toBe('first');
    clock.ms += 1;
    expect(take(second)).toBeUndefined();
    expect(PASS_SECONDS).toBe(60);
  });

  it('can be given back, for what is left of its time, once more', () => {
    const pass = book.issue('a', 'value');
    clock.ms += 30_000;
    book.take(pass)?.restore();
    expect(take(pass)).toBe('value');
    expect(take(pass)).toBeUndefined();

    const late = book.issue('a', 'value');
    clock.ms += 59_000;
    book.take(late)?.restore();
    clock.ms += 1000;
    expect(take(late)).toBeUndefined();
  });

  it('that somebody makes up is none', () => {
    const pass = book.issue('a', 'value');
    for (const wrong of [
      '',
      'ps_',
      pass.slice(0, -1),
      `${pass}A`,
      pass.toUpperCase(),
      ` ${pass}`,
      'sk_' + pass.slice(3),
    ])
      expect(take(wrong)).toBeUndefined();
    expect(take(pass)).toBe('value');
  });
});

describe('the book', () => {
  it('keeps four passes of one holder: a fifth takes the place of the oldest', () => {
    const mine = [1, 2, 3, 4, 5].map((n) => book.issue('a', `a${n}`));
    const other = book.issue('b', 'b1');
    expect(mine.map(take)).toEqual([undefined, 'a2', 'a3', 'a4', 'a5']);
    expect(take(other)).toBe('b1');
  });

  it('counts only unused ones of a holder', () => {
    const passes = Array.from({ length: 10 }, (_, n) => {
      const pass = book.issue('a', `a${n}`);
      return take(pass);
    });
    expect(passes).toEqual(Array.from({ length: 10 }, (_, n) => `a${n}`));
  });

  it('refuses above its capacity, until passes are used or too old', () => {
    book = createPassBook<string>({ clock, capacity: 3 });
    const [first] = ['a', 'b', 'c'].map((holder) => book.issue(holder, holder));
    expect(() => book.issue('d', 'd')).toThrow(expect.objectContaining({ code: 'overloaded' }));
    // Who has passes may exchange the oldest of them: it makes no more of them.
    book = createPassBook<string>({ clock, capacity: 3, perHolder: 1 });
    const [old, , newest] = ['a', 'b', 'c', 'c'].map((holder) => book.issue(holder, holder));
    expect([take(old ?? ''), take(newest ?? '')]).toEqual(['a', undefined]);
    expect(isPass(book.issue('d', 'd'))).toBe(true);
    expect(() => book.issue('e', 'e')).toThrow(expect.objectContaining({ code: 'overloaded' }));
    clock.ms += 60_000;
    expect(isPass(book.issue('e', 'e'))).toBe(true);
    expect(take(first ?? '')).toBeUndefined();
  });

  it('keeps no pass, only its hash', () => {
    const seen = new Set<unknown>();
    const put = Map.prototype.set;
    // Whatever the book remembers, it remembers in a Map or a Set.
    const add = Set.prototype.add;
    Map.prototype.set = function (key: unknown, value: unknown) {
      add.call(seen, key);
      return put.call(this, key, value);
    };
    Set.prototype.add = function (value: unknown) {
      add.call(seen, value);
      return add.call(this, value);
    };
    let pass: string;
    try {
      pass = book.issue('holder', 'value');
    } finally {
      Map.prototype.set = put;
      Set.prototype.add = add;
    }
    expect(seen.size).toBeGreaterThan(0);
    expect([...seen].some((entry) => typeof entry === 'string' && entry.includes(pass.slice(3)))).toBe(false);
  });

  it('agrees with a model, whatever is issued, taken, given back and waited for', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('issue' as const), holder: fc.constantFrom('a', 'b') }),
      fc.record({ do: fc.constantFrom('take' as const, 'restore' as const), which: fc.nat(20) }),
      fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 40_000 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        book = createPassBook<string>({ clock, perHolder: 100 });
        const passes: { pass: string; untilMs: number; used: boolean }[] = [];
        for (const each of steps) {
          if (each.do === 'issue') {
            const untilMs = clock.ms + 60_000;
            passes.push({ pass: book.issue(each.holder, 'value'), untilMs, used: false });
          } else if (each.do === 'wait') clock.ms += each.ms;
          else {
            const known = passes[each.which];
            if (known === undefined) continue;
            const taken = book.take(known.pass);
            expect(taken !== undefined).toBe(!known.used && clock.ms < known.untilMs);
            known.used = true;
            if (each.do === 'restore' && taken !== undefined) {
              taken.restore();
              known.used = false;
            }
          }
        }
      }),
    );
  });
});
