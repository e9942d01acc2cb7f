/**
 * How soon media stops, by cause and protocol, with both servers as real processes: from what makes it stop (the moment of
 * expiry, the last second that was paid for, the request of staff) to the last byte of media at the viewer. What the
 * request itself takes at the order server, and its way over the feed, are in it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { DEMO_LOGINS } from '../admin/seed.ts';
import { thumbprint } from '../plugin/ticket/index.ts';
import {
  openPlainViewer,
  PLAIN_PROTOCOLS,
  type PlainProtocol,
  type PlainViewer,
} from '../test/support/plain-viewers.ts';
import {
  buy,
  createOffer,
  createStreamKeyFor,
  createTitleWithOffer,
  graphql,
  signIn,
  type Purchase,
} from '../test/support/shop.ts';
import { publishTestCard, startStack, type Encoder, type Stack } from '../test/support/stack.ts';
import type { Bench, Figure } from './harness.ts';
import { median, quantile } from './statistics.ts';

const PATH = '/live/stops';
const CAUSES = ['expire', 'exhaust', 'kick', 'revoke', 'block'] as const;
type Cause = (typeof CAUSES)[number];

/** Of each protocol, one after the other. */
const VIEWERS = 10;
const ROUNDS = 5;
const BAR_MS = 1000;
const EXPIRES_AFTER_SECONDS = 10;
const PAID_SECONDS = 3;
const WATCHED_MS = 1500;
/** Nothing for this long: it has stopped. */
const STILL_MS = 1500;
const GIVE_UP_MS = 15_000;

interface Viewer extends PlainViewer {
  readonly order: Purchase;
}

interface World {
  readonly stack: Stack;
  readonly staff: string;
  readonly offers: Readonly<Record<Cause, string>>;
  readonly encoder: Encoder;
  /** Whose turn it is to buy: orders of one account are limited. */
  buyer(): string;
}

/** The session's id, as the order server has it from its first receipt on. */
async function sessionOf(
  { stack, staff }: Pick<World, 'stack' | 'staff'>,
  { orderId }: Pick<Purchase, 'orderId'>,
  tries = 100,
): Promise<string> {
  const { order } = await graphql<{ order: { sessions: { id: string }[] } }>(
    stack.orderUrl,
    'query ($id: ID!) { order(id: $id) { sessions { id } } }',
    { id: orderId },
    staff,
  );
  const [session] = order.sessions;
  if (session !== undefined) return session.id;
  if (tries === 0) throw new Error('the order server knows no session');
  await sleep(100);
  return sessionOf({ stack, staff }, { orderId }, tries - 1);
}

/** What staff do. @returns when they did it, on the clock of `performance.now` */
async function stop(world: World, cause: 'kick' | 'revoke' | 'block', { order }: Viewer): Promise<number> {
  const { stack, staff } = world;
  const ask = (query: string, variables: Record<string, unknown>) =>
    graphql(stack.orderUrl, query, variables, staff);
  const kicked = cause === 'kick' ? await sessionOf(world, order) : '';
  const atMs = performance.now();
  if (cause === 'kick')
    await ask('mutation ($id: ID!) { endSession(id: $id, comeBack: false) { id } }', { id: kicked });
  else if (cause === 'revoke')
    await ask('mutation ($id: ID!) { revokeTicket(id: $id, reason: "bench") { id } }', {
      id: decodeJwt(order.ticket).jti,
    });
  else
    await ask('mutation ($jkt: String!) { revokeProofKey(jkt: $jkt, reason: "bench") { __typename } }', {
      jkt: thumbprint(order.proofKey.publicJwk),
    });
  return atMs;
}

/** When the viewer's media had to stop, on the clock of `performance.now`. */
function dueOf(world: World, cause: Cause, viewer: Viewer): Promise<number> {
  if (cause === 'expire')
    return Promise.resolve((decodeJwt(viewer.order.ticket).exp ?? 0) * 1000 - performance.timeOrigin);
  if (cause === 'exhaust') return Promise.resolve(viewer.firstMs + PAID_SECONDS * 1000);
  return stop(world, cause, viewer);
}

/** One viewer's milliseconds from the cause to the last byte. */
async function latencyOf(cause: Cause, viewer: Viewer, dueMs: number): Promise<number> {
  const giveUpMs = Math.max(dueMs, performance.now()) + GIVE_UP_MS;
  while (performance.now() < Math.max(dueMs, viewer.lastMs()) + STILL_MS) {
    if (performance.now() > giveUpMs) throw new Error(`${viewer.protocol} does not stop: ${cause}`);
    await sleep(50);
  }
  viewer.close();
  return viewer.lastMs() - dueMs;
}

async function open(world: World, cause: Cause, protocol: PlainProtocol): Promise<Viewer> {
  const order = await buy(world.stack.orderUrl, world.offers[cause], world.buyer());
  return { order, ...(await openPlainViewer(world.stack, protocol, PATH, order)) };
}

async function round(world: World, cause: Cause): Promise<{ protocol: PlainProtocol; ms: number }[]> {
  const measuring: Promise<{ protocol: PlainProtocol; ms: number }>[] = [];
  const measure = (viewer: Viewer, dueMs: number): void =>
    void measuring.push(latencyOf(cause, viewer, dueMs).then((ms) => ({ protocol: viewer.protocol, ms })));
  for (let count = 0; count < VIEWERS; count++) {
    const viewers = await Promise.all(PLAIN_PROTOCOLS.map((protocol) => open(world, cause, protocol)));
    if (cause !== 'expire' && cause !== 'exhaust') await sleep(WATCHED_MS / VIEWERS);
    // What staff do, one after the other: a burst of requests would wait for itself.
    for (const viewer of viewers) measure(viewer, await dueOf(world, cause, viewer));
  }
  return Promise.all(measuring);
}

async function openWorld(stack: Stack): Promise<World> {
  const [first, second, admin] = DEMO_LOGINS;
  if (first === undefined || second === undefined || admin === undefined) throw new Error('no demo accounts');
  const [one, two, staff] = await Promise.all(
    [first, second, admin].map((login) => signIn(stack.orderUrl, login)),
  );
  if (one === undefined || two === undefined || staff === undefined) throw new Error('nobody signed in');
  const counted = { accesses: 1 };
  const { titleId, offerId } = await createTitleWithOffer(stack.orderUrl, staff, PATH, { rights: counted });
  const make = (offer: Parameters<typeof createOffer>[3]) =>
    createOffer(stack.orderUrl, staff, titleId, offer);
  const offers = {
    expire: await make({ rights: counted, validSeconds: EXPIRES_AFTER_SECONDS }),
    exhaust: await make({ rights: { ...counted, seconds: PAID_SECONDS } }),
    kick: offerId,
    revoke: offerId,
    block: offerId,
  };
  let turns = 0;
  const key = await createStreamKeyFor(stack.orderUrl, staff, titleId);
  const encoder = publishTestCard(stack.publishUrl(PATH, key));
  const isLive = async () =>
    (await (await fetch(`${stack.mediaUrl}/metrics`)).text()).includes('usher_live_streams 1');
  for (let tries = 0; !(await isLive()); tries++) {
    if (tries > 150) throw new Error('the stream did not come on the air');
    await sleep(200);
  }
  return { stack, staff, offers, encoder, buyer: () => (turns++ % 2 === 0 ? one : two) };
}

async function run(progress: (line: string) => void, quick: boolean): Promise<Figure[]> {
  const stack = await startStack({ USHER_RECEIPT_SECONDS: '1' });
  let world: World | undefined;
  try {
    world = await openWorld(stack);
    const figures: Figure[] = [];
    for (const cause of CAUSES) {
      const measured: { protocol: PlainProtocol; ms: number }[] = [];
      const rounds = quick ? 1 : ROUNDS;
      for (let count = 1; count <= rounds; count++) {
        progress(`${cause}, round ${String(count)} of ${String(rounds)}`);
        measured.push(...(await round(world, cause)));
      }
      for (const protocol of PLAIN_PROTOCOLS) {
        const ms = measured.filter((one) => one.protocol === protocol).map((one) => one.ms);
        const name = `${cause}, ${protocol}, ${String(ms.length)} viewings`;
        figures.push({ name: `${name}: median`, value: Math.round(median(ms)), unit: 'ms' });
        const p99 = Math.round(quantile(ms, 0.99));
        figures.push({ name: `${name}: p99`, value: p99, unit: 'ms', bar: BAR_MS, ok: p99 <= BAR_MS });
      }
    }
    return figures;
  } finally {
    await world?.encoder.stop();
    await stack.stop();
  }
}

export const bench: Bench = {
  name: 'stops',
  what: 'from what ends a viewing to the last byte of media at the viewer',
  run,
};
