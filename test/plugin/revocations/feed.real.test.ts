/** The feed between an order server that speaks HTTP and three media server processes with 300 sessions. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock as clock } from '../../../plugin/clock.ts';
import { generateSigningKey } from '../../../plugin/ticket/index.ts';
import { startFeedServer, type FeedServer } from '../../support/revocations.ts';
import { createTicketWorld, ISSUER, PATH, SERVER_ID } from '../../support/tickets.ts';
import type { Admitted } from './media-process.ts';
import { p99, startMediaProcesses, type MediaProcesses } from './media-processes.ts';

const PROCESSES = 3;
const VIEWERS = 100;
/** Of the design: a session that is revoked ends within this time. */
const BAR_MS = 1000;
/** A feed that is cut is taken up again within a second; what was revoked meanwhile ends then. */
const BAR_AFTER_CUT_MS = 2000;

let feed: FeedServer;
let media: MediaProcesses;
let left: Admitted[];

beforeAll(async () => {
  feed = await startFeedServer();
  const world = await createTicketWorld(clock);
  const { privateJwk: signingJwk } = await generateSigningKey();
  const { kid, privateJwk } = world.serverKey;
  const setups = await Promise.all(
    Array.from({ length: PROCESSES }, async () => {
      const viewer = await world.newViewer();
      const ticket = async () => ({
        ticket: await world.ticketFor(viewer),
        uri: PATH,
        proofJwk: viewer.proofKey.privateJwk,
      });
      return {
        orderUrl: feed.url,
        serverId: SERVER_ID,
        signingJwk,
        sealingJwk: { ...privateJwk, kid },
        issuer: ISSUER,
        jwks: { keys: [world.signingKey.publicJwk] },
        viewers: await Promise.all(Array.from({ length: VIEWERS }, ticket)),
      };
    }),
  );
  media = await startMediaProcesses(setups);
  // One of each process in turn.
  left = media.sessions.map(
    (_, index) => media.sessions[(index % PROCESSES) * VIEWERS + Math.floor(index / PROCESSES)] as Admitted,
  );
  expect(left).toHaveLength(PROCESSES * VIEWERS);
});
afterAll(async () => {
  await media.stop();
  await feed.stop();
});

/** Revokes or kicks the next ones, one after the other, and measures how long each session goes on. */
async function measure(count: number, revoke: (session: Admitted, index: number) => void): Promise<number[]> {
  const sessions = left.splice(0, count);
  const running = media.endedCount();
  const times: number[] = [];
  await Promise.all(
    sessions.map(async (session, index) => {
      await new Promise((resolve) => setTimeout(resolve, index * 5));
      const atMs = Date.now();
      revoke(session, index);
      times.push((await media.end(session)).atMs - atMs);
    }),
  );
  expect(media.endedCount()).toBe(running + count);
  return times;
}

it('150 sessions end one by one: p99 from the revocation to the end is at most 1 s', async () => {
  const kinds = [
    (session: Admitted) => feed.revoke('ticket', session.ticket),
    (session: Admitted) => feed.revoke('subject', session.subject),
    (session: Admitted) => feed.revoke('session', session.session),
  ];
  const times = await measure(150, (session, index) => kinds[index % 3]?.(session));
  console.log(`revocation to end: p99 ${p99(times)} ms, most ${Math.max(...times)} ms`);
  expect(p99(times)).toBeLessThanOrEqual(BAR_MS);
});

it('a gap is seen by the next heartbeat, and what is missing is fetched', async () => {
  const before = await media.stats();
  const times = await measure(30, (session) => feed.revokeSilently('ticket', session.ticket));
  expect(Math.max(...times)).toBeLessThanOrEqual(BAR_MS);
  const after = await media.stats();
  for (const [index, { reconnects }] of after.entries()) {
    expect(reconnects).toBeGreaterThan(before[index]?.reconnects ?? 0);
  }
});

it('a feed that is cut is taken up again', async () => {
  const times = await measure(30, (session, index) => {
    if (index % 10 === 0) feed.cut();
    feed.revoke('ticket', session.ticket);
  });
  expect(Math.max(...times)).toBeLessThanOrEqual(BAR_AFTER_CUT_MS);
});

it.each([
  ['resumes where it was', false],
  ['begins anew with a snapshot', true],
])('an order server that was away for a while %s', async (_name, forget) => {
  await feed.stop();
  const sessions = left.splice(0, 15);
  for (const session of sessions) feed.revokeSilently('ticket', session.ticket);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  if (forget) feed.forgetHistory();
  const startedMs = Date.now();
  await feed.start();
  const ends = await Promise.all(sessions.map((session) => media.end(session)));
  expect(Math.max(...ends.map(({ atMs }) => atMs)) - startedMs).toBeLessThanOrEqual(BAR_AFTER_CUT_MS);
  expect(new Set(ends.map(({ reason }) => reason))).toEqual(new Set(['revoked']));
  expect(await media.stats()).toEqual([
    expect.objectContaining({ stale: false }),
    expect.objectContaining({ stale: false }),
    expect.objectContaining({ stale: false }),
  ]);
});

it('one revoked key ends all that is left of its holder within 1 s, and nobody else', async () => {
  const [first] = left as [Admitted];
  const same = left.filter(({ jkt }) => jkt === first.jkt);
  const running = media.endedCount();
  const atMs = Date.now();
  feed.revoke('key', first.jkt);
  const ends = await Promise.all(same.map((session) => media.end(session)));
  expect(Math.max(...ends.map((end) => end.atMs)) - atMs).toBeLessThanOrEqual(BAR_MS);
  expect(media.endedCount()).toBe(running + same.length);
  expect(same.length).toBeLessThan(left.length);
});

it('every request for the feed is signed anew', () => {
  const signatures = feed.requests.map(({ authorization }) => authorization);
  expect(new Set(signatures).size).toBe(signatures.length);
});
