import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Revocation } from '../../../plugin/contract.ts';
import type { Revocable } from '../../../plugin/ports.ts';
import { createRevocationList } from '../../../plugin/revocations/list.ts';
import { SESSION_ID, TICKET_ID } from '../../support/doubles.ts';
import { revocationOf } from '../../support/revocations.ts';
import { FrozenClock } from '../ticket/support.ts';

const JKT = 'k'.repeat(43);
const TARGET: Revocable = { ticketId: TICKET_ID, subject: 'order-1', jkt: JKT, sessionId: SESSION_ID };

let clock: FrozenClock;
beforeEach(() => {
  clock = new FrozenClock();
});
const nowSeconds = (): number => clock.ms / 1000;

describe('a session is found', () => {
  it.each<[string, Revocation['kind'], string, Partial<Revocable>, string | null]>([
    ['by its ticket', 'ticket', TICKET_ID, {}, 'revoked'],
    ['by its ticket in capitals', 'ticket', TICKET_ID.toUpperCase(), {}, 'revoked'],
    ['by its order', 'subject', 'order-1', {}, 'revoked'],
    ['by its key', 'key', JKT, {}, 'revoked'],
    ['by itself', 'session', SESSION_ID, {}, 'kicked'],
    ['not by another order', 'subject', 'order-10', {}, null],
    ['not by an order that is called like its ticket', 'subject', TICKET_ID, {}, null],
    ['not by an order in other letters', 'subject', 'Order-1', {}, null],
    ['not by a key when it has none', 'key', JKT, { jkt: null }, null],
    ['not by a kick before it is a session', 'session', SESSION_ID, { sessionId: null }, null],
    ['not by the kick of another one', 'session', TICKET_ID, {}, null],
  ])('%s', (_name, kind, value, change, expected) => {
    const list = createRevocationList({ clock });
    expect(list.find({ ...TARGET, ...change })).toBe(null);
    list.add(revocationOf(kind, value));
    expect(list.find({ ...TARGET, ...change })).toBe(expected);
  });
});

it('what is revoked and kicked is revoked', () => {
  const list = createRevocationList({ clock });
  list.add(revocationOf('session', SESSION_ID));
  list.add(revocationOf('ticket', TICKET_ID));
  expect(list.find(TARGET)).toBe('revoked');
});

it('a staged list replaces the one that holds, and only when it is complete', () => {
  const list = createRevocationList({ clock });
  list.add(revocationOf('subject', 'old'));
  const staged = list.stage();
  staged.add([revocationOf('subject', 'new')]);
  expect(list.find({ ...TARGET, subject: 'old' })).toBe('revoked');
  expect(list.find({ ...TARGET, subject: 'new' })).toBe(null);
  staged.commit();
  expect(list.find({ ...TARGET, subject: 'old' })).toBe(null);
  expect(list.find({ ...TARGET, subject: 'new' })).toBe('revoked');
});

describe('an entry', () => {
  it('is kept until its time is past, and dropped by the sweep after it', () => {
    const list = createRevocationList({ clock });
    list.add({ ...revocationOf('subject', 'order-1'), until: nowSeconds() + 10 });
    clock.advanceSeconds(10);
    list.sweep(100);
    expect(list.find(TARGET)).toBe('revoked');
    clock.advanceSeconds(1);
    list.sweep(100);
    expect(list.size()).toBe(0);
  });

  it('whose time is past when it comes is not kept', () => {
    const list = createRevocationList({ clock });
    list.add({ ...revocationOf('subject', 'order-1'), until: nowSeconds() - 1 });
    expect(list.size()).toBe(0);
  });

  it('is kept for the longer of two times', () => {
    const list = createRevocationList({ clock });
    list.add({ ...revocationOf('subject', 'order-1'), until: nowSeconds() + 100 });
    list.add({ ...revocationOf('subject', 'order-1'), until: nowSeconds() + 10 });
    clock.advanceSeconds(50);
    list.sweep(100);
    expect(list.find(TARGET)).toBe('revoked');
  });
});

it('a full list keeps what it has, says that it is not complete, and is complete again with a list that fits', () => {
  const list = createRevocationList({ clock, capacity: 2 });
  for (const subject of ['a', 'b', 'b']) list.add(revocationOf('subject', subject));
  expect(list.isComplete()).toBe(true);
  list.add(revocationOf('subject', 'c'));
  expect(list.isComplete()).toBe(false);
  expect(list.size()).toBe(2);
  expect(list.find({ ...TARGET, subject: 'a' })).toBe('revoked');
  const tooLarge = list.stage();
  tooLarge.add(['a', 'b', 'c'].map((subject) => revocationOf('subject', subject)));
  tooLarge.commit();
  expect(list.isComplete()).toBe(false);
  const small = list.stage();
  small.add([revocationOf('subject', 'a')]);
  small.commit();
  expect(list.isComplete()).toBe(true);
});

it('a capacity that is not positive is refused', () => {
  expect(() => createRevocationList({ clock, capacity: 0 })).toThrow(TypeError);
});

it('sweeping in small steps between other changes drops all that is past, and nothing else', () => {
  const step = fc.oneof(
    fc.record({ add: fc.nat(30), lives: fc.integer({ min: 1, max: 20 }) }),
    fc.record({ wait: fc.nat(5) }),
    fc.record({ sweep: fc.nat(7) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      clock = new FrozenClock();
      const list = createRevocationList({ clock });
      const until = new Map<string, number>();
      for (const one of steps) {
        if ('wait' in one) clock.advanceSeconds(one.wait);
        else if ('sweep' in one) list.sweep(one.sweep);
        else {
          const subject = `order-${one.add}`;
          const time = nowSeconds() + one.lives;
          list.add({ ...revocationOf('subject', subject), until: time });
          until.set(subject, Math.max(time, until.get(subject) ?? 0));
        }
        for (const [subject, time] of until) {
          if (time >= nowSeconds()) expect(list.find({ ...TARGET, subject })).toBe('revoked');
        }
      }
      for (let round = 0; round < 3; round += 1) list.sweep(100);
      const alive = [...until.values()].filter((time) => time >= nowSeconds());
      expect(list.size()).toBe(alive.length);
    }),
    { seed: 5, numRuns: 300 },
  );
});
