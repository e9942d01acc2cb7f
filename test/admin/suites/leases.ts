import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { mediaSessions, tickets } from '../../../admin/db/schema.ts';
import { findHistory } from '../../../admin/orders/orders.ts';
import { deactivateServer } from '../../../admin/trust/servers.ts';
import { START_MS, type World } from '../../support/databases.ts';
import {
  goSilent,
  INTERVAL_MS,
  registerSecondServer,
  SERVERS,
  shareTicket,
  spend,
  start,
  useUp,
} from '../../support/leasing.ts';
import { leasesWalk } from './leases-walk.ts';

const [ONE, OTHER] = SERVERS;
const MIB = 1024 * 1024;

const heldElsewhere = (detail: 'seconds' | 'bytes') => ({ code: 'rights_concurrency', detail });

export function leasesSuite(world: () => World): void {
  beforeAll(() => registerSecondServer(world()));

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
    await goSilent(world(), ticket);
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

  describe('however servers, networks and disks fail', () => leasesWalk(world));
}
