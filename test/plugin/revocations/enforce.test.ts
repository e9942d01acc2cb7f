import { expect, it } from 'vitest';
import type { EndReason, Revocation } from '../../../plugin/contract.ts';
import type { Revocable } from '../../../plugin/ports.ts';
import { createEnforcer, type RevocableSession } from '../../../plugin/revocations/enforce.ts';
import { revocationOf } from '../../support/revocations.ts';

const uuid = (number: number): string => `01936f7e-0000-7000-8000-${String(number).padStart(12, '0')}`;

interface TestSession extends RevocableSession {
  readonly reasons: EndReason[];
  finish(): void;
}

function sessionOf(grant: Revocable): TestSession {
  const { promise, resolve } = Promise.withResolvers<void>();
  const reasons: EndReason[] = [];
  return {
    grant,
    reasons,
    ended: promise,
    finish: resolve,
    end: async (reason) => {
      reasons.push(reason);
      resolve();
      await promise;
    },
  };
}

function setUp() {
  let listener: (entry: Revocation | null) => void = () => undefined;
  const looked: Revocable[] = [];
  const revocations = {
    answer: (_target: Revocable): 'revoked' | 'kicked' | null => null,
    find: (target: Revocable) => {
      looked.push(target);
      return revocations.answer(target);
    },
    isStale: () => false,
    onChange: (given: typeof listener) => void (listener = given),
  };
  return {
    revocations,
    looked,
    enforcer: createEnforcer(revocations),
    tell: (entry: Revocation | null) => listener(entry),
  };
}

/** Session n of ticket n / 2, order n / 4, key n / 8. */
const grantOf = (number: number): Revocable => ({
  ticketId: uuid(Math.floor(number / 2)),
  subject: `order-${Math.floor(number / 4)}`,
  jkt: `key-${Math.floor(number / 8)}`.padEnd(43, 'x'),
  sessionId: uuid(1000 + number),
});

it.each<[Revocation['kind'], string, number[], EndReason]>([
  ['session', uuid(1005), [5], 'kicked'],
  ['session', uuid(1005).toUpperCase(), [5], 'kicked'],
  ['ticket', uuid(2), [4, 5], 'revoked'],
  ['subject', 'order-1', [4, 5, 6, 7], 'revoked'],
  ['key', 'key-0'.padEnd(43, 'x'), [0, 1, 2, 3, 4, 5, 6, 7], 'revoked'],
  ['subject', 'order-9', [], 'revoked'],
])('an entry for %s %s ends just the sessions that it concerns', (kind, value, expected, reason) => {
  const { enforcer, tell, looked } = setUp();
  const sessions = Array.from({ length: 16 }, (_, number) => sessionOf(grantOf(number)));
  for (const session of sessions) enforcer.watch(session);
  const before = looked.length;
  tell(revocationOf(kind, value));
  const ended = sessions.flatMap(({ reasons }, number) => (reasons.length > 0 ? [number] : []));
  expect(ended).toEqual(expected);
  expect(sessions.flatMap(({ reasons }) => reasons)).toEqual(expected.map(() => reason));
  expect(looked).toHaveLength(before);
});

it('a session without a key is found by the rest', () => {
  const { enforcer, tell } = setUp();
  const session = sessionOf({ ...grantOf(1), jkt: null });
  enforcer.watch(session);
  tell(revocationOf('subject', 'order-0'));
  expect(session.reasons).toEqual(['revoked']);
});

it('a new list is held against every session once', () => {
  const { enforcer, tell, looked, revocations } = setUp();
  const sessions = [0, 1, 2].map((number) => sessionOf(grantOf(number)));
  for (const session of sessions) enforcer.watch(session);
  looked.length = 0;
  const answers = ['revoked', null, 'kicked'] as const;
  revocations.answer = ({ sessionId }) => answers[Number(sessionId?.slice(-1))] ?? null;
  tell(null);
  expect(sessions.map(({ reasons }) => reasons)).toEqual([['revoked'], [], ['kicked']]);
  expect(looked).toHaveLength(3);
});

it('a session that is revoked already ends at once', () => {
  const { enforcer, revocations } = setUp();
  revocations.answer = () => 'revoked';
  const session = sessionOf(grantOf(0));
  enforcer.watch(session);
  expect(session.reasons).toEqual(['revoked']);
});

it('a session that has ended is forgotten, those beside it are not', async () => {
  const { enforcer, tell, looked } = setUp();
  const [first, second] = [sessionOf(grantOf(0)), sessionOf(grantOf(1))];
  enforcer.watch(first);
  enforcer.watch(second);
  first.finish();
  await first.ended;
  tell(revocationOf('ticket', uuid(0)));
  expect([first.reasons, second.reasons]).toEqual([[], ['revoked']]);
  await second.ended;
  looked.length = 0;
  tell(null);
  expect(looked).toEqual([]);
});

it('an entry costs what it concerns: the other sessions are not even looked at', () => {
  const { enforcer, tell } = setUp();
  let reads = 0;
  for (let number = 0; number < 1000; number += 1) {
    const session = sessionOf(grantOf(number));
    const counting = Object.defineProperty({ ...session }, 'grant', {
      get: () => {
        reads += 1;
        return session.grant;
      },
    });
    enforcer.watch(counting);
  }
  reads = 0;
  tell(revocationOf('ticket', uuid(900_000)));
  tell(revocationOf('ticket', uuid(7)));
  expect(reads).toBe(0);
});
