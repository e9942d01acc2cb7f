/** What every purchase goes through, whatever it is that is bought. */
import { asDenial } from '../../plugin/errors.ts';
import type { RequestContext } from '../context.ts';
import type { PlacedOrder } from '../orders/place.ts';
import type { Buyer } from '../orders/request.ts';
import { takeCodeTry } from './pricing.ts';

/**
 * Runs an order within what one buyer may do in a time, and counts how it ended.
 * @param outcome how the metrics call an order that was not answered before
 * @param order reads what is asked for, and buys it
 * @throws Denial `rate_limited`, and what `order` throws
 */
export async function orderCounted(
  context: RequestContext,
  codes: Parameters<typeof takeCodeTry>[1],
  outcome: 'placed' | 'renewed',
  order: (buyer: Buyer) => Promise<PlacedOrder>,
): Promise<PlacedOrder> {
  const { services, account, peer, country } = context;
  const { throttles, metrics } = services;
  try {
    if (account === null) throttles.anonymousOrders.take(peer);
    else throttles.orders.take(account.id);
    takeCodeTry(context, codes);
    const placed = await order({ accountId: account?.id ?? null, country, address: peer });
    metrics.orders.inc({ outcome: placed.replayed ? 'replayed' : outcome });
    return placed;
  } catch (error) {
    metrics.orders.inc({ outcome: asDenial(error).code });
    throw error;
  }
}
