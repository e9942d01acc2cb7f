/** Offers of every charging mode, and what orders have done to the books. */
import { randomUUID } from 'node:crypto';
import { createOffer, type Offer, type OfferInput } from '../../admin/catalog/offers.ts';
import { createTitle } from '../../admin/catalog/titles.ts';
import { balancesOf, heldOf } from '../../admin/ledger/ledger.ts';
import { findAnyOrder } from '../../admin/orders/orders.ts';
import type { TimeOption } from '../../admin/pricing/time-options.ts';
import { START_MS, type World } from './databases.ts';

/** "2 views", to be begun within an hour. Counted, so that its commit is heard of. */
const VIEWS: TimeOption = { kind: 'views', views: 2, validSeconds: 3600 };

/** An offer of a title of its own, in euro cents. */
export async function createSale(
  { db }: Pick<World, 'db'>,
  terms: Partial<OfferInput> = {},
): Promise<Offer & { titleId: string; path: string }> {
  const now = new Date(START_MS);
  const path = `/live/t-${randomUUID()}`;
  return db.transaction(async (tx) => {
    const title = { path, name: 'Test', description: '', published: true, serverIds: [] };
    const titleId = await createTitle(tx, title, now);
    const input: OfferInput = {
      titleId,
      name: 'Test',
      currency: 'EUR',
      timeOption: VIEWS,
      active: true,
      ...(terms.timeOption?.kind === 'metered' ? {} : { priceMinor: 300 }),
      ...terms,
    };
    return { ...(await createOffer(tx, input, now)), titleId, path };
  });
}

/** What an order and its buyer have: state, charged, given back, balance, held. Euro cents. */
export async function booksOf({ db }: Pick<World, 'db'>, orderId: string) {
  const order = await findAnyOrder(db, orderId);
  if (order === null) throw new Error('no such order');
  const sum = (list: readonly { amountMinor: number }[]) => list[0]?.amountMinor ?? 0;
  return {
    state: order.state,
    captured: order.captured.amountMinor,
    refunded: order.refunded.amountMinor,
    balance: order.accountId === null ? 0 : sum(await balancesOf(db, order.accountId)),
    held: order.accountId === null ? 0 : sum(await heldOf(db, order.accountId)),
  };
}
