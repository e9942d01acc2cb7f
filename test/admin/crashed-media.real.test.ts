/** A media server is killed again and again: what the order server bills is what had been kept, once. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { mediaSessions, receipts, tickets } from '../../admin/db/schema.ts';
import { reconcile } from '../../admin/ledger/reconcile.ts';
import type { StreamingServer } from '../../admin/trust/servers.ts';
import { systemClock as clock } from '../../plugin/clock.ts';
import { createOrderServer } from '../../plugin/order-server.ts';
import { openDurableOutbox } from '../../plugin/receipts/durable-outbox.ts';
import { generateSealingKey } from '../../plugin/ticket/index.ts';
import type { CrashingMediaSetup, KeptUsage } from '../support/crashing-media.ts';
import { createOrderRequest, createTestOffer, place, testAuthority, ticketed } from '../support/databases.ts';
import { silentLog } from '../support/doubles.ts';
import { SERVER_ID, startOrderServer, type TestOrderServer } from '../support/order-server.ts';
import { freePorts } from '../support/stack.ts';

const KILLS = 10;
const SESSIONS = 5;
const INTERVAL_MS = 100;
/** An interval and a commit, 0.35 s, in a process that gets little of the machine. */
const UNSEEN_MS = 2000;

let orders: TestOrderServer;
let directory: string;
let url: string;
beforeAll(async () => {
  const [port = 0] = await freePorts(1);
  url = `http://127.0.0.1:${String(port)}`;
  orders = await startOrderServer({ port, publicUrl: url });
  directory = await mkdtemp(join(tmpdir(), 'usher-crashes-'));
});
afterAll(async () => {
  await orders.close();
  await rm(directory, { recursive: true, force: true });
});

/** Runs a media server, kills it, and answers what it had kept of each session, and for how long it ran. */
async function runAndKill(setup: CrashingMediaSetup, afterMs: number) {
  const script = join(import.meta.dirname, '../support/crashing-media.ts');
  const child = spawn(process.execPath, [script, JSON.stringify(setup)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = once(child, 'exit');
  const kept = new Map<string, number>();
  const startedMs = performance.now();
  let killing: Promise<void> | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    const { session, mediaMs } = JSON.parse(line) as KeptUsage;
    kept.set(session, mediaMs);
    killing ??= sleep(afterMs).then(() => void child.kill('SIGKILL'));
  }
  await gone;
  return { kept, ranMs: performance.now() - startedMs };
}

it(`bills ${String(KILLS)} killed runs of ${String(SESSIONS)} sessions by what was kept, once, and closes every session`, async () => {
  const world = {
    db: orders.db,
    server: { id: SERVER_ID } as StreamingServer,
    serverKey: orders.serverKey,
    sealingKey: await generateSealingKey(),
    authority: await testAuthority(orders.db, { issuer: url, clock }),
  };
  const offer = await createTestOffer(world);
  const request = await createOrderRequest(offer.id);
  const { issued } = ticketed(await place(world, request, null, Date.now()));
  const setup: CrashingMediaSetup = {
    directory,
    orderUrl: url,
    serverId: SERVER_ID,
    signingJwk: orders.serverKey.privateJwk,
    ticketId: issued.jti,
    uri: issued.uri,
    sessions: SESSIONS,
    receiptIntervalMs: INTERVAL_MS,
  };
  const kept = new Map<string, number>();
  const ranMs = new Map<string, number>();
  for (let kill = 0; kill < KILLS; kill++) {
    const run = await runAndKill(setup, 150 + 61 * kill);
    for (const [session, mediaMs] of run.kept) {
      kept.set(session, mediaMs);
      ranMs.set(session, run.ranMs);
    }
  }
  const outbox = await openDurableOutbox({
    directory,
    delivery: createOrderServer({
      url,
      serverId: SERVER_ID,
      signingKey: () => orders.serverKey,
      clock,
    }),
    log: silentLog,
    clock,
    maxBytes: 1 << 24,
    whenFull: 'end',
    endSessions: () => undefined,
  });
  await vi.waitFor(() => expect(outbox.waiting()).toBe(0), 10_000);
  await outbox.close(1000);

  expect(kept.size).toBe(KILLS * SESSIONS);
  const { db } = orders;
  const rows = await db.select().from(mediaSessions).where(eq(mediaSessions.ticketId, issued.jti));
  expect(rows.length).toBe(KILLS * SESSIONS);
  expect(new Set(rows.map(({ state, endReason }) => `${state} ${endReason ?? ''}`))).toEqual(
    new Set(['ended server_crashed']),
  );
  const differences = rows.map(({ id, mediaMs }) => mediaMs - (kept.get(id) ?? Number.NaN));
  // Nothing that was kept is missing; and what came after it, unseen, is an interval and a commit at most.
  expect(Math.min(...differences)).toBeGreaterThanOrEqual(0);
  expect(rows.filter(({ id, mediaMs }) => mediaMs > (ranMs.get(id) ?? 0))).toEqual([]);
  expect(Math.max(...differences)).toBeLessThanOrEqual(UNSEEN_MS);

  // Every receipt of every chain, once.
  const numbers = await db.select().from(receipts).where(eq(receipts.ticketId, issued.jti));
  expect(numbers).toHaveLength(rows.reduce((sum, { lastSeq }) => sum + (lastSeq ?? 0) + 1, 0));
  const [ticket] = await db.select().from(tickets).where(eq(tickets.jti, issued.jti));
  expect(ticket?.mediaMsUsed).toBe(rows.reduce((sum, { mediaMs }) => sum + mediaMs, 0));
  expect(await reconcile(db)).toEqual([]);
});
