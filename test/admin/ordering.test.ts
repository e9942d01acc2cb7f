import { expect, it } from 'vitest';
import type { RequestContext } from '../../admin/context.ts';
import { orderCounted } from '../../admin/graphql/ordering.ts';
import type { PlacedOrder } from '../../admin/orders/place.ts';
import { Denial } from '../../plugin/errors.ts';

it.each<[string, string | null, () => { replayed: boolean }, unknown[]]>([
  ['bought', 'a-1', () => ({ replayed: false }), ['orders a-1', 'renewed']],
  ['answered again', null, () => ({ replayed: true }), ['anonymousOrders 192.0.2.1', 'replayed']],
  [
    'refused',
    null,
    () => {
      throw new Denial('not_on_sale');
    },
    ['anonymousOrders 192.0.2.1', 'not_on_sale'],
  ],
])(
  'an order that is %s counts against its buyer, and by how it ended',
  async (_name, id, order, expected) => {
    const seen: unknown[] = [];
    const throttle = (name: string) => ({ take: (who: string) => void seen.push(`${name} ${who}`) });
    const context = {
      account: id === null ? null : { id },
      peer: '192.0.2.1',
      country: null,
      services: {
        throttles: {
          orders: throttle('orders'),
          anonymousOrders: throttle('anonymousOrders'),
          codes: throttle('codes'),
        },
        metrics: { orders: { inc: ({ outcome }: { outcome: string }) => void seen.push(outcome) } },
      },
    } as unknown as RequestContext;
    await orderCounted(context, {}, 'renewed', ({ accountId, address }) => {
      expect([accountId, address]).toEqual([id, '192.0.2.1']);
      return Promise.resolve(order() as PlacedOrder);
    }).catch((error: unknown) => expect(error).toBeInstanceOf(Denial));
    expect(seen).toEqual(expected);
  },
);
