/** Renewing a ticket, for a session that goes on. */
import { orderRequestSchema } from '../orders/request.ts';
import { renewalOfSchema } from '../orders/renew.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { given, parseId, parseInput } from './input.ts';
import { orderCounted } from './ordering.ts';
import { PlacedOrderType } from './place-order.ts';
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
    resolve: (_root, { input }, context) =>
      orderCounted(context, input, 'renewed', (buyer) => {
        const { ticketId, offerId, ...rest } = input;
        const request = parseInput(renewalSchema, {
          ...given(rest),
          ticketId: parseId(ticketId),
          ...(!offerId ? {} : { offerId: parseId(offerId) }),
          proofKey: given(input.proofKey),
          sealKey: given(input.sealKey),
        });
        return context.services.desk.renew(request, buyer);
      }),
  }),
}));
