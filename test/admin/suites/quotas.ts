/** Previews and places: what there is only so much of, when many ask at once. */
import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { PLACE_SECONDS, reserveCapacity, roomAt, setCapacity } from '../../../admin/catalog/capacity.ts';
import { updateTitle } from '../../../admin/catalog/titles.ts';
import { previewCounts, previewDays } from '../../../admin/db/schema.ts';
import { countPreview, prunePreviews } from '../../../admin/pricing/previews.ts';
import { registerServer, serversOf } from '../../../admin/trust/servers.ts';
import { generateSealingKey } from '../../../plugin/ticket/index.ts';
import {
  codesOf,
  createCustomer,
  createTestOffer,
  orderOffer,
  START_MS,
  type World,
} from '../../support/databases.ts';

const now = new Date(START_MS);
const AT_ONCE = 12;

export function quotasSuite(world: () => World): void {
  describe('previews', () => {
    const offerOf = (previewsPerAddress: number | null, previewsPerTitle: number | null) => ({
      preview: true,
      previewsPerAddress,
      previewsPerTitle,
    });
    const take = (offer: ReturnType<typeof offerOf>, titleId: string, peer: string, nowMs = START_MS) =>
      world().db.transaction((tx) => countPreview(tx, offer, titleId, peer, nowMs));

    it('are as many an address and a day as the offer says, however many ask at once', async () => {
      const { titleId } = await createTestOffer(world());
      const many = Array.from({ length: AT_ONCE }, () => take(offerOf(3, null), titleId, '192.0.2.7'));
      const codes = await codesOf(many);
      expect(codes.filter((code) => code === null)).toHaveLength(3);
      expect(codes.filter((code) => code === 'not_on_sale')).toHaveLength(AT_ONCE - 3);
      await take(offerOf(3, null), titleId, '192.0.2.8');
      await take(offerOf(3, null), titleId, '192.0.2.7', START_MS + 86_400_000);
    });

    it('count an IPv6 network as one address', async () => {
      const { titleId } = await createTestOffer(world());
      await take(offerOf(2, null), titleId, '2001:db8:1:2::1');
      await take(offerOf(2, null), titleId, '2001:0db8:0001:0002:ffff::9');
      await expect(take(offerOf(2, null), titleId, '2001:db8:1:2:3:4:5:6')).rejects.toMatchObject({
        code: 'not_on_sale',
      });
      await take(offerOf(2, null), titleId, '2001:db8:1:3::1');
      await take(offerOf(2, null), titleId, '::1');
    });

    it('of a title are as many in all as the offer says', async () => {
      const { titleId } = await createTestOffer(world());
      const many = Array.from({ length: AT_ONCE }, (_, i) => take(offerOf(1, 4), titleId, `192.0.2.${i}`));
      expect((await codesOf(many)).filter((code) => code === null)).toHaveLength(4);
    });

    it('keep no address, and nothing at all of the days before', async () => {
      const { db } = world();
      const { titleId } = await createTestOffer(world());
      await take(offerOf(1, 1), titleId, '198.51.100.77');
      expect(JSON.stringify(await db.select().from(previewCounts))).not.toContain('198.51.100.77');
      await prunePreviews(db, START_MS + 10 * 86_400_000);
      expect(await db.select().from(previewCounts)).toEqual([]);
      expect(await db.select().from(previewDays)).toEqual([]);
    });
  });

  describe('places', () => {
    let customerId = '';
    beforeAll(async () => {
      customerId = (await createCustomer(world())).id;
    });

    /** A title that servers of its own carry, each with so many places. */
    async function carried(capacities: readonly (number | null)[]) {
      const { db, server } = world();
      const serverIds: string[] = [];
      for (const capacity of capacities) {
        const id = `ss-${randomUUID().slice(0, 8)}`;
        const { publicJwk: sealingKey } = await generateSealingKey();
        await registerServer(db, { ...server, id, sealingKey } as typeof server, now);
        await setCapacity(db, id, capacity);
        serverIds.push(id);
      }
      const offer = await createTestOffer(world());
      await updateTitle(db, offer.titleId, { serverIds });
      return { offer, serverIds };
    }

    it('are given to no more orders than there are, however many come at once', async () => {
      const { offer, serverIds } = await carried([3, 2]);
      const tries = Array.from({ length: AT_ONCE }, () => orderOffer(world(), offer.id, customerId));
      const codes = await codesOf(tries);
      expect(codes.filter((code) => code === null)).toHaveLength(5);
      expect(codes.filter((code) => code === 'overloaded')).toHaveLength(AT_ONCE - 5);
      const room = await roomAt(world().db, serverIds, START_MS);
      expect([...room.values()].map(({ free }) => free)).toEqual([0, 0]);
      await expect(orderOffer(world(), offer.id, customerId)).rejects.toMatchObject({
        detail: 'every streaming server that carries this title is full',
      });
    });

    it('are not kept for what anybody gets for nothing, as often as he likes', async () => {
      const { offer, serverIds } = await carried([1]);
      const free = async () => (await roomAt(world().db, serverIds, START_MS)).get(serverIds[0]!)?.free;
      await orderOffer(world(), offer.id);
      await orderOffer(world(), offer.id);
      expect(await free()).toBe(1);
      await orderOffer(world(), offer.id, customerId);
      expect(await free()).toBe(0);
      await expect(orderOffer(world(), offer.id)).rejects.toMatchObject({ code: 'overloaded' });
    });

    it('come back when nobody has pressed play in time', async () => {
      const { offer, serverIds } = await carried([1]);
      const { order } = await orderOffer(world(), offer.id, customerId);
      const laterMs = START_MS + PLACE_SECONDS * 1000;
      expect((await roomAt(world().db, serverIds, laterMs - 1)).get(serverIds[0]!)?.free).toBe(0);
      const servers = await world().db.transaction(async (tx) =>
        reserveCapacity(tx, await serversOf(tx, offer.titleId), order.id, laterMs),
      );
      expect(servers.map(({ id }) => id)).toEqual(serverIds);
    });

    it('are sought where there is most room, and a full server is not named', async () => {
      const { offer, serverIds } = await carried([1, 5, 0]);
      const { issued } = await orderOffer(world(), offer.id, customerId);
      expect(issued.endpoints).toHaveLength(2);
      const room = await roomAt(world().db, serverIds, START_MS);
      expect(serverIds.map((id) => room.get(id)?.free)).toEqual([1, 4, 0]);
    });

    it('are not counted where there is no limit', async () => {
      const { offer, serverIds } = await carried([null]);
      await orderOffer(world(), offer.id, customerId);
      expect((await roomAt(world().db, serverIds, START_MS)).get(serverIds[0]!)).toEqual({
        capacity: null,
        taken: 0,
        free: null,
      });
    });
  });
}
