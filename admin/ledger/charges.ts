/** Charges and refunds for one who looks on: each once, as far as is remembered. */
import type { Executor } from '../db/connect.ts';
import type { Subscription } from '../events/follow.ts';
import { chargesOfOrders, latestCharges, type ChargesFilter, type StatementLine } from './statements.ts';

/** Of more, the oldest are forgotten: they may be shown again with a later refund of their order. */
const MAX_REMEMBERED = 1000;
/** What may have been missed is looked for among so many. */
const MAX_MISSED = 100;
/** Of at most 100 orders at a time. */
const MAX_AT_ONCE = 1000;

/** Follows what is booked from `since` on; events name orders. */
export function followCharges(
  db: Executor,
  filter: ChargesFilter,
): Pick<Subscription<StatementLine>, 'match' | 'missed' | 'load'> {
  // A Set keeps the order of insertion.
  const shown = new Set<string>();
  return {
    match: ({ kind, id }) => (kind === 'charge' ? id : null),
    missed: async () => {
      const latest = await latestCharges(db, filter, MAX_MISSED);
      return latest.filter(({ id }) => !shown.has(id)).map(({ orderId }) => orderId);
    },
    load: async (orderIds) => {
      const lines = await chargesOfOrders(db, orderIds, filter, MAX_AT_ONCE);
      const fresh = lines.filter(({ id }) => !shown.has(id));
      for (const { id } of fresh) shown.add(id);
      for (const id of shown) {
        if (shown.size <= MAX_REMEMBERED) break;
        shown.delete(id);
      }
      return fresh;
    },
  };
}
