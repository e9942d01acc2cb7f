/** Tickets for the titles of a category. */
import { eq } from 'drizzle-orm';
import { expect, it } from 'vitest';
import { createCategory } from '../../../admin/catalog/categories.ts';
import { createTitle } from '../../../admin/catalog/titles.ts';
import { createOffer } from '../../../admin/catalog/offers.ts';
import { tickets } from '../../../admin/db/schema.ts';
import { loadOrderDetails } from '../../../admin/orders/details.ts';
import { issueFurther, type FurtherTicketRequest } from '../../../admin/orders/further.ts';
import { latestSeq, readEntries } from '../../../admin/revocations/entries.ts';
import { findTicketsOfOrder } from '../../../admin/revocations/queries.ts';
import { newId } from '../../../admin/ids.ts';
import { Denial } from '../../../plugin/errors.ts';
import {
  createCustomer,
  createOrderRequest,
  place,
  START_MS,
  ticketed,
  type World,
} from '../../support/databases.ts';
import { createViewing } from '../../support/viewings.ts';

const MONTH_SECONDS = 30 * 24 * 3600;

export function furtherSuite(world: () => World): void {
  async function setUp(concurrent: number | null = null) {
    const { db } = world();
    const now = new Date(START_MS);
    const { titles, offerId } = await db.transaction(async (tx) => {
      const category = await createCategory(tx, { slug: `c-${newId()}`, name: 'Films' }, now);
      const made: string[] = [];
      for (const categoryIds of [[category.id], [category.id], []]) {
        const title = {
          path: `/live/t-${newId()}`,
          name: `Title ${String(made.length)}`,
          description: '',
          published: true,
          serverIds: [],
        };
        made.push(await createTitle(tx, { ...title, categoryIds }, now));
      }
      const offer = await createOffer(
        tx,
        {
          categoryId: category.id,
          name: 'A month of films',
          priceMinor: 999,
          currency: 'EUR',
          timeOption: { kind: 'category', seconds: MONTH_SECONDS },
          concurrent,
          active: true,
        },
        now,
      );
      return { titles: made, offerId: offer.id };
    });
    const customer = await createCustomer(world(), 1000);
    const [first = '', second = '', other = ''] = titles;
    const request = { ...(await createOrderRequest(offerId)), titleId: first };
    const order = ticketed(await place(world(), request, customer.id));
    return { customer, order, second, other, offerId };
  }

  const issue = (
    request: FurtherTicketRequest,
    accountId: string,
    nowMs = START_MS,
    beforeRevoking = () => undefined as void,
  ) =>
    world().db.transaction((tx) =>
      issueFurther(tx, world().authority, request, { accountId, country: null, beforeRevoking }, nowMs),
    );

  async function requestFor(orderId: string, titleId: string): Promise<FurtherTicketRequest> {
    const { proofKey, sealKey, idempotencyKey } = await createOrderRequest(orderId);
    return { orderId, titleId, proofKey, sealKey, idempotencyKey };
  }

  it('another title of the category gets a ticket without a charge, as long as the order lasts', async () => {
    const { customer, order, second } = await setUp();
    const request = await requestFor(order.order.id, second);
    const further = await issue(request, customer.id, START_MS + 60_000);
    expect(further.replayed).toBe(false);
    expect(further.issued?.uri).not.toBe(order.issued.uri);
    expect(further.issued?.expiresAt).toEqual(order.issued.expiresAt);
    expect(await issue(request, customer.id, START_MS + 90_000)).toMatchObject({
      replayed: true,
      issued: further.issued,
    });
    const changed = { ...(await requestFor(order.order.id, second)), idempotencyKey: request.idempotencyKey };
    await expect(issue(changed, customer.id)).rejects.toMatchObject({ code: 'idempotency_conflict' });
    await createViewing(world(), order).begin();
    await createViewing(world(), ticketed(further)).begin();
  });

  it('where viewings at the same time are limited, the ticket before ends', async () => {
    const { customer, order, second } = await setUp(1);
    const further = await issue(await requestFor(order.order.id, second), customer.id);
    await expect(createViewing(world(), order).begin()).rejects.toMatchObject({ code: 'ticket_revoked' });
    await createViewing(world(), ticketed(further)).begin();
  });

  it('the feed tells of the ticket before only while it is watched, as often as its buyer may', async () => {
    const { customer, order, second } = await setUp(1);
    const { db } = world();
    const after = await latestSeq(db);
    const refuse = () => {
      throw new Denial('rate_limited');
    };
    const further = ticketed(
      await issue(await requestFor(order.order.id, second), customer.id, START_MS, refuse),
    );
    expect(await readEntries(db, { after, limit: 10 })).toEqual([]);
    await createViewing(world(), further).begin();
    const request = await requestFor(order.order.id, second);
    await expect(issue(request, customer.id, START_MS, refuse)).rejects.toMatchObject({
      code: 'rate_limited',
    });
    await issue(request, customer.id);
    expect(await readEntries(db, { after, limit: 10 })).toMatchObject([
      { kind: 'ticket', value: further.issued.jti },
    ]);
  });

  it('one after the other when they are asked for at once: the last one is good', async () => {
    const { customer, order, second } = await setUp(1);
    const requests = await Promise.all([1, 2, 3].map(() => requestFor(order.order.id, second)));
    const issued = await Promise.all(requests.map((request) => issue(request, customer.id)));
    expect(issued.map(({ replayed }) => replayed)).toEqual([false, false, false]);
    const sold = await world()
      .db.select({ revokedAt: tickets.revokedAt })
      .from(tickets)
      .where(eq(tickets.orderId, order.order.id));
    expect(sold).toHaveLength(4);
    expect(sold.filter(({ revokedAt }) => revokedAt === null)).toHaveLength(1);
  });

  it('its viewings have the names of their titles, its tickets the newest first', async () => {
    const { customer, order, second } = await setUp();
    const further = ticketed(await issue(await requestFor(order.order.id, second), customer.id));
    for (const one of [order, further]) await createViewing(world(), one).use({ seconds: 5 });
    const details = (await loadOrderDetails(world().db, [order.order])).get(order.order);
    expect(new Map(details?.sessions.map(({ uri, titleName }) => [uri, titleName]))).toEqual(
      new Map([
        [order.issued.uri, 'Title 0'],
        [further.issued.uri, 'Title 1'],
      ]),
    );
    const sold = await findTicketsOfOrder(world().db, order.order.id);
    expect(sold.map(({ id }) => id)).toEqual([further.issued.jti, order.issued.jti]);
  });

  it.each([
    ["somebody else's order", 'second', 'other', 0, 'not_found'],
    ['a title of no such category', 'other', 'own', 0, 'not_found'],
    ['an order that is over', 'second', 'own', MONTH_SECONDS * 1000, 'conflict'],
  ] as const)('%s gets none', async (_what, which, who, afterMs, code) => {
    const { customer, order, ...titles } = await setUp();
    const accountId = who === 'own' ? customer.id : (await createCustomer(world())).id;
    const request = await requestFor(order.order.id, titles[which]);
    await expect(issue(request, accountId, START_MS + afterMs)).rejects.toMatchObject({ code });
  });

  it('an order of a category names the title to begin with', async () => {
    const { customer, offerId } = await setUp();
    await expect(place(world(), await createOrderRequest(offerId), customer.id)).rejects.toMatchObject({
      code: 'input_invalid',
    });
  });
}
