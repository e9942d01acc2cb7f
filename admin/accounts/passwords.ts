import argon2 from 'argon2';
import { Denial } from '../../plugin/errors.ts';

/** OWASP's Argon2id: 19 MiB, 2 passes, 1 lane. */
const PARAMETERS = { type: argon2.argon2id, memoryCost: 19 * 1024, timeCost: 2, parallelism: 1 } as const;

/** Hashes that may wait; at about 30 ms each, the last waits for about a second. */
const MAX_WAITING = 32;

let waiting = 0;
let last: Promise<unknown> = Promise.resolve();

/**
 * One hash at a time: argon2 shares libuv's few threads with WebCrypto, and 30 logins at once would hold up every
 * signature behind them.
 */
async function alone<T>(work: () => Promise<T>): Promise<T> {
  if (waiting >= MAX_WAITING) throw new Denial('rate_limited', { retryAfterSeconds: 2 });
  waiting++;
  const turn = last.then(work);
  last = turn.catch(() => undefined);
  try {
    return await turn;
  } finally {
    waiting--;
  }
}

/**
 * Argon2id in PHC form.
 * @throws Denial `rate_limited` when too many hashes wait.
 */
export function hashPassword(password: string): Promise<string> {
  return alone(() => argon2.hash(password, PARAMETERS));
}

/** True for a hash that was made with less than is asked for today. */
export function isOutdated(hash: string): boolean {
  return argon2.needsRehash(hash, PARAMETERS);
}

let dummy: Promise<string> | undefined;

/**
 * Compares a password with the hash that `find` answers, with as much work when it answers none (no such account). It
 * is asked when the password's turn has come: many logins at once put no crowd of queries before an admission.
 * @throws Denial `rate_limited` when too many hashes wait, and what `find` throws.
 */
export function verifyPassword(find: () => Promise<string | null>, password: string): Promise<boolean> {
  return alone(async () => {
    dummy ??= argon2.hash('no account has this password', PARAMETERS).catch((error: unknown) => {
      dummy = undefined;
      throw error;
    });
    const stand = await dummy;
    const hash = await find();
    const right = await argon2.verify(hash ?? stand, password);
    return right && hash !== null;
  });
}
