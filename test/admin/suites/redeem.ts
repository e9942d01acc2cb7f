import { randomUUID } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { expect, it } from 'vitest';
import { mediaSessions, tickets } from '../../../admin/db/schema.ts';
import { commit, release, reserve } from '../../../admin/tickets/redeem.ts';
import type { Redeemed } from '../../../plugin/contract.ts';
import type { Rights } from '../../../plugin/rights/index.ts';
import { createTestOffer, orderOffer, START_MS, type World } from '../../support/databases.ts';

const SECOND = 1000;
const code = (code: string, detail?: string) => ({ code, ...(detail === undefined ? {} : { detail }) });

/** A ticket with these rights, and the calls of a streaming server about it. */
async function sell(world: World, rights: Partial<Rights>, validSeconds = 3600) {
  const offer = await createTestOffer(world, { rights, validSeconds });
  const { issued } = await orderOffer(world, offer.id);
  const serverId = world.server.id;
  const { db } = world;
  return {
    jti: issued.jti,
    reserve: (
      session: string,
      atMs = START_MS,
      attempt: string | null = null,
      server = serverId,
    ): Promise<Redeemed> =>
      db.transaction((tx) => reserve(tx, { session, attempt, ticketId: issued.jti, serverId: server }, atMs)),
    commit: (session: string, atMs = START_MS, server = serverId): Promise<Redeemed> =>
      db.transaction((tx) => commit(tx, session, server, atMs)),
    release: (session: string, atMs = START_MS): Promise<void> =>
      db.transaction((tx) => release(tx, session, serverId, atMs)),
  };
}

export function redeemSuite(world: () => World): void {
  it('lets exactly one of 50 parallel reservations have the last access', async () => {
    const ticket = await sell(world(), { accesses: 1 });
    const results = await Promise.allSettled(Array.from({ length: 50 }, () => ticket.reserve(randomUUID())));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected')
        expect(result.reason).toMatchObject(code('rights_exhausted', 'accesses'));
    }
  });

  it.each([1, 9])(
    'lets exactly %i of 1,000 parallel reservations have as many accesses',
    async (accesses) => {
      const ticket = await sell(world(), { accesses });
      const results = await Promise.allSettled(
        Array.from({ length: 1000 }, () => ticket.reserve(randomUUID())),
      );
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(accesses);
    },
  );

  it('answers a repeated session or attempt alike, and takes one access for it', async () => {
    const ticket = await sell(world(), { accesses: 1 });
    const [session, attempt] = [randomUUID(), randomUUID()];
    const first = await ticket.reserve(session, START_MS, attempt);
    expect(await ticket.reserve(session, START_MS, attempt)).toEqual(first);
    // The reply was lost, and the streaming server with it: another session asks for the same attempt.
    expect(await ticket.reserve(randomUUID(), START_MS + SECOND, attempt)).toEqual(first);
    expect(first.session).toBe(session);
  });

  it('does not let another server have the same attempt for nothing', async () => {
    const ticket = await sell(world(), { accesses: 1 });
    await world()
      .db.update(tickets)
      .set({ audience: ['ss-1', 'ss-2'] })
      .where(eq(tickets.jti, ticket.jti));
    const attempt = randomUUID();
    await ticket.reserve(randomUUID(), START_MS, attempt);
    await expect(ticket.reserve(randomUUID(), START_MS, attempt, 'ss-2')).rejects.toMatchObject(
      code('rights_exhausted'),
    );
  });

  it('answers null for what is not limited, and of the rest what is left and no more than one interval', async () => {
    const unlimited = await sell(world(), { accesses: 3 });
    const answer = { expiresAt: null, mediaMsLeft: null, bytesLeft: null, leaseSeconds: 30 };
    const session = randomUUID();
    expect(await unlimited.reserve(session)).toEqual({ session, ...answer });
    expect(await unlimited.commit(session)).toEqual({ session, ...answer });
    const limited = await sell(world(), { seconds: 60, bytes: 5000 });
    expect(await limited.reserve(randomUUID())).toMatchObject({ mediaMsLeft: 5000, bytesLeft: 5000 });
  });

  it('gives an access back when it is released, once', async () => {
    const ticket = await sell(world(), { accesses: 1 });
    const first = randomUUID();
    await ticket.reserve(first);
    await ticket.release(first);
    await ticket.release(first);
    await ticket.reserve(randomUUID());
    await expect(ticket.reserve(randomUUID())).rejects.toMatchObject(code('rights_exhausted'));
    await expect(ticket.reserve(first)).rejects.toMatchObject(code('conflict'));
  });

  it('keeps the access of a session that was committed, whatever is released', async () => {
    const ticket = await sell(world(), { accesses: 1 });
    const session = randomUUID();
    await ticket.reserve(session);
    await ticket.commit(session);
    await ticket.release(session);
    await expect(ticket.reserve(randomUUID())).rejects.toMatchObject(code('rights_exhausted'));
  });

  it('gives an access back when no media came within 30 s, once', async () => {
    const ticket = await sell(world(), { accesses: 1 });
    await ticket.reserve(randomUUID());
    await expect(ticket.reserve(randomUUID(), START_MS + 30 * SECOND - 1)).rejects.toMatchObject(
      code('rights_exhausted'),
    );
    await ticket.reserve(randomUUID(), START_MS + 30 * SECOND);
    await expect(ticket.reserve(randomUUID(), START_MS + 30 * SECOND)).rejects.toMatchObject(
      code('rights_exhausted'),
    );
  });

  it('takes the access again at a late commit, if one is left', async () => {
    const late = START_MS + 31 * SECOND;
    const lucky = await sell(world(), { accesses: 1 });
    const session = randomUUID();
    await lucky.reserve(session);
    await lucky.commit(session, late);
    await expect(lucky.reserve(randomUUID(), late)).rejects.toMatchObject(code('rights_exhausted'));

    const unlucky = await sell(world(), { accesses: 1 });
    const slow = randomUUID();
    await unlucky.reserve(slow);
    await unlucky.reserve(randomUUID(), late);
    await expect(unlucky.commit(slow, late)).rejects.toMatchObject(code('rights_exhausted'));
  });

  it('answers a repeated commit alike', async () => {
    const ticket = await sell(world(), { accesses: 1, window: 60 });
    const session = randomUUID();
    await ticket.reserve(session);
    const first = await ticket.commit(session);
    expect(await ticket.commit(session, START_MS + 20 * SECOND)).toEqual(first);
  });

  it('refuses to commit what is unknown, released or of another server', async () => {
    const ticket = await sell(world(), { accesses: 3 });
    const [released, other] = [randomUUID(), randomUUID()];
    await ticket.reserve(released);
    await ticket.release(released);
    await ticket.reserve(other);
    await expect(ticket.commit(randomUUID())).rejects.toMatchObject(code('session_ended'));
    await expect(ticket.commit(released)).rejects.toMatchObject(code('session_ended'));
    await expect(ticket.commit(other, START_MS, 'ss-2')).rejects.toMatchObject(code('session_ended'));
    await expect(ticket.release(randomUUID())).rejects.toMatchObject(code('session_ended'));
  });

  it('fixes the window at the first commit', async () => {
    const ticket = await sell(world(), { window: 60 });
    const [first, second] = [randomUUID(), randomUUID()];
    expect((await ticket.reserve(first)).expiresAt).toBeNull();
    expect((await ticket.commit(first)).expiresAt).toBe(START_MS / 1000 + 60);
    expect((await ticket.reserve(second, START_MS + 30 * SECOND)).expiresAt).toBe(START_MS / 1000 + 60);
    expect((await ticket.commit(second, START_MS + 40 * SECOND)).expiresAt).toBe(START_MS / 1000 + 60);
    await expect(ticket.reserve(randomUUID(), START_MS + 60 * SECOND)).rejects.toMatchObject(
      code('rights_exhausted', 'window'),
    );
  });

  it('counts sessions at the same time, until their lease lapses or they end', async () => {
    const ticket = await sell(world(), { concurrent: 1 });
    const first = randomUUID();
    await ticket.reserve(first);
    await expect(ticket.reserve(randomUUID())).rejects.toMatchObject(code('rights_concurrency'));
    const { leaseSeconds } = await ticket.commit(first);
    const lapse = START_MS + leaseSeconds * SECOND;
    await expect(ticket.reserve(randomUUID(), lapse - 1)).rejects.toMatchObject(code('rights_concurrency'));
    await ticket.reserve(randomUUID(), lapse);
  });

  it('answers what is left of time and bytes, and refuses when it is nothing', async () => {
    const { db } = world();
    const ticket = await sell(world(), { seconds: 60, bytes: 1000 });
    await db.update(tickets).set({ mediaMsUsed: 59_000, bytesUsed: 400 }).where(eq(tickets.jti, ticket.jti));
    const session = randomUUID();
    expect(await ticket.reserve(session)).toMatchObject({ mediaMsLeft: 1000, bytesLeft: 600 });
    await ticket.release(session);
    await db.update(tickets).set({ mediaMsUsed: 60_001 }).where(eq(tickets.jti, ticket.jti));
    await expect(ticket.reserve(randomUUID())).rejects.toMatchObject(code('rights_exhausted', 'seconds'));
    await db.update(tickets).set({ mediaMsUsed: 0, bytesUsed: 1000 }).where(eq(tickets.jti, ticket.jti));
    await expect(ticket.reserve(randomUUID())).rejects.toMatchObject(code('rights_exhausted', 'bytes'));
  });

  it('refuses tickets that are unknown, revoked, expired, or for another server', async () => {
    const { db } = world();
    const ticket = await sell(world(), { accesses: 5 }, 60);
    await expect(ticket.reserve(randomUUID(), START_MS, null, 'ss-9')).rejects.toMatchObject(
      code('ticket_wrong_audience'),
    );
    await expect(ticket.reserve(randomUUID(), START_MS + 60 * SECOND)).rejects.toMatchObject(
      code('ticket_expired'),
    );
    await db
      .update(tickets)
      .set({ revokedAt: new Date(START_MS) })
      .where(eq(tickets.jti, ticket.jti));
    await expect(ticket.reserve(randomUUID())).rejects.toMatchObject(code('ticket_revoked'));
    const unknown = { session: randomUUID(), attempt: null, ticketId: randomUUID(), serverId: 'ss-1' };
    await expect(db.transaction((tx) => reserve(tx, unknown, START_MS))).rejects.toMatchObject(
      code('ticket_untrusted'),
    );
  });

  it("refuses a session id that is another ticket's", async () => {
    const [one, other] = [await sell(world(), { accesses: 5 }), await sell(world(), { accesses: 5 })];
    const session = randomUUID();
    await one.reserve(session);
    await expect(other.reserve(session)).rejects.toMatchObject(code('conflict'));
    expect(
      await world().db.select().from(mediaSessions).where(eq(mediaSessions.ticketId, other.jti)),
    ).toEqual([]);
  });
}
