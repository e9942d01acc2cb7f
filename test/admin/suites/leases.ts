import { eq } from 'drizzle-orm';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { mediaSessions, tickets } from '../../../admin/db/schema.ts';
import { findHistory } from '../../../admin/orders/orders.ts';
import { closeSilentSessions } from '../../../admin/receipts/silent.ts';
import { deactivateServer } from '../../../admin/trust/servers.ts';
import { START_MS, type World } from '../../support/databases.ts';
import {
  registerSecondServer,
  SERVERS,
  shareTicket,
  type LeasedSession,
  type SharedTicket,
} from '../../support/leasing.ts';

const [ONE, OTHER] = SERVERS;
/** What a ticket's total may be exceeded by, whatever happens. */
const INTERVAL_MS = 5000;
const LAPSE_MS = 31_000;
const SILENCE_MS = 125_000;
const MIB = 1024 * 1024;

const heldElsewhere = (detail: 'seconds' | 'bytes') => ({ code: 'rights_concurrency', detail });

/** Uses so much of what it may, in as much time. */
function spend(ticket: SharedTicket, session: LeasedSession, ms: number): void {
  ticket.nowMs += ms;
  session.mediaMs = Math.min(session.endMs, session.mediaMs + ms);
}

/** Begins a session, and says so by its first receipt. */
async function start(ticket: SharedTicket, serverId: string): Promise<LeasedSession> {
  const session = ticket.begin(serverId);
  await session.reserve();
  await session.commit();
  await session.report();
  return session;
}

/** Uses what it is given to the end, asking when half of it is used, as a media server does. */
async function useUp(ticket: SharedTicket, session: LeasedSession): Promise<void> {
  for (;;) {
    spend(ticket, session, Math.max(1, Math.ceil((session.endMs - session.mediaMs) / 2)));
    const before = session.endMs;
    await session.report(session.mediaMs === session.endMs ? 'exhausted' : undefined);
    if (session.mediaMs === before) return;
  }
}

export function leasesSuite(world: () => World): void {
  beforeAll(() => registerSecondServer(world()));

  async function goSilent(ticket: SharedTicket): Promise<void> {
    ticket.nowMs += SILENCE_MS;
    const { db } = world();
    const sweep = () => db.transaction((tx) => closeSilentSessions(tx, new Date(ticket.nowMs)));
    while ((await sweep()).length > 0);
  }

  it('leases an interval until the first receipt is here, then half of what is left, two minutes at most', async () => {
    const ticket = await shareTicket(world(), { seconds: 600 });
    const session = ticket.begin(ONE);
    expect(await session.reserve()).toMatchObject({ mediaMsLeft: INTERVAL_MS, bytesLeft: null });
    expect(await session.commit()).toMatchObject({ mediaMsLeft: INTERVAL_MS, bytesLeft: null });
    spend(ticket, session, 1000);
    expect(await session.report()).toEqual({
      stored: 1,
      refused: [],
      leases: [{ session: session.id, mediaMsLeft: 1000 + 120_000, bytesLeft: null }],
    });
    spend(ticket, session, 119_000);
    await session.report();
    spend(ticket, session, 80_000);
    await session.report();
    expect(session.endMs).toBe(200_000 + 120_000);
    spend(ticket, session, 110_000);
    await session.report();
    spend(ticket, session, 100_000);
    await session.report();
    // Of 190 s that are left half.
    expect(session.endMs).toBe(410_000 + 95_000);
  });

  it('leases nothing to tickets without budgets', async () => {
    const ticket = await shareTicket(world(), { accesses: 2, concurrent: 2 });
    const session = ticket.begin(ONE);
    expect(await session.reserve()).toMatchObject({ mediaMsLeft: null, bytesLeft: null });
    await session.commit();
    expect(await session.report()).toEqual({ stored: 1, refused: [] });
  });

  it('lets one session have all of it, to the millisecond', async () => {
    const ticket = await shareTicket(world(), { seconds: 61 });
    await useUp(ticket, await start(ticket, ONE));
    expect(await ticket.usedMs()).toBe(61_000);
    await expect(ticket.begin(OTHER).reserve()).rejects.toMatchObject({
      code: 'rights_exhausted',
      detail: 'seconds',
    });
  });

  it('lets two servers have all of it together, and not a millisecond more', async () => {
    const ticket = await shareTicket(world(), { seconds: 61 });
    const sessions = [await start(ticket, ONE), await start(ticket, OTHER)];
    let moved = true;
    while (moved) {
      moved = false;
      for (const session of sessions) {
        const before = session.mediaMs;
        spend(ticket, session, 1700);
        moved ||= session.mediaMs > before;
      }
      for (const session of sessions) await session.report();
    }
    expect(await ticket.usedMs()).toBe(61_000);
  });

  it('refuses who comes while others have the rest, and gives what they leave to the next', async () => {
    const ticket = await shareTicket(world(), { seconds: 8 });
    const first = await start(ticket, ONE);
    const second = await start(ticket, OTHER);
    expect([first.endMs, second.endMs]).toEqual([5000, 3000]);
    await expect(ticket.begin(ONE).reserve()).rejects.toMatchObject(heldElsewhere('seconds'));
    spend(ticket, first, 2000);
    await first.report('viewer_left');
    await second.report();
    // Of 6 s: an interval is the least that is leased.
    expect(second.endMs).toBe(5000);
    await ticket.begin(ONE).reserve();
  });

  it('answers receipts that come again alike, also when the first answer was lost', async () => {
    const ticket = await shareTicket(world(), { seconds: 100 });
    const session = ticket.begin(ONE);
    await session.reserve();
    await session.commit();
    const receipts = [session.write(), session.write()];
    const first = await session.send(receipts);
    expect(first.leases).toEqual([{ session: session.id, mediaMsLeft: 50_000, bytesLeft: null }]);
    expect(await session.send(receipts)).toEqual(first);
    expect(await session.commit()).toMatchObject({ mediaMsLeft: 50_000 });
  });

  it('leases nothing for another server’s session, or to one that was kicked or revoked', async () => {
    const { db } = world();
    const ticket = await shareTicket(world(), { seconds: 100 });
    const session = await start(ticket, ONE);
    const receipt = session.write();
    expect(await session.send([receipt], OTHER)).toEqual({
      stored: 0,
      refused: [{ session: session.id, seq: receipt.seq, reason: 'session_mismatch' }],
    });
    const row = eq(mediaSessions.id, session.id);
    await db
      .update(mediaSessions)
      .set({ kickedAt: new Date(START_MS) })
      .where(row);
    expect(await session.send([receipt])).toEqual({ stored: 1, refused: [] });
    await db.update(mediaSessions).set({ kickedAt: null }).where(row);
    expect((await session.send([receipt])).leases).toHaveLength(1);
    await db
      .update(tickets)
      .set({ revokedAt: new Date(START_MS) })
      .where(eq(tickets.jti, ticket.jti));
    expect(await session.send([receipt])).toEqual({ stored: 1, refused: [] });
  });

  it('leases bytes by the rate at which they go, 8 MiB before it is known', async () => {
    const ticket = await shareTicket(world(), { bytes: 1000 * MIB });
    const session = ticket.begin(ONE);
    expect(await session.reserve()).toMatchObject({ mediaMsLeft: null, bytesLeft: 8 * MIB });
    await session.commit();
    ticket.nowMs += 10_000;
    Object.assign(session, { mediaMs: 10_000, bytes: 6 * MIB });
    await session.report();
    // Slower than 8 MiB in 5 s: 24 of them.
    expect(session.endBytes).toBe((6 + 24 * 8) * MIB);
    ticket.nowMs += 10_000;
    Object.assign(session, { mediaMs: 20_000, bytes: 80 * MIB });
    await session.report();
    // 4 MiB a second, for two minutes: more than half of what is left.
    expect(session.endBytes).toBe((80 + 460) * MIB);
  });

  it('keeps what a silent session has, but an interval, for what it may yet state', async () => {
    const ticket = await shareTicket(world(), { seconds: 100 });
    const silent = await start(ticket, ONE);
    spend(ticket, silent, 10_000);
    await silent.report();
    expect(silent.endMs).toBe(10_000 + 45_000);
    await goSilent(ticket);
    const history = (await findHistory(world().db, [ticket.orderId])).get(ticket.orderId);
    expect(history?.at(-1)?.reason).toBe(
      `session ${silent.id}: nothing was heard of it from ss-1 for 120 s; it is closed with 10 s; 45 s more are kept for what it may yet state`,
    );
    const next = await start(ticket, OTHER);
    await useUp(ticket, next);
    expect(next.mediaMs).toBe(45_000 + INTERVAL_MS);
    // It had been cut off, and used all that it had: the total is exceeded by the interval.
    spend(ticket, silent, 45_000);
    await silent.report();
    expect(silent.endMs).toBe(55_000);
    expect(await ticket.usedMs()).toBe(100_000 + INTERVAL_MS);
  });

  it('gives back what a server has that was taken off the register: it can state nothing more', async () => {
    const { db } = world();
    const ticket = await shareTicket(world(), { seconds: 8 });
    await start(ticket, OTHER);
    const last = await start(ticket, OTHER);
    expect(last.endMs).toBe(3000);
    await expect(ticket.begin(ONE).reserve()).rejects.toMatchObject(heldElsewhere('seconds'));
    await db.transaction((tx) => deactivateServer(tx, OTHER));
    await useUp(ticket, await start(ticket, ONE));
    expect(await ticket.usedMs()).toBe(8000);
    await registerSecondServer(world());
  });

  it('begins the window at a commit that a receipt has overtaken', async () => {
    const ticket = await shareTicket(world(), { window: 60, accesses: 1 });
    const session = ticket.begin(ONE);
    await session.reserve();
    await session.report();
    expect(await session.commit()).toMatchObject({ expiresAt: START_MS / 1000 + 60 });
  });

  describe('however servers, networks and disks fail', () => {
    const who = fc.nat({ max: 7 });
    const lost = fc.boolean();
    const use = fc.record({ op: fc.constant('use' as const), who, ms: fc.integer({ min: 1, max: 60_000 }) });
    const report = fc.record({ op: fc.constant('report' as const), who, lost });
    const step = fc.oneof(
      fc.record({ op: fc.constant('begin' as const), server: fc.constantFrom(...SERVERS), lost }),
      fc.record({ op: fc.constant('commit' as const), who, lost }),
      { arbitrary: use, weight: 4 },
      { arbitrary: report, weight: 4 },
      fc.record({ op: fc.constant('finish' as const), who }),
      // What was kept of what was used after the last receipt.
      fc.record({ op: fc.constant('crash' as const), who, kept: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({ op: fc.constant('lapse' as const) }),
      fc.record({ op: fc.constant('silence' as const) }),
    );
    type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

    async function walk(seconds: number, steps: readonly Step[]) {
      const ticket = await shareTicket(world(), { seconds });
      const running: LeasedSession[] = [];
      const ended: LeasedSession[] = [];
      const statedMs = new Map<string, number>();

      async function end(session: LeasedSession): Promise<void> {
        running.splice(running.indexOf(session), 1);
        ended.push(session);
        await session.report('server_crashed');
      }
      async function take(taken: Step): Promise<void> {
        if (taken.op === 'lapse') ticket.nowMs += LAPSE_MS;
        else if (taken.op === 'silence') await goSilent(ticket);
        else if (taken.op === 'begin') {
          const session = ticket.begin(taken.server);
          const isRefused = await session.reserve().then(
            () => false,
            () => true,
          );
          // Without an answer nobody is admitted.
          if (!isRefused && !taken.lost) running.push(session);
        } else {
          const session = running[taken.who % Math.max(1, running.length)];
          if (session === undefined) return;
          if (taken.op === 'use') spend(ticket, session, taken.ms);
          else if (taken.op === 'finish') await end(session);
          else if (taken.op === 'crash') {
            const stated = statedMs.get(session.id) ?? 0;
            session.mediaMs = stated + Math.floor((session.mediaMs - stated) * taken.kept);
            await end(session);
          } else if (taken.op === 'commit') {
            const { endMs } = session;
            // What was reserved may have lapsed, and nothing be left of it: the session ends.
            await session.commit().catch(() => end(session));
            if (taken.lost) session.endMs = endMs;
          } else {
            const answer = await session.send([session.write()]);
            expect(answer.refused).toEqual([]);
            statedMs.set(session.id, session.mediaMs);
            if (!taken.lost) session.take(answer.leases?.[0]);
          }
        }
      }
      for (const next of steps) {
        await take(next);
        // What has been stated, and what may be.
        const used = [...running, ...ended].reduce((sum, { mediaMs }) => sum + mediaMs, 0);
        expect(used).toBeLessThanOrEqual(seconds * 1000 + INTERVAL_MS);
      }
      for (const session of [...running]) await end(session);
      return ticket;
    }

    it('never lets a ticket be exceeded by more than one interval', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 90 }),
          fc.array(step, { minLength: 20, maxLength: 60 }),
          async (seconds, steps) => {
            const ticket = await walk(seconds, steps);
            expect(await ticket.usedMs()).toBeLessThanOrEqual(seconds * 1000 + INTERVAL_MS);
          },
        ),
        { numRuns: 40 },
      );
    }, 60_000);

    it('loses nothing of it, once everything was stated, but what was reserved and never heard of', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 90 }),
          fc.array(
            step.filter((taken) => taken.op !== 'begin' || !taken.lost),
            { minLength: 5, maxLength: 30 },
          ),
          async (seconds, steps) => {
            const ticket = await walk(seconds, steps);
            if ((await ticket.usedMs()) < seconds * 1000) await useUp(ticket, await start(ticket, ONE));
            expect(await ticket.usedMs()).toBeGreaterThanOrEqual(seconds * 1000);
          },
        ),
        { numRuns: 20 },
      );
    }, 60_000);
  });
}
