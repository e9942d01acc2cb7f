/** Looking on: viewings for staff, and an order's usage for its buyer. */
import { Denial } from '../../plugin/errors.ts';
import { serverIdSchema } from '../../plugin/ticket/index.ts';
import { principalId, type RequestContext } from '../context.ts';
import { follow, type Subscription } from '../events/follow.ts';
import { withShown } from '../events/shown.ts';
import { findOrder } from '../orders/orders.ts';
import { findMediaSessions, listRunningSessions } from '../revocations/queries.ts';
import { findOrderUsage, type OrderUsage } from '../usage/order.ts';
import { allow, requireAccess, type Access } from './access.ts';
import { builder } from './builder.ts';
import { acting, now, parseId, parseInput, signedIn } from './input.ts';
import { MediaSessionType } from './revocations.ts';

/** Shown at the start, and after events may have been missed. */
const MAX_SHOWN_AT_ONCE = 100;

const OrderUsageType = builder.objectRef<OrderUsage>('OrderUsage').implement({
  description: 'What was used of an order, by the latest receipts.',
  fields: (t) => ({
    orderId: t.exposeID('orderId'),
    seconds: t.float({ description: 'Of media.', resolve: (usage) => usage.mediaMs / 1000 }),
    bytes: t.field({ type: 'SafeInt', resolve: (usage) => usage.bytes }),
    sessions: t.exposeInt('sessions', { description: 'Viewings that have begun, ended ones too.' }),
  }),
});

/** Follows events as whoever asks, for as long as the same one still may. */
export function followAs<T>(
  context: RequestContext,
  access: Access,
  what: Pick<Subscription<T>, 'match' | 'missed' | 'load'>,
): AsyncIterable<T> {
  // Only they read it: elsewhere a result without an end would wait for one.
  if (!context.isSubscription) throw new Denial('request_malformed', { detail: 'accept: text/event-stream' });
  const { id, accountId } = acting(context);
  const isAllowed = async (): Promise<boolean> => {
    const principal = await context.refreshPrincipal();
    if (principal === null || principalId(principal) !== id) return false;
    try {
      requireAccess(access, { principal });
      return true;
    } catch {
      return false;
    }
  };
  return follow(context.services.events, { ...what, isAllowed, account: accountId }, context.signal);
}

builder.subscriptionField('sessions', (t) =>
  t.field({
    ...allow('sessions:read'),
    type: MediaSessionType,
    description:
      'Viewings as they begin, go on and end; at first the newest that run. One that changes quickly is shown as it is at the time.',
    args: { ticketId: t.arg.id({ required: false }), serverId: t.arg.string({ required: false }) },
    subscribe: (_root, { ticketId, serverId }, context) => {
      const { db } = context.services;
      const filter = {
        ...(typeof ticketId === 'string' ? { ticketId: parseId(ticketId) } : {}),
        ...(typeof serverId === 'string' ? { serverId: parseInput(serverIdSchema, serverId) } : {}),
      };
      const page = { limit: MAX_SHOWN_AT_ONCE, inverted: false };
      return followAs(context, 'sessions:read', {
        match: ({ kind, id }) => (kind === 'session' ? id : null),
        ...withShown(
          {
            missed: async () =>
              (await listRunningSessions(db, page, now(context), filter)).map((session) => session.id),
            load: (ids) => findMediaSessions(db, ids, filter),
          },
          ({ state }) => state === 'ended' || state === 'released',
        ),
      });
    },
    resolve: (session) => session,
  }),
);

builder.subscriptionField('orderUsage', (t) =>
  t.field({
    ...allow('account'),
    type: OrderUsageType,
    description: 'What is used of one of the own orders, now and whenever it grows.',
    args: { orderId: t.arg.id() },
    subscribe: async (_root, args, context) => {
      const { db } = context.services;
      const orderId = parseId(args.orderId);
      if ((await findOrder(db, signedIn(context).id, orderId)) === null)
        throw new Denial('not_found', { detail: 'order' });
      return followAs(context, 'account', {
        match: ({ kind, id }) => (kind === 'order' && id === orderId ? id : null),
        missed: () => Promise.resolve([orderId]),
        load: async () => [await findOrderUsage(db, orderId)],
      });
    },
    resolve: (usage) => usage,
  }),
);
