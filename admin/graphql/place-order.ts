/** Ordering, and taking it back. */
import { audit } from '../audit/audit.ts';
import { cancelOrder, type Cancellation } from '../orders/cancel.ts';
import { furtherTicketSchema, issueFurther } from '../orders/further.ts';
import { findAnyOrder, type Order } from '../orders/orders.ts';
import type { PlacedOrder } from '../orders/place.ts';
import { orderRequestSchema } from '../orders/request.ts';
import { refundOrder, refundSchema } from '../orders/refund.ts';
import { reasonSchema } from '../revocations/revoke.ts';
import type { RequestContext } from '../context.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { acting, given, now, parseId, parseInput, signedIn } from './input.ts';
import { orderCounted } from './ordering.ts';
import { OrderType } from './orders.ts';
import { PublicKeyInput } from './servers.ts';
import { RightsType } from './types.ts';

const EndpointType = builder.objectRef<string>('Endpoint').implement({
  description: 'Where the ticket can be used.',
  fields: (t) => ({ whep: t.string({ description: 'Absolute URL.', resolve: (url) => url }) }),
});

export const PlacedOrderType = builder.objectRef<PlacedOrder>('PlacedOrder').implement({
  description:
    'An order and its first ticket, which is null until the payment is authorized: then ask again.',
  fields: (t) => ({
    order: t.field({ type: OrderType, resolve: (placed) => placed.order }),
    ticket: t.string({
      nullable: true,
      description: 'Compact JWS.',
      resolve: (placed) => placed.issued?.ticket,
    }),
    clientPart: t.string({
      nullable: true,
      description: 'Compact JWE to sealKey; it stays with the client.',
      resolve: (placed) => placed.issued?.clientPart,
    }),
    uri: t.string({ nullable: true, description: 'Stream path.', resolve: (placed) => placed.issued?.uri }),
    rights: t.field({ type: RightsType, nullable: true, resolve: (placed) => placed.issued?.rights }),
    endpoints: t.field({ type: [EndpointType], resolve: (placed) => placed.issued?.endpoints ?? [] }),
    expiresAt: t.field({
      type: 'DateTime',
      nullable: true,
      resolve: (placed) => placed.issued?.expiresAt,
    }),
    replayed: t.exposeBoolean('replayed', { description: 'True when this request was answered before.' }),
  }),
});

const PlaceOrderInput = builder.inputType('PlaceOrderInput', {
  fields: (t) => ({
    offerId: t.id(),
    titleId: t.id({ required: false, description: 'Which title of a category to begin with.' }),
    promotionCode: t.string({ required: false }),
    voucherCode: t.string({ required: false, description: 'Pays for the offer that it is for.' }),
    cardToken: t.string({
      required: false,
      description: "Pays by card: the payment provider's token, never a card number. Else the balance pays.",
    }),
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

const OrderTicketInput = builder.inputType('OrderTicketInput', {
  fields: (t) => ({
    orderId: t.id({ description: 'An order of a category.' }),
    titleId: t.id({ description: 'Which title of the category.' }),
    proofKey: t.field({ type: PublicKeyInput, description: 'As for placeOrder; fresh per ticket.' }),
    sealKey: t.field({ type: PublicKeyInput, description: 'As for placeOrder; fresh per ticket.' }),
    idempotencyKey: t.string({ description: '8 to 100 characters; the same again is answered alike.' }),
  }),
});

const RefundInput = builder.inputType('RefundInput', {
  fields: (t) => ({
    orderId: t.id(),
    amountMinor: t.field({ type: 'SafeInt', required: false, description: 'Without it: all that is left.' }),
    reason: t.string({ description: 'For staff.' }),
    endTickets: t.boolean({ required: false, description: 'True ends its tickets as well.' }),
    idempotencyKey: t.string({ description: '8 to 100 characters; the same again is answered alike.' }),
  }),
});

/** What of an order the audit log shows. */
const factsOf = ({ state, captured, refunded }: Order) => ({ state, captured, refunded });

async function cancel(context: RequestContext, request: Omit<Cancellation, 'now'>): Promise<Order> {
  const { db, desk } = context.services;
  const changed = await db.transaction(async (tx) => {
    const cancelled = await cancelOrder(tx, { ...request, now: now(context) });
    if (request.actor.kind === 'staff') {
      await audit(tx, context, {
        action: 'order.cancel',
        object: { type: 'order', id: request.orderId },
        before: null,
        after: { ...factsOf(cancelled.order), reason: request.reason },
      });
    }
    return cancelled;
  });
  await desk.run(changed);
  return changed.order;
}

builder.mutationFields((t) => ({
  placeOrder: t.field({
    // Free offers and vouchers need no account; the quote refuses the others.
    ...allow('anyone'),
    type: PlacedOrderType,
    description: 'Buys an offer from the balance, by card or with a voucher. Free offers need no account.',
    args: { input: t.arg({ type: PlaceOrderInput }) },
    resolve: (_root, { input }, context) =>
      orderCounted(context, input, 'placed', (buyer) => {
        const { titleId, ...rest } = input;
        const request = parseInput(orderRequestSchema, {
          ...given(rest),
          ...(!titleId ? {} : { titleId: parseId(titleId) }),
          offerId: parseId(input.offerId),
          proofKey: given(input.proofKey),
          sealKey: given(input.sealKey),
        });
        return context.services.desk.place(request, buyer);
      }),
  }),
  orderTicket: t.field({
    ...allow('account'),
    type: PlacedOrderType,
    description:
      'A ticket for another title of a category that was bought. Where the offer limits viewings at the same time, the ticket before ends.',
    args: { input: t.arg({ type: OrderTicketInput }) },
    resolve: (_root, { input }, context) => {
      const { services, country } = context;
      const account = signedIn(context);
      services.throttles.orders.take(account.id);
      const request = parseInput(furtherTicketSchema, {
        orderId: parseId(input.orderId),
        titleId: parseId(input.titleId),
        proofKey: given(input.proofKey),
        sealKey: given(input.sealKey),
        idempotencyKey: input.idempotencyKey,
      });
      const beforeRevoking = () => {
        services.throttles.ownRevocations.take(account.id);
      };
      const by = { accountId: account.id, country, beforeRevoking };
      return services.db.transaction((tx) =>
        issueFurther(tx, services.authority, request, by, services.clock.nowMs()),
      );
    },
  }),
  cancelOrder: t.field({
    ...allow('account'),
    type: OrderType,
    description:
      'Takes one of the own orders back before its first picture. Its ticket is revoked, and what was held goes back.',
    args: { orderId: t.arg.id() },
    resolve: (_root, { orderId }, context) => {
      const { id } = signedIn(context);
      return cancel(context, {
        orderId: parseId(orderId),
        ownerId: id,
        actor: { kind: 'buyer', id },
        accountId: id,
        reason: 'cancelled by the customer',
        beforeRevoking: () => {
          context.services.throttles.ownRevocations.take(id);
        },
      });
    },
  }),
  cancelCustomerOrder: t.field({
    ...allow('orders:write'),
    type: OrderType,
    description: "Takes a customer's order back before its first picture.",
    args: { orderId: t.arg.id(), reason: t.arg.string() },
    resolve: (_root, { orderId, reason }, context) => {
      const { id, accountId } = acting(context);
      return cancel(context, {
        orderId: parseId(orderId),
        ownerId: null,
        actor: { kind: 'staff', id },
        accountId,
        reason: parseInput(reasonSchema, reason),
      });
    },
  }),
  refundOrder: t.field({
    ...allow('finance:write'),
    type: OrderType,
    description: 'Gives back what an order was charged, or a part of it, to where it came from.',
    args: { input: t.arg({ type: RefundInput }) },
    resolve: async (_root, { input }, context) => {
      const { db, desk, events } = context.services;
      const request = parseInput(refundSchema, { ...given(input), orderId: parseId(input.orderId) });
      const changed = await db.transaction(async (tx) => {
        const refunded = await refundOrder(tx, request, acting(context), now(context));
        if (!refunded.replayed) {
          const { amountMinor } = refunded;
          const { reason, endTickets = false } = request;
          await audit(tx, context, {
            action: 'order.refund',
            object: { type: 'order', id: request.orderId },
            before: null,
            after: { ...factsOf(refunded.order), amountMinor, reason, endTickets },
          });
        }
        return refunded;
      });
      events.publish([{ kind: 'charge', id: request.orderId }]);
      await desk.run(changed);
      return (await findAnyOrder(db, request.orderId)) ?? changed.order;
    },
  }),
}));
