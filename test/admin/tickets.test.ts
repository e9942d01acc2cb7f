/** How many streaming servers a ticket is for. */
import { eq } from 'drizzle-orm';
import { expect, it } from 'vitest';
import { tickets } from '../../admin/db/schema.ts';
import { registerServer, type StreamingServer } from '../../admin/trust/servers.ts';
import {
  generateSealingKey,
  generateSigningKey,
  MAX_TICKET_CHARS,
  openTicket,
  type SealingKeyPair,
} from '../../plugin/ticket/index.ts';
import { createStaticKeySource } from '../../plugin/ticket/index.ts';
import { createTestOffer, describeDatabase, ISSUER, orderOffer, START_MS } from '../support/databases.ts';

describeDatabase('pglite', (world) => {
  async function addServer(id: string, publicUrl: string): Promise<SealingKeyPair> {
    const [signing, sealing] = await Promise.all([generateSigningKey(), generateSealingKey()]);
    const server = { id, publicUrl, signingKey: signing.publicJwk, sealingKey: sealing.publicJwk };
    await registerServer(world().db, server as StreamingServer, new Date(START_MS));
    return sealing;
  }

  it('a ticket is for all of eight servers, and each can open it', async () => {
    const keys = new Map([['ss-1', world().sealingKey]]);
    for (const id of ['ss-2', 'ss-3', 'ss-4', 'ss-5', 'ss-6', 'ss-7', 'ss-8'])
      keys.set(id, await addServer(id, `https://${id}.media.example`));
    const offer = await createTestOffer(world());
    const { issued: ticket } = await orderOffer(world(), offer.id);
    const source = createStaticKeySource([
      { issuer: ISSUER, jwks: { keys: [...world().authority.publicJwks] } },
    ]);
    for (const [serverId, key] of keys) {
      const { secret } = await openTicket(ticket.ticket, {
        keys: source,
        nowSeconds: START_MS / 1000,
        serverId,
        uri: offer.path,
        unsealKeys: [key],
      });
      expect(secret.k).toHaveLength(32);
    }
  });

  it('a ticket is for fewer servers when their URLs leave no room, and the order is answered as it was stored', async () => {
    for (const id of ['ss-2', 'ss-3', 'ss-4', 'ss-5', 'ss-6', 'ss-7', 'ss-8'])
      await addServer(id, `https://${id}.${'a'.repeat(60)}.${'b'.repeat(60)}.example`);
    const offer = await createTestOffer(world());
    const { issued: ticket, order } = await orderOffer(world(), offer.id);
    expect(ticket.ticket.length).toBeLessThanOrEqual(MAX_TICKET_CHARS);
    expect(ticket.endpoints.length).toBeGreaterThan(1);
    expect(ticket.endpoints.length).toBeLessThan(8);
    const [stored] = await world().db.select().from(tickets).where(eq(tickets.orderId, order.id));
    expect(stored?.endpoints).toEqual(ticket.endpoints);
    expect(stored?.audience).toHaveLength(ticket.endpoints.length);
  });
});
