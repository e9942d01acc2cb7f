/**
 * The campaign of kills: the media server, the order server and PostgreSQL are killed at random under viewers who buy,
 * watch, leave and come back. Then the books are held against what the viewers have counted.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDatabase } from '../../admin/db/connect.ts';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { eventually } from '../../test/support/flv-readers.ts';
import { createOffer, graphql, offersOf, signIn } from '../../test/support/shop.ts';
import { DEMO_PATH } from '../../test/support/stack.ts';
import { compare, faultsOfBooks, readBooks, unsettled, type Books, type ChaosTruth } from './chaos-books.ts';
import { startChaosStack, VICTIMS, type ChaosStack, type Victim } from './chaos-servers.ts';
import { startChaosViewer, type ChaosViewer } from './chaos-viewers.ts';
import { createRandom } from './random.ts';

export interface ChaosOptions {
  readonly kills: number;
  readonly viewers: number;
  /** Of who is killed and when, and of what each viewer does; how the processes answer is not in it. */
  readonly seed: number;
  /** No more kills after so long. */
  readonly withinMs: number;
  /** A server lives for up to so long after it was awaited, and stays away for up to so long. Default 1,500. */
  readonly pauseMs?: number;
  readonly progress?: (kill: number, victim: Victim, watching: number) => void;
}

export interface ChaosResult {
  readonly kills: Readonly<Record<Victim, number>>;
  readonly failedStarts: Readonly<Record<Victim, number>>;
  /** Viewers that were being sent media at each kill. */
  readonly watching: readonly number[];
  readonly books: Books;
  readonly truth: ChaosTruth;
  /** What went wrong beside the books. */
  readonly faults: readonly string[];
}

const RECEIPT_SECONDS = 2;
/** A media server is killed when most viewers are back, or after so long. */
const MOST = 0.7;
const BACK_WITHIN_MS = 8000;
const ALL_BACK_WITHIN_MS = 60_000;
const SETTLED_WITHIN_MS = 120_000;
const BUYERS = 5;
const BALANCE_MINOR = 100_000_000;

/** Accounts with play money. */
async function openAccounts({ orderUrl }: ChaosStack): Promise<string[]> {
  const open = async (): Promise<string> => {
    const { signUp } = await graphql<{ signUp: { token: string } }>(
      orderUrl,
      'mutation ($email: String!) { signUp(email: $email, password: "correct horse battery", name: "Chaos") { token } }',
      { email: `${randomUUID()}@example.com` },
    );
    await graphql(
      orderUrl,
      'mutation ($amount: SafeInt!) { topUp(amountMinor: $amount, currency: "EUR", idempotencyKey: "chaos-balance") { id } }',
      { amount: BALANCE_MINOR },
      signUp.token,
    );
    return signUp.token;
  };
  return Promise.all(Array.from({ length: BUYERS }, open));
}

/**
 * Uncounted ones, for which the order server need not be there; counted ones; and by the minute, one session at a time:
 * after a crash its buyer waits until the order server has heard of the end of the session before.
 */
async function makeOffers({ orderUrl }: ChaosStack): Promise<string[]> {
  const admin = DEMO_LOGINS.find(({ role }) => role === 'admin');
  if (admin === undefined) throw new Error('the demo has no staff');
  const staff = await signIn(orderUrl, admin);
  const { title } = await graphql<{ title: { id: string } }>(
    orderUrl,
    'query ($path: String) { title(path: $path) { id } }',
    { path: DEMO_PATH },
  );
  const uncounted = await createOffer(orderUrl, staff, title.id, { priceMinor: 50 });
  const counted = await createOffer(orderUrl, staff, title.id, { priceMinor: 299, rights: { accesses: 20 } });
  const byTheMinute = (await offersOf(orderUrl, DEMO_PATH)).get('By the minute');
  if (byTheMinute === undefined) throw new Error('the demo has no such offer');
  return [uncounted, uncounted, counted, counted, byTheMinute.id];
}

async function killAll(
  { servers }: ChaosStack,
  viewers: readonly ChaosViewer[],
  { kills, seed, withinMs, pauseMs = 1500, progress }: ChaosOptions,
): Promise<number[]> {
  const random = createRandom(seed);
  const deadlineMs = performance.now() + withinMs;
  const count = (): number => viewers.filter((viewer) => viewer.isWatching()).length;
  const mostWatch = (): boolean => count() >= viewers.length * MOST;
  const watching: number[] = [];
  while (watching.length < kills && performance.now() < deadlineMs) {
    const [victim, lifeMs, awayMs] = [random.pick(VICTIMS), random.int(pauseMs), random.int(pauseMs)];
    await servers[victim].whenUp();
    if (victim === 'media server') await eventually(mostWatch, BACK_WITHIN_MS).catch(() => undefined);
    await sleep(lifeMs);
    if (!servers[victim].isUp()) continue;
    watching.push(count());
    progress?.(watching.length, victim, count());
    await servers[victim].kill(awayMs);
  }
  return watching;
}

const byVictim = <T>(of: (victim: Victim) => T): Record<Victim, T> => ({
  'media server': of('media server'),
  'order server': of('order server'),
  PostgreSQL: of('PostgreSQL'),
});

/** Sessions that run, and receipts that the order server has not got. */
async function underWay({ mediaUrl }: ChaosStack): Promise<number> {
  const metrics = await (await fetch(`${mediaUrl}/metrics`)).text();
  return ['usher_sessions', 'usher_receipts_waiting'].reduce((sum, name) => {
    const value = new RegExp(`^${name} (\\d+)$`, 'm').exec(metrics)?.[1];
    // Without it everything would seem to have settled.
    if (value === undefined) throw new Error(`the media server says no ${name}`);
    return sum + Number(value);
  }, 0);
}

/** Waits for the receipts to arrive, and for what is due to be charged. */
async function settle(stack: ChaosStack, faults: string[]): Promise<Books> {
  const database = await openDatabase({ kind: 'postgres', url: stack.databaseUrl });
  try {
    const deadlineMs = performance.now() + SETTLED_WITHIN_MS;
    for (;;) {
      const left = (await underWay(stack)) || (await unsettled(database.db));
      if (left === 0) break;
      if (performance.now() > deadlineMs) {
        faults.push(`${left} sessions, receipts and orders have not settled`);
        break;
      }
      await sleep(250);
    }
    return await readBooks(database.db);
  } finally {
    await database.close();
  }
}

/** Kills, waits until all have come back, and reads the books. Ends by itself. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const stack = await startChaosStack(DEMO_PATH, RECEIPT_SECONDS);
  const viewers: ChaosViewer[] = [];
  try {
    const [tokens, offerIds] = [await openAccounts(stack), await makeOffers(stack)];
    for (let number = 0; number < options.viewers; number++) {
      const token = tokens[number % tokens.length] ?? '';
      const seed = options.seed + 1 + number;
      viewers.push(startChaosViewer({ stack, path: DEMO_PATH, offerIds, token, seed }));
    }
    const allWatch = (): boolean => viewers.every((viewer) => viewer.isWatching());
    await eventually(allWatch, ALL_BACK_WITHIN_MS);
    const watching = await killAll(stack, viewers, options);
    const faults: string[] = [];
    if (watching.length < options.kills) faults.push(`only ${watching.length} kills in time`);
    await eventually(allWatch, ALL_BACK_WITHIN_MS).catch(() => {
      const away = viewers.filter((viewer) => !viewer.isWatching()).length;
      faults.push(`${away} viewers did not come back`);
    });
    await Promise.all(viewers.map((viewer) => viewer.stop()));
    const books = await settle(stack, faults);
    return {
      kills: byVictim((victim) => stack.servers[victim].killedAtMs.length),
      failedStarts: byVictim((victim) => stack.servers[victim].failedStarts()),
      watching,
      books,
      truth: {
        watched: viewers.flatMap((viewer) => viewer.watched),
        bought: viewers.flatMap((viewer) => viewer.bought),
        killedAtMs: stack.servers['media server'].killedAtMs,
        receiptIntervalMs: RECEIPT_SECONDS * 1000,
      },
      faults: [...faults, ...VICTIMS.flatMap((victim) => stack.servers[victim].faults)],
    };
  } finally {
    await Promise.all(viewers.map((viewer) => viewer.stop()));
    await stack.stop();
  }
}

/** What is wrong; empty when nothing is. */
export function faultsOfChaos({ books, truth, faults }: ChaosResult): string[] {
  return [...faults, ...faultsOfBooks(books, truth)];
}

/** Lines for people: what was done and how far the books are from what was counted. */
export function describeChaos({ kills, failedStarts, watching, books, truth }: ChaosResult): string[] {
  const tickets = compare(books, truth);
  const missing = tickets.map(({ billedMs, countedMs }) => countedMs - billedMs);
  const perKill = tickets
    .filter((ticket) => ticket.kills > 0)
    .map(({ billedMs, countedMs, kills: times }) => (countedMs - billedMs) / times);
  const seconds = (values: readonly number[]): string =>
    values.length === 0 ? '-' : (Math.max(...values) / 1000).toFixed(2);
  const sum = (values: readonly number[]): string =>
    (values.reduce((total, value) => total + value, 0) / 1000).toFixed(1);
  const sorted = watching.toSorted((a, b) => a - b);
  const reasons = Map.groupBy(books.sessions, ({ endReason }) => endReason ?? 'never begun');
  const rows: [string, string][] = [
    ...VICTIMS.map((victim): [string, string] => [
      `kills: ${victim}`,
      `${kills[victim]} (${failedStarts[victim]} failed starts)`,
    ]),
    ['viewers at a kill, median', String(sorted[Math.floor(sorted.length / 2)] ?? 0)],
    ['orders / tries', `${books.orders.length} / ${truth.bought.length}`],
    ['sessions', String(books.sessions.length)],
    ...[...reasons].map(([reason, list]): [string, string] => [`  ${reason}`, String(list.length)]),
    ['receipts', String(books.sessions.reduce((total, { receipts }) => total + receipts.length, 0))],
    ['seconds counted', sum(tickets.map(({ countedMs }) => countedMs))],
    ['seconds billed', sum(tickets.map(({ billedMs }) => billedMs))],
    ['most that one kill left unbilled, s', seconds(perKill)],
    [
      'most unbilled without a kill, s',
      seconds(tickets.filter((ticket) => ticket.kills === 0).map((t) => t.countedMs - t.billedMs)),
    ],
    ['most billed beyond what was counted, s', seconds(missing.map((value) => -value))],
    ['differences of reconcile', String(books.differences.length)],
  ];
  return rows.map(([name, value]) => `${name.padEnd(42)}${value}`);
}
