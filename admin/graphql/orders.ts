import { asDenial } from '../../plugin/errors.ts';
import type { Offer } from '../catalog/offers.ts';
import type { Title } from '../catalog/titles.ts';
import { loadOrderDetails, type OrderTicket } from '../orders/details.ts';
import { findOrder, orderRequestSchema, placeOrder, type Order, type PlacedOrder } from '../orders/orders.ts';
import type { Usage } from '../receipts/queries.ts';
import type { TicketFlag } from '../tickets/flags.ts';
import { createBatch } from './batch.ts';
import { allow, builder } from './builder.ts';
import { given, parseId, parseInput, signedIn } from './input.ts';
import { PublicKeyInput } from './servers.ts';
import { MoneyType, OfferType, RightsType, TitleType } from './types.ts';

export const UsageType = builder.objectRef<Usage>('Receipt').implement({
  description: 'What one viewing has used, by its last receipt; cumulative.',
  fields: (t) => ({
    id: t.exposeID('id', { description: 'Session id.' }),
    orderId: t.exposeID('orderId'),
    uri: t.exposeString('uri', { description: 'Stream path.' }),
    titleName: t.exposeString('titleName', { nullable: true }),
    seq: t.exposeInt('seq', { description: 'Number of the last receipt, from 0.' }),
    startedAt: t.field({ type: 'DateTime', resolve: (usage) => usage.startedAt }),
    endedAt: t.field({ type: 'DateTime', nullable: true, resolve: (usage) => usage.endedAt }),
    mediaMs: t.field({
      type: 'SafeInt',
      description: 'Milliseconds of media.',
      resolve: (usage) => usage.mediaMs,
    }),
    bytes: t.field({ type: 'SafeInt', resolve: (usage) => usage.bytes }),
    reason: t.string({
      nullable: true,
      description: 'Why it ended; null while it runs.',
      resolve: (usage) => usage.endReason,
    }),
  }),
});

export const TicketFlagType = builder.objectRef<TicketFlag>('TicketFlag').implement({
  description: 'What streaming servers have noticed about a ticket.',
  fields: (t) => ({
    id: t.exposeID('id'),
    ticketId: t.exposeID('ticketId'),
    what: t.exposeString('what', { description: '"proof_replayed": a proof of its holder came twice.' }),
    times: t.exposeInt('times', { description: 'Reports; at most one a minute and streaming server.' }),
    firstAt: t.field({ type: 'DateTime', resolve: (flag) => flag.firstAt }),
    lastAt: t.field({ type: 'DateTime', resolve: (flag) => flag.lastAt }),
    serverId: t.exposeString('serverId', { description: 'Who reported it last.' }),
  }),
});

const OrderTicketType = builder.objectRef<OrderTicket>('OrderTicket').implement({
  fields: (t) => ({
    id: t.exposeID('id', { description: 'The claim jti.' }),
    issuedAt: t.field({ type: 'DateTime', resolve: (ticket) => ticket.issuedAt }),
    expiresAt: t.field({ type: 'DateTime', resolve: (ticket) => ticket.expiresAt }),
    revokedAt: t.field({ type: 'DateTime', nullable: true, resolve: (ticket) => ticket.revokedAt }),
    flags: t.field({ type: [TicketFlagType], resolve: (ticket) => ticket.flags }),
  }),
});

const details = createBatch((context, orders: readonly Order[]) =>
  loadOrderDetails(context.services.db, orders),
);

export const OrderType = builder.objectRef<Order>('Order').implement({
  fields: (t) => ({
    id: t.exposeID('id'),
    state: t.exposeString('state', { description: '"completed".' }),
    price: t.field({ type: MoneyType, resolve: (order) => order.price }),
    createdAt: t.field({ type: 'DateTime', resolve: (order) => order.createdAt }),
    offer: t.field({
      type: OfferType,
      resolve: async (order, _args, context): Promise<Offer> => (await details(context, order)).offer,
    }),
    title: t.field({
      type: TitleType,
      resolve: async (order, _args, context): Promise<Title> => (await details(context, order)).title,
    }),
    expiresAt: t.field({
      type: 'DateTime',
      description: 'When the ticket expires.',
      resolve: async (order, _args, context) => (await details(context, order)).expiresAt,
    }),
    tickets: t.field({
      type: [OrderTicketType],
      resolve: async (order, _args, context) => (await details(context, order)).tickets,
    }),
    sessions: t.field({
      type: [UsageType],
      description: 'What was watched with it, the newest 20 first.',
      resolve: async (order, _args, context) => (await details(context, order)).sessions,
    }),
  }),
});

builder.queryField('order', (t) =>
  t.field({
    ...allow('account'),
    type: OrderType,
    nullable: true,
    description: 'One of the own orders.',
    args: { id: t.arg.id() },
    resolve: (_root, { id }, context) => findOrder(context.services.db, signedIn(context).id, parseId(id)),
  }),
);

const EndpointType = builder.objectRef<string>('Endpoint').implement({
  description: 'Where the ticket can be used.',
  fields: (t) => ({ whep: t.string({ description: 'Absolute URL.', resolve: (url) => url }) }),
});

const PlacedOrderType = builder.objectRef<PlacedOrder>('PlacedOrder').implement({
  fields: (t) => ({
    order: t.field({ type: OrderType, resolve: (placed) => placed.order }),
    ticket: t.string({ description: 'Compact JWS.', resolve: (placed) => placed.issued.ticket }),
    clientPart: t.string({
      nullable: true,
      description: 'Compact JWE to sealKey; it stays with the client.',
      resolve: (placed) => placed.issued.clientPart,
    }),
    uri: t.string({ description: 'Stream path.', resolve: (placed) => placed.issued.uri }),
    rights: t.field({ type: RightsType, resolve: (placed) => placed.issued.rights }),
    endpoints: t.field({ type: [EndpointType], resolve: (placed) => placed.issued.endpoints }),
    expiresAt: t.field({ type: 'DateTime', resolve: (placed) => placed.issued.expiresAt }),
    replayed: t.exposeBoolean('replayed', { description: 'True when this request was answered before.' }),
  }),
});

const PlaceOrderInput = builder.inputType('PlaceOrderInput', {
  fields: (t) => ({
    offerId: t.id(),
    proofKey: t.field({
      type: PublicKeyInput,
      description: 'Proves possession: Ed25519 or P-256, fresh per order.',
    }),
    sealKey: t.field({
      type: PublicKeyInput,
      description: 'For the client part: X25519 or P-256, fresh per order.',
    }),
    idempotencyKey: t.string({ description: '8 to 100 characters; the same again is answered alike.' }),
  }),
});

builder.mutationField('placeOrder', (t) =>
  t.field({
    // Free offers need no account; `placeOrder` itself refuses the others.
    ...allow('anyone'),
    type: PlacedOrderType,
    description: 'Buys an offer from the balance. Free offers need no account.',
    args: { input: t.arg({ type: PlaceOrderInput }) },
    resolve: async (_root, { input }, { services, account, peer }) => {
      try {
        if (account === null) services.throttles.anonymousOrders.take(peer);
        else services.throttles.orders.take(account.id);
        const request = parseInput(orderRequestSchema, {
          ...input,
          offerId: parseId(input.offerId),
          proofKey: given(input.proofKey),
          sealKey: given(input.sealKey),
        });
        const placed = await services.db.transaction((tx) =>
          placeOrder(tx, services.authority, request, account?.id ?? null, services.clock.nowMs()),
        );
        services.metrics.orders.inc({ outcome: placed.replayed ? 'replayed' : 'placed' });
        return placed;
      } catch (error) {
        services.metrics.orders.inc({ outcome: asDenial(error).code });
        throw error;
      }
    },
  }),
);
