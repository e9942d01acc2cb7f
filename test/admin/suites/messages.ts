import { randomUUID } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { expect, it } from 'vitest';
import { mediaSessions, serverMessages, streamingServers } from '../../../admin/db/schema.ts';
import { release, reserve } from '../../../admin/tickets/redeem.ts';
import { pruneMessages, useMessage } from '../../../admin/trust/messages.ts';
import { createTestOffer, orderOffer, START_MS, type World } from '../../support/databases.ts';

const use = (serverId = 'ss-1') => ({ id: randomUUID(), serverId });
const replayed = { code: 'message_replayed' };

export function messagesSuite(world: () => World): void {
  it('takes a message once, of 50 copies at the same time', async () => {
    const message = use();
    const results = await Promise.allSettled(
      Array.from({ length: 50 }, () => useMessage(world().db, message, START_MS)),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject(replayed);
    }
  });

  it('takes it again when what it asked for was rolled back', async () => {
    const message = use();
    const failing = world().db.transaction(async (tx) => {
      await useMessage(tx, message, START_MS);
      throw new Error('lost');
    });
    await expect(failing).rejects.toThrow('lost');
    await useMessage(world().db, message, START_MS);
  });

  it('takes none of a server that is unknown or withdrawn, by whatever way', async () => {
    const { db } = world();
    const untrusted = { code: 'server_untrusted' };
    await expect(useMessage(db, use('ss-9'), START_MS)).rejects.toMatchObject(untrusted);
    await db.update(streamingServers).set({ active: false }).where(eq(streamingServers.id, 'ss-1'));
    await expect(useMessage(db, use(), START_MS)).rejects.toMatchObject(untrusted);
    await expect(release(db, randomUUID(), 'ss-1', START_MS, use())).rejects.toMatchObject(untrusted);
    await db.update(streamingServers).set({ active: true }).where(eq(streamingServers.id, 'ss-1'));
  });

  it('reserves with one statement, which refuses the message the second time', async () => {
    const { db } = world();
    const offer = await createTestOffer(world(), { rights: { accesses: 5 } });
    const { issued } = await orderOffer(world(), offer.id);
    const message = use();
    const request = () => ({
      session: randomUUID(),
      attempt: null,
      ticketId: issued.jti,
      serverId: 'ss-1',
    });
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => reserve(db, request(), START_MS, message)),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await db.select().from(mediaSessions).where(eq(mediaSessions.ticketId, issued.jti))).toHaveLength(
      1,
    );
  });

  it('remembers a message for longer than it is taken, and not for ever', async () => {
    const { db } = world();
    const message = use();
    await useMessage(db, message, START_MS);
    // Taken for 60 s, from a clock that may be 5 s behind ours.
    await pruneMessages(db, START_MS + 66_000);
    await expect(useMessage(db, message, START_MS)).rejects.toMatchObject(replayed);
    await pruneMessages(db, START_MS + 181_000);
    expect(await db.select().from(serverMessages)).toEqual([]);
  });
}
