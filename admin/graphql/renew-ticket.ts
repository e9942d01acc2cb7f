/** Renewing a ticket, for a session that goes on. */
import { asDenial } from '../../plugin/errors.ts';
import { orderRequestSchema } from '../orders/request.ts';
import { renewalOfSchema } from '../orders/renew.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { given, parseId, parseInput } from './input.ts';
import { PlacedOrderType } from './place-order.ts';
import { takeCodeTry } from './pricing.ts';
import { PublicKeyInput } from './servers.ts';

const renewalSchema = orderRequestSchema.omit({ offerId: true, titleId: true }).extend(renewalOfSchema.shape);

const RenewTicketInput = builder.inputType('RenewTicketInput', {
  fields: (t) => ({
    ticketId: t.id({ description: 'The claim jti of the ticket that is to be renewed.' }),
    offerId: t.id({
      required: false,
      description: 'Another offer of the same title, such as a better tier. Else the ticket’s own.',
    }),
    promotionCode: t.string({ required: false }),
    voucherCode: t.string({ required: false }),
    cardToken: t.string({ required: false, description: 'As for placeOrder.' }),
    proofKey: t.field({ type: PublicKeyInput, description: 'The ticket’s own: its session is known by it.' }),
    sealKey: t.field({ type: PublicKeyInput, description: 'As for placeOrder; fresh per ticket.' }),
    idempotencyKey: t.string({ description: '8 to 100 characters; the same again is answered alike.' }),
  }),
});

builder.mutationFields((t) => ({
  renewTicket: t.field({
    ...allow('anyone'),
    type: PlacedOrderType,
    description:
      'Buys a ticket for the key, title and streaming servers of one that is in use, for POST {session}/ticket. More of the same rights is good from the end of that one on; other rights, which may not be less, from now on.',
    args: { input: t.arg({ type: RenewTicketInput }) },
    resolve: async (_root, { input }, context) => {
      const { services, account, peer, country } = context;
      try {
        if (account === null) services.throttles.anonymousOrders.take(peer);
        else services.throttles.orders.take(account.id);
        takeCodeTry(context, input);
        const { ticketId, offerId, ...rest } = input;
        const request = parseInput(renewalSchema, {
          ...given(rest),
          ticketId: parseId(ticketId),
          ...(!offerId ? {} : { offerId: parseId(offerId) }),
          proofKey: given(input.proofKey),
          sealKey: given(input.sealKey),
        });
        const buyer = { accountId: account?.id ?? null, country, address: peer };
        const placed = await services.desk.renew(request, buyer);
        services.metrics.orders.inc({ outcome: placed.replayed ? 'replayed' : 'renewed' });
        return placed;
      } catch (error) {
        services.metrics.orders.inc({ outcome: asDenial(error).code });
        throw error;
      }
    },
  }),
}));
