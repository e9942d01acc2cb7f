/** Reservations at the order server, one every 10 ms, while 30 people sign in at once; and while nobody does. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { uuidv7 } from 'uuidv7';
import { DEMO_LOGINS } from '../admin/seed.ts';
import { systemClock } from '../plugin/clock.ts';
import { createOrderServer } from '../plugin/order-server.ts';
import { loadOrCreateServerKeys } from '../plugin/server-keys.ts';
import { buy, createTitleWithOffer, signIn } from '../test/support/shop.ts';
import { stackEnvironment, startProcess } from '../test/support/stack.ts';

const LOGINS = 30;
const EVERY_MS = 10;
const WARM_UP_RESERVATIONS = 200;
/** Viewers who come again and again: each has a ticket, as each viewer has. */
const TICKETS = 100;

const SIGN_IN =
  'mutation ($email: String!, $password: String!) { signIn(email: $email, password: $password) { token } }';

/** A login that hashes and fails. Each round comes from addresses of its own, for the limits per address. */
async function login(orderUrl: string, round: number, number: number): Promise<void> {
  const response = await fetch(`${orderUrl}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-forwarded-for': `192.0.${round}.${number + 1}` },
    body: JSON.stringify({
      query: SIGN_IN,
      variables: { email: `nobody-${round}-${number}@example.com`, password: 'not a password of anybody' },
    }),
  });
  const { errors } = (await response.json()) as { errors?: { extensions?: { code?: string } }[] };
  const code = errors?.[0]?.extensions?.code;
  if (code !== 'credentials_invalid')
    throw new Error(`a login was not answered as it must be: ${String(code)}`);
}

export interface Latencies {
  /** Milliseconds from request to answer. */
  readonly idleMs: number[];
  readonly whileHashingMs: number[];
}

/** Measures both, in turn, `rounds` times. */
export async function reservationLatencies(
  rounds: number,
  progress: (line: string) => void,
): Promise<Latencies> {
  const { dataDir, env, orderUrl, mediaUrl } = await stackEnvironment();
  const order = await startProcess('admin/main.ts', { ...env, USHER_TRUSTED_PROXIES: '1' });
  try {
    const staff = DEMO_LOGINS.find(({ email }) => email.startsWith('staff'));
    if (staff === undefined) throw new Error('no staff account');
    const token = await signIn(orderUrl, staff);
    const { offerId } = await createTitleWithOffer(orderUrl, token, '/live/bench', {
      rights: { accesses: 100_000 },
    });
    const tickets: string[] = [];
    for (let count = 0; count < TICKETS; count++) tickets.push((await buy(orderUrl, offerId, token)).ticket);
    const keys = await loadOrCreateServerKeys(join(dataDir, 'media'), 'demo', mediaUrl);
    const { reserve } = createOrderServer({
      url: orderUrl,
      serverId: 'demo',
      signingKey: () => keys.signing,
      clock: systemClock,
    });
    let turn = 0;
    const timed = async (): Promise<number> => {
      const ticket = tickets[turn++ % TICKETS];
      if (ticket === undefined) throw new Error('no ticket');
      const startMs = performance.now();
      await reserve(uuidv7(), randomUUID(), ticket);
      return performance.now() - startMs;
    };
    /** One reservation every 10 ms, whether or not the one before was answered, until the work is done. */
    const during = async (work: Promise<unknown>): Promise<number[]> => {
      const running: Promise<number>[] = [];
      const timer = setInterval(() => running.push(timed()), EVERY_MS);
      try {
        await work;
      } finally {
        clearInterval(timer);
      }
      return Promise.all(running);
    };
    for (let count = 0; count < WARM_UP_RESERVATIONS; count++) await timed();
    const idleMs: number[] = [];
    const whileHashingMs: number[] = [];
    const logins = (round: number): Promise<unknown> =>
      Promise.all(Array.from({ length: LOGINS }, (_, number) => login(orderUrl, round, number)));
    // The first logins of a process are compiled while they run.
    await during(logins(rounds));
    for (let round = 0; round < rounds; round++) {
      whileHashingMs.push(...(await during(logins(round))));
      idleMs.push(...(await during(new Promise((resolve) => setTimeout(resolve, 1000)))));
      progress(`round ${round + 1} of ${rounds}`);
    }
    return { idleMs, whileHashingMs };
  } finally {
    await order.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}
