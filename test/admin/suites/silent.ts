import { eq } from 'drizzle-orm';
import { expect, it, vi } from 'vitest';
import { mediaSessions, tickets } from '../../../admin/db/schema.ts';
import { findHistory } from '../../../admin/orders/orders.ts';
import { closeSilentSessions, SILENT } from '../../../admin/receipts/silent.ts';
import { watchSilence } from '../../../admin/receipts/silence-watch.ts';
import { commit } from '../../../admin/tickets/redeem.ts';
import { createTestOffer, orderOffer, START_MS, type World } from '../../support/databases.ts';
import { silentLog } from '../../support/doubles.ts';
import { createViewing } from '../../support/viewings.ts';

/** After the last receipt: the lease, and the patience that follows it. */
const SILENT_AFTER_MS = 120_000;

export function silentSuite(world: () => World): void {
  async function watch() {
    const offer = await createTestOffer(world(), { rights: { accesses: 2, concurrent: 1 } });
    const order = await orderOffer(world(), offer.id, null);
    const viewing = createViewing(world(), order);
    await viewing.begin();
    const heardMs = START_MS + 10_000;
    expect(await viewing.use({ seconds: 9 }, heardMs)).toBe(1);
    const { db } = world();
    return {
      viewing,
      heardMs,
      row: async () => {
        const [row] = await db.select().from(mediaSessions).where(eq(mediaSessions.id, viewing.session));
        return row;
      },
      used: async () => {
        const [row] = await db.select().from(tickets).where(eq(tickets.jti, order.issued.jti));
        return row?.mediaMsUsed;
      },
      history: async () => (await findHistory(db, [order.order.id])).get(order.order.id) ?? [],
    };
  }
  const close = async (atMs: number): Promise<string[]> =>
    (await world().db.transaction((tx) => closeSilentSessions(tx, new Date(atMs)))).map(({ id }) => id);

  it('closes a session that went silent with its last receipt, once, and says so in the order’s history', async () => {
    const { viewing, heardMs, row, used, history } = await watch();
    const before = await history();
    expect(await close(heardMs + SILENT_AFTER_MS)).not.toContain(viewing.session);
    expect(await close(heardMs + SILENT_AFTER_MS + 1)).toContain(viewing.session);
    expect(await close(heardMs + SILENT_AFTER_MS + 2)).not.toContain(viewing.session);
    expect(await row()).toMatchObject({ endReason: SILENT, mediaMs: 9000 });
    expect(await used()).toBe(9000);
    const lines = (await history()).slice(before.length);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ actor: 'system', fromState: before.at(-1)?.toState });
    expect(lines[0]?.toState).toBe(lines[0]?.fromState);
    expect(lines[0]?.reason).toBe(
      `session ${viewing.session}: nothing was heard of it from ss-1 for 120 s; it is closed with 9 s`,
    );
  });

  it('takes receipts that come late all the same, and says that as well', async () => {
    const { viewing, heardMs, row, used, history } = await watch();
    await close(heardMs + SILENT_AFTER_MS + 1);
    const closed = await history();
    expect(await viewing.use({ seconds: 20 }, heardMs + 200_000)).toBe(1);
    expect(await viewing.use({ seconds: 5 }, heardMs + 205_000)).toBe(1);
    expect(await row()).toMatchObject({
      state: 'committed',
      endReason: null,
      endedAt: null,
      mediaMs: 34_000,
    });
    expect(await used()).toBe(34_000);
    const lines = (await history()).slice(closed.length);
    expect(lines.map(({ reason }) => reason)).toEqual([
      `session ${viewing.session}: it was heard again from ss-1`,
    ]);
    // And may go silent once more.
    expect(await close(heardMs + 205_000 + SILENT_AFTER_MS + 1)).toContain(viewing.session);
  });

  it('looks by itself, from a minute after its start on', async () => {
    const { viewing, heardMs } = await watch();
    let uptimeMs = 0;
    let looks = 0;
    const told: string[] = [];
    const watching = watchSilence(
      {
        db: world().db,
        clock: {
          nowMs: () => heardMs + SILENT_AFTER_MS + 1,
          monotonicMs: () => {
            looks += 1;
            return uptimeMs;
          },
        },
        events: { publish: (events) => void told.push(...events.map(({ id }) => id)) },
        log: silentLog,
      },
      1,
    );
    await vi.waitFor(() => expect(looks).toBeGreaterThan(5));
    expect(told).toEqual([]);
    uptimeMs = 60_000;
    await vi.waitFor(() => expect(told).toContain(viewing.session));
    await watching.stop();
  });

  it('listens for a minute anew once the database is back', async () => {
    const { viewing, heardMs } = await watch();
    let uptimeMs = 0;
    let isAway = false;
    let asked = 0;
    const told: string[] = [];
    const db = new Proxy(world().db, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name);
        if (name !== 'transaction' && name !== 'execute') return member;
        asked += 1;
        return isAway ? () => Promise.reject(new Error('away')) : (member as () => unknown).bind(target);
      },
    });
    const watching = watchSilence(
      {
        db,
        clock: { nowMs: () => heardMs + SILENT_AFTER_MS + 1, monotonicMs: () => uptimeMs },
        events: { publish: (events) => void told.push(...events.map(({ id }) => id)) },
        log: silentLog,
      },
      1,
    );
    /** Sweeps, all of which see the world as it is now. */
    const sweeps = async () => {
      const before = asked;
      await vi.waitFor(() => expect(asked).toBeGreaterThan(before + 3));
    };
    isAway = true;
    // The last of them just before it is back.
    for (uptimeMs of [60_000, 125_000, 179_000]) await sweeps();
    isAway = false;
    for (uptimeMs of [180_000, 238_999]) await sweeps();
    expect(told).toEqual([]);
    uptimeMs = 239_000;
    await vi.waitFor(() => expect(told).toContain(viewing.session));
    await watching.stop();
  });

  it('lets a media server that comes back commit what it has been sending', async () => {
    const { viewing, heardMs } = await watch();
    await close(heardMs + SILENT_AFTER_MS + 1);
    await expect(
      commit(world().db, viewing.session, world().server.id, heardMs + 300_000),
    ).resolves.toMatchObject({ session: viewing.session });
  });
}
