/** Two media servers share the seconds of one ticket, by way of a real order server and real spools. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eq } from 'drizzle-orm';
import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mediaSessions, tickets } from '../../admin/db/schema.ts';
import { reconcile } from '../../admin/ledger/reconcile.ts';
import { registerServer, type StreamingServer } from '../../admin/trust/servers.ts';
import { systemClock as clock } from '../../plugin/clock.ts';
import { createOrderServer } from '../../plugin/order-server.ts';
import { openDurableOutbox } from '../../plugin/receipts/durable-outbox.ts';
import { startSession, type Session } from '../../plugin/session.ts';
import { generateSealingKey, generateSigningKey, type SigningKeyPair } from '../../plugin/ticket/index.ts';
import { createOrderRequest, createTestOffer, place, testAuthority, ticketed } from '../support/databases.ts';
import { fakeViewing, makeGrant, silentLog } from '../support/doubles.ts';
import { SERVER_ID, startOrderServer, type TestOrderServer } from '../support/order-server.ts';
import { freePorts } from '../support/stack.ts';

/** More than the first leases of both, 5 s each. */
const TOTAL_SECONDS = 13;
const OTHER_ID = 'ss-2';

let orders: TestOrderServer;
let directory: string;
let url: string;
const closing: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  const [port = 0] = await freePorts(1);
  url = `http://127.0.0.1:${String(port)}`;
  orders = await startOrderServer({ port, publicUrl: url });
  directory = await mkdtemp(join(tmpdir(), 'usher-shared-'));
});
afterAll(async () => {
  for (const close of closing) await close();
  await orders.close();
  await rm(directory, { recursive: true, force: true });
});

/** A media server without media: a second of it a second, from the commit on. */
async function openMediaServer(serverId: string, key: SigningKeyPair) {
  const orderServer = createOrderServer({ url, serverId, signingKey: () => key, clock });
  const sink = await openDurableOutbox({
    directory: join(directory, serverId),
    delivery: orderServer,
    log: silentLog,
    clock,
    maxBytes: 1 << 24,
    whenFull: 'end',
    endSessions: () => undefined,
  });
  closing.push(() => sink.close(1000));
  return {
    sink,
    async watch(ticket: string, ticketId: string, uri: string): Promise<Session> {
      const sessionId = uuidv7();
      const redeemed = await orderServer.reserve(sessionId, null, ticket);
      const startedMs = clock.monotonicMs();
      const viewing = fakeViewing();
      viewing.counters = () => {
        const mediaMs = Math.floor(clock.monotonicMs() - startedMs);
        return Promise.resolve({ mediaMs, bytes: mediaMs * 100 });
      };
      const session = startSession({
        grant: makeGrant({ sessionId, ticketId, uri }),
        viewing,
        redeemed,
        redemptions: orderServer,
        sink,
        clock,
        log: silentLog,
        receiptIntervalMs: 5000,
      });
      viewing.firstMedia();
      return session;
    },
  };
}

it(`bills ${String(TOTAL_SECONDS)} s that are watched on two servers at once, all of them and no more`, async () => {
  const { db, serverKey } = orders;
  const [otherKey, sealingKey] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  const other = {
    id: OTHER_ID,
    publicUrl: 'http://localhost:4002',
    signingKey: otherKey.publicJwk,
    sealingKey: sealingKey.publicJwk,
  } as StreamingServer;
  await registerServer(db, other, new Date());
  const world = {
    ...{ db, serverKey, sealingKey, server: { id: SERVER_ID } as StreamingServer },
    authority: await testAuthority(db, { issuer: url, clock }),
  };
  const offer = await createTestOffer(world, { rights: { seconds: TOTAL_SECONDS } });
  const { issued } = ticketed(await place(world, await createOrderRequest(offer.id), null, Date.now()));
  const { jti, uri, ticket } = issued;
  await db
    .update(tickets)
    .set({ audience: [SERVER_ID, OTHER_ID] })
    .where(eq(tickets.jti, jti));

  const servers = await Promise.all([
    openMediaServer(SERVER_ID, serverKey),
    openMediaServer(OTHER_ID, otherKey),
  ]);
  const sessions = await Promise.all(servers.map((server) => server.watch(ticket, jti, uri)));
  const reasons = await Promise.all(sessions.map(({ ended }) => ended));
  for (const { sink } of servers) await sink.close(1000);

  expect(reasons).toEqual(['exhausted', 'exhausted']);
  const [row] = await db.select().from(tickets).where(eq(tickets.jti, jti));
  expect(row?.mediaMsUsed).toBeGreaterThanOrEqual(TOTAL_SECONDS * 1000);
  // What each is late in stopping.
  expect(row?.mediaMsUsed).toBeLessThan(TOTAL_SECONDS * 1000 + 2 * 1000);
  const billed = await db.select().from(mediaSessions).where(eq(mediaSessions.ticketId, jti));
  expect(billed.map(({ state }) => state)).toEqual(['ended', 'ended']);
  // Neither of them had it all.
  expect(Math.max(...billed.map(({ mediaMs }) => mediaMs))).toBeLessThan((TOTAL_SECONDS - 3) * 1000);
  expect(await reconcile(db)).toEqual([]);
}, 40_000);
