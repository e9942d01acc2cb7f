import type { Offer } from '../catalog/offers.ts';
import type { Title } from '../catalog/titles.ts';
import { loadOrderDetails, type OrderTicket } from '../orders/details.ts';
import { findAnyOrder, findOrder, listOrders, type Order, type OrderEvent } from '../orders/orders.ts';
import { money } from '../ledger/money.ts';
import { ORDER_STATES } from '../orders/states.ts';
import type { Payment } from '../payments/payments.ts';
import type { Usage } from '../receipts/queries.ts';
import type { TicketFlag } from '../tickets/flags.ts';
import { createBatch } from './batch.ts';
import { allow, can } from './access.ts';
import { builder } from './builder.ts';
import { parseId, resolvePage, signedIn } from './input.ts';
import { ChargingEnum, MoneyType, OfferType, RightsType, TitleType, UnusedPolicyEnum } from './types.ts';

export const UsageType = builder.objectRef<Usage>('Receipt').implement({
  description: 'What one viewing has used, by its last receipt; cumulative.',
  fields: (t) => ({
    id: t.exposeID('id', { description: 'Session id.' }),
    orderId: t.exposeID('orderId'),
    uri: t.exposeString('uri', { description: 'Stream path.' }),
    titleName: t.exposeString('titleName', { nullable: true }),
    seq: t.exposeInt('seq', { description: 'Number of the last receipt, from 0.' }),
    hash: t.exposeString('hash', {
      description:
        'Of the last receipt: the copy that its viewer has taken at the streaming server has the same.',
    }),
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

const OrderStateEnum = builder.enumType('OrderState', {
  description: 'Where an order is on its way: docs/orders.md.',
  values: ORDER_STATES,
});

const PaymentType = builder.objectRef<Payment>('Payment').implement({
  description: 'What pays for an order.',
  fields: (t) => ({
    id: t.exposeID('id'),
    provider: t.exposeString('provider', { description: '"balance", "voucher" or "test_card".' }),
    state: t.exposeString('state', {
      description: '"pending", "authorized", "declined", "captured", "released", "refunded" or "failed".',
    }),
    amount: t.field({
      type: MoneyType,
      description: 'What was authorized, or is to be.',
      resolve: ({ amountMinor, currency }) => money(amountMinor, currency),
    }),
  }),
});

const OrderEventType = builder.objectRef<OrderEvent>('OrderEvent').implement({
  description: "One change of an order's state.",
  fields: (t) => ({
    id: t.exposeID('id'),
    from: t.expose('fromState', { type: OrderStateEnum, nullable: true }),
    to: t.expose('toState', { type: OrderStateEnum }),
    by: t.exposeString('actor', { description: '"buyer", "staff", "provider" or "system".' }),
    amountMinor: t.field({
      type: 'SafeInt',
      nullable: true,
      description: 'What it charged or gave back.',
      resolve: ({ amountMinor }) => amountMinor,
    }),
    reason: t.string({
      nullable: true,
      description: 'What staff have written is for staff with orders:read.',
      resolve: ({ actor, reason }, _args, context) =>
        actor === 'staff' && !can(context, 'orders:read') ? null : reason,
    }),
    at: t.field({ type: 'DateTime', resolve: ({ createdAt }) => createdAt }),
  }),
});

const details = createBatch((context, orders: readonly Order[]) =>
  loadOrderDetails(context.services.db, orders),
);

export const OrderType = builder.objectRef<Order>('Order').implement({
  fields: (t) => ({
    id: t.exposeID('id'),
    state: t.expose('state', { type: OrderStateEnum }),
    accountId: t.exposeID('accountId', { nullable: true }),
    name: t.string({
      description: "The offer's name when it was ordered.",
      resolve: ({ terms }) => terms.name,
    }),
    rights: t.field({
      type: RightsType,
      description: 'What was sold: its tickets carry these, whatever has become of the offer.',
      resolve: ({ terms }) => terms.rights,
    }),
    charging: t.field({ type: ChargingEnum, resolve: ({ terms }) => terms.charging }),
    unusedPolicy: t.field({ type: UnusedPolicyEnum, resolve: ({ terms }) => terms.unusedPolicy }),
    price: t.field({
      type: MoneyType,
      description: 'What is charged, or held at most.',
      resolve: (order) => order.price,
    }),
    listPrice: t.field({
      type: MoneyType,
      description: 'The price before discounts.',
      resolve: (order) => order.listPrice,
    }),
    captured: t.field({
      type: MoneyType,
      description: 'What was charged.',
      resolve: (order) => order.captured,
    }),
    refunded: t.field({
      type: MoneyType,
      description: 'What of it was given back.',
      resolve: (order) => order.refunded,
    }),
    createdAt: t.field({ type: 'DateTime', resolve: (order) => order.createdAt }),
    deliveredAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When the first picture left.',
      resolve: (order) => order.deliveredAt,
    }),
    expiresAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When its tickets expire; null before there are any.',
      resolve: (order) => order.expiresAt,
    }),
    offer: t.field({
      type: OfferType,
      description: 'The offer as it is now.',
      resolve: async (order, _args, context): Promise<Offer> => (await details(context, order)).offer,
    }),
    title: t.field({
      type: TitleType,
      resolve: async (order, _args, context): Promise<Title> => (await details(context, order)).title,
    }),
    payment: t.field({
      type: PaymentType,
      nullable: true,
      description: 'Null when it is free.',
      resolve: async (order, _args, context) => (await details(context, order)).payment,
    }),
    history: t.field({
      type: [OrderEventType],
      description: 'From its beginning.',
      resolve: async (order, _args, context) => (await details(context, order)).history,
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

builder.queryFields((t) => ({
  order: t.field({
    ...allow('account'),
    type: OrderType,
    nullable: true,
    description: 'One of the own orders; staff with orders:read see any.',
    args: { id: t.arg.id() },
    resolve: (_root, { id }, context) =>
      can(context, 'orders:read')
        ? findAnyOrder(context.services.db, parseId(id))
        : findOrder(context.services.db, signedIn(context).id, parseId(id)),
  }),
  orders: t.connection({
    ...allow('orders:read'),
    type: OrderType,
    description: 'Orders of all customers, newest first.',
    args: {
      accountId: t.arg.id({ required: false }),
      titleId: t.arg.id({ required: false }),
      state: t.arg({ type: OrderStateEnum, required: false }),
    },
    resolve: (_root, { accountId, titleId, state, ...args }, { services }) => {
      const filter = {
        ...(!accountId ? {} : { accountId: parseId(accountId) }),
        ...(!titleId ? {} : { titleId: parseId(titleId) }),
        ...(!state ? {} : { state }),
      };
      return resolvePage(args, (page) => listOrders(services.db, filter, page));
    },
  }),
}));
