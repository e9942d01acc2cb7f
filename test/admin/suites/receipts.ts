import { randomUUID } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { expect, it } from 'vitest';
import { mediaSessions, receipts, tickets } from '../../../admin/db/schema.ts';
import { listUsage } from '../../../admin/receipts/queries.ts';
import { storeReceipts } from '../../../admin/receipts/store.ts';
import { commit, reserve } from '../../../admin/tickets/redeem.ts';
import type { Receipt, ReceiptsStored } from '../../../plugin/contract.ts';
import { receiptHash } from '../../../plugin/receipts/chain.ts';
import type { Rights } from '../../../plugin/rights/index.ts';
import {
  createCustomer,
  createTestOffer,
  orderOffer,
  START_MS,
  type World,
} from '../../support/databases.ts';

const START = START_MS / 1000;

interface Viewing {
  readonly jti: string;
  readonly session: string;
  /** The next receipt of the chain, some seconds after the last. */
  next(changes?: Partial<Receipt>): Receipt;
  store(list: readonly Receipt[], atSeconds?: number, serverId?: string): Promise<ReceiptsStored>;
}

async function startViewing(
  world: World,
  rights: Partial<Rights> = {},
  accountId: string | null = null,
): Promise<Viewing> {
  const offer = await createTestOffer(world, { rights });
  const { issued } = await orderOffer(world, offer.id, accountId);
  const session = randomUUID();
  let last: Receipt | undefined;
  return {
    jti: issued.jti,
    session,
    next: (changes = {}) => {
      const seq = last === undefined ? 0 : last.seq + 1;
      const receipt: Receipt = {
        session,
        ticket: issued.jti,
        uri: offer.path,
        seq,
        prev: last === undefined ? null : receiptHash(last),
        startedAt: START,
        at: START + 5 * (seq + 1),
        mediaMs: 5000 * (seq + 1),
        bytes: 100_000 * (seq + 1),
        state: 'progress',
        reason: null,
        ...changes,
      };
      last = receipt;
      return receipt;
    },
    store: async (list, atSeconds = START + 600, serverId = world.server.id) =>
      (
        await world.db.transaction((tx) =>
          storeReceipts(tx, { serverId, receipts: list, jws: 'a.b.c' }, atSeconds * 1000),
        )
      ).answer,
  };
}

const refusal = (result: ReceiptsStored) => result.refused.map(({ reason }) => reason);

export function receiptsSuite(world: () => World): void {
  it('stores a chain, in one batch or many, and adds it to what the ticket has used', async () => {
    const { db } = world();
    const viewing = await startViewing(world());
    expect(await viewing.store([viewing.next(), viewing.next()])).toEqual({ stored: 2, refused: [] });
    expect(await viewing.store([viewing.next()])).toEqual({ stored: 1, refused: [] });
    const [ticket] = await db.select().from(tickets).where(eq(tickets.jti, viewing.jti));
    expect(ticket).toMatchObject({ mediaMsUsed: 15_000, bytesUsed: 300_000 });
  });

  it('stores a receipt once, however often it comes', async () => {
    const { db } = world();
    const viewing = await startViewing(world());
    const batch = [viewing.next(), viewing.next()];
    await viewing.store(batch);
    expect(await viewing.store(batch)).toEqual({ stored: 2, refused: [] });
    expect(await viewing.store([...batch, ...batch, viewing.next()])).toEqual({ stored: 5, refused: [] });
    expect(await db.select().from(receipts).where(eq(receipts.sessionId, viewing.session))).toHaveLength(3);
    const [ticket] = await db.select().from(tickets).where(eq(tickets.jti, viewing.jti));
    expect(ticket).toMatchObject({ mediaMsUsed: 15_000, bytesUsed: 300_000 });
  });

  it('counts once when the same batch arrives 10 times at once', async () => {
    const { db } = world();
    const viewing = await startViewing(world());
    const batch = [viewing.next(), viewing.next()];
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => viewing.store(batch)));
    expect(results.every(({ status }) => status === 'fulfilled')).toBe(true);
    const [ticket] = await db.select().from(tickets).where(eq(tickets.jti, viewing.jti));
    expect(ticket).toMatchObject({ mediaMsUsed: 10_000, bytesUsed: 200_000 });
  });

  it('adds up the sessions of a ticket', async () => {
    const { db, server } = world();
    const viewing = await startViewing(world());
    await viewing.store([viewing.next()]);
    const second = { ...viewing.next(), session: randomUUID(), seq: 0, prev: null };
    await db.transaction((tx) =>
      storeReceipts(tx, { serverId: server.id, receipts: [second], jws: 'a.b.c' }, START_MS + 600_000),
    );
    const [ticket] = await db.select().from(tickets).where(eq(tickets.jti, viewing.jti));
    expect(ticket).toMatchObject({ mediaMsUsed: 15_000, bytesUsed: 300_000 });
  });

  it.each<[string, string, (viewing: Viewing, world: World) => Promise<Receipt[]>]>([
    [
      'other content under a number that is stored',
      'fork',
      async (viewing) => {
        const first = viewing.next();
        await viewing.store([first]);
        return [{ ...first, bytes: first.bytes + 1 }];
      },
    ],
    [
      'a number that skips one',
      'gap',
      async (viewing) => {
        await viewing.store([viewing.next()]);
        viewing.next();
        return [viewing.next()];
      },
    ],
    [
      'a first receipt that is not number 0',
      'gap',
      async (viewing) => {
        viewing.next();
        return [viewing.next()];
      },
    ],
    [
      'another receipt before it than the one stored',
      'chain_broken',
      async (viewing) => {
        await viewing.store([viewing.next()]);
        return [viewing.next({ prev: 'A'.repeat(43) })];
      },
    ],
    [
      'less media than before',
      'falling',
      async (viewing) => {
        await viewing.store([viewing.next()]);
        return [viewing.next({ mediaMs: 4999 })];
      },
    ],
    [
      'fewer bytes than before',
      'falling',
      async (viewing) => {
        await viewing.store([viewing.next()]);
        return [viewing.next({ bytes: 0 })];
      },
    ],
    [
      'more media than time that has passed and 5 s',
      'implausible_media',
      async (viewing) => [viewing.next({ mediaMs: 10_001 })],
    ],
    [
      'more bytes than the tier lets through',
      'implausible_bytes',
      async (viewing) => [viewing.next({ bytes: 100_000_000 })],
    ],
    [
      'a time that is ahead of ours',
      'implausible_time',
      async (viewing) => [viewing.next({ at: START + 606 })],
    ],
    [
      'a time before that of the receipt before',
      'implausible_time',
      async (viewing) => {
        await viewing.store([viewing.next({ at: START + 30 })]);
        return [viewing.next({ at: START + 29 })];
      },
    ],
    [
      'an end before its start',
      'implausible_time',
      async (viewing) => [viewing.next({ startedAt: START + 100 })],
    ],
    [
      'a start before the ticket',
      'implausible_time',
      async (viewing) => [viewing.next({ startedAt: START - 6 })],
    ],
    [
      'another start than before',
      'implausible_time',
      async (viewing) => {
        await viewing.store([viewing.next()]);
        return [viewing.next({ startedAt: START + 1 })];
      },
    ],
    [
      'a ticket that we did not issue',
      'unknown_ticket',
      async (viewing) => [viewing.next({ ticket: randomUUID() })],
    ],
    [
      'another stream than the ticket',
      'wrong_uri',
      async (viewing) => [viewing.next({ uri: '/live/other' })],
    ],
    [
      'a session that has ended',
      'closed',
      async (viewing) => {
        await viewing.store([viewing.next({ state: 'final', reason: 'viewer_left' })]);
        return [viewing.next()];
      },
    ],
  ])('refuses %s: %s', async (_what, reason, make) => {
    const { db } = world();
    const viewing = await startViewing(world(), { tier: { maxBitrate: 1_000_000 } });
    const list = await make(viewing, world());
    const before = await db.select().from(tickets).where(eq(tickets.jti, viewing.jti));
    expect(refusal(await viewing.store(list))).toEqual([reason]);
    expect(await db.select().from(tickets).where(eq(tickets.jti, viewing.jti))).toEqual(before);
  });

  it('refuses what follows a refused receipt, and takes the good ones of the same batch', async () => {
    const [good, bad] = [await startViewing(world()), await startViewing(world())];
    const result = await good.store([good.next(), bad.next({ mediaMs: 1_000_000 }), bad.next(), good.next()]);
    expect(result.stored).toBe(2);
    expect(result.refused).toEqual([
      { session: bad.session, seq: 0, reason: 'implausible_media' },
      { session: bad.session, seq: 1, reason: 'gap' },
    ]);
  });

  it("refuses a server that is not in the ticket's audience, and one that did not begin the session", async () => {
    const { db } = world();
    const viewing = await startViewing(world());
    const first = viewing.next();
    expect(refusal(await viewing.store([first], START + 600, 'ss-2'))).toEqual(['wrong_audience']);
    await viewing.store([first]);
    await db
      .update(tickets)
      .set({ audience: ['ss-1', 'ss-2'] })
      .where(eq(tickets.jti, viewing.jti));
    expect(refusal(await viewing.store([viewing.next()], START + 600, 'ss-2'))).toEqual(['session_mismatch']);
  });

  it('renews the lease with each receipt, and ends it with the final one', async () => {
    const { db, server } = world();
    const viewing = await startViewing(world(), { concurrent: 1 });
    const take = (session: string, atSeconds: number) =>
      db.transaction((tx) =>
        reserve(tx, { session, attempt: null, ticketId: viewing.jti, serverId: server.id }, atSeconds * 1000),
      );
    await take(viewing.session, START);
    await db.transaction((tx) => commit(tx, viewing.session, server.id, START_MS));
    await viewing.store([viewing.next()], START + 25);
    await expect(take(randomUUID(), START + 50)).rejects.toMatchObject({ code: 'rights_concurrency' });
    await viewing.store([viewing.next({ state: 'final', reason: 'viewer_left' })], START + 51);
    await take(randomUUID(), START + 51);
    const [session] = await db.select().from(mediaSessions).where(eq(mediaSessions.id, viewing.session));
    expect(session).toMatchObject({ state: 'ended', endReason: 'viewer_left', lastSeq: 1 });
  });

  it('shows an account its own viewings, newest first', async () => {
    const { db } = world();
    const [one, other] = [await createCustomer(world()), await createCustomer(world())];
    const viewing = await startViewing(world(), {}, one.id);
    await viewing.store([viewing.next(), viewing.next({ state: 'final', reason: 'viewer_left' })]);
    const page = { limit: 10, inverted: false };
    expect(await listUsage(db, one.id, page)).toMatchObject([
      {
        id: viewing.session,
        mediaMs: 10_000,
        bytes: 200_000,
        seq: 1,
        endReason: 'viewer_left',
        titleName: 'Test',
      },
    ]);
    expect(await listUsage(db, other.id, page)).toEqual([]);
  });
}
