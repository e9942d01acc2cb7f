/** What an order would cost. */
import type { RequestContext } from '../context.ts';
import { withParts, type Title } from '../catalog/titles.ts';
import { quote, quoteRequestSchema, type Quote } from '../pricing/quote.ts';
import type { Denial } from '../../plugin/errors.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { given, parseId, parseInput } from './input.ts';
import { MoneyType, OfferType, TitleType } from './types.ts';

/**
 * Whoever tries a code uses up one of the few tries of his address: codes are not to be found by guessing.
 * @throws Denial `rate_limited`.
 */
export function takeCodeTry(
  { services, peer }: RequestContext,
  codes: { promotionCode?: string | null | undefined; voucherCode?: string | null | undefined },
): void {
  const named = [codes.promotionCode, codes.voucherCode];
  if (named.some((code) => code !== null && code !== undefined)) services.throttles.codes.take(peer);
}

/** A Denial is an Error, and one of those that a resolver answers is thrown. */
type Refusal = Pick<Denial, 'code' | 'message' | 'detail'>;

const QuoteRefusalType = builder.objectRef<Refusal>('QuoteRefusal').implement({
  description: 'Why something cannot be ordered.',
  fields: (t) => ({
    code: t.exposeString('code', { description: 'What placeOrder would say, such as "code_invalid".' }),
    message: t.exposeString('message'),
    detail: t.string({ nullable: true, resolve: (refusal) => refusal.detail ?? null }),
  }),
});

const QuoteType = builder.objectRef<Quote>('Quote').implement({
  description: 'What an order would cost and get now.',
  fields: (t) => ({
    offer: t.field({ type: OfferType, resolve: ({ offer }) => offer }),
    title: t.field({
      type: TitleType,
      nullable: true,
      description: 'Null for a category of which no title was named.',
      resolve: async ({ title }, _args, { services }): Promise<Title | undefined> =>
        title === null ? undefined : (await withParts(services.db, [title]))[0],
    }),
    startsAt: t.field({
      type: 'DateTime',
      description: 'From when a ticket would be good.',
      resolve: ({ validity }) => new Date(validity.nbf * 1000),
    }),
    endsAt: t.field({ type: 'DateTime', resolve: ({ validity }) => new Date(validity.exp * 1000) }),
    list: t.field({ type: MoneyType, description: 'What the offer costs.', resolve: ({ list }) => list }),
    discount: t.field({ type: MoneyType, resolve: ({ discount }) => discount }),
    price: t.field({
      type: MoneyType,
      description: 'What is left to pay; for a metered offer, the most.',
      resolve: ({ price }) => price,
    }),
    refusal: t.field({
      type: QuoteRefusalType,
      nullable: true,
      description: 'Why it cannot be ordered; null when it can.',
      resolve: ({ refusal }) => {
        if (refusal === null) return null;
        const { code, message, detail } = refusal;
        return { code, message, detail };
      },
    }),
  }),
});

const QuoteInput = builder.inputType('QuoteInput', {
  fields: (t) => ({
    offerId: t.id(),
    titleId: t.id({ required: false, description: 'Which title of a category.' }),
    promotionCode: t.string({ required: false }),
    voucherCode: t.string({ required: false }),
  }),
});

builder.queryField('quote', (t) =>
  t.field({
    ...allow('anyone'),
    type: QuoteType,
    description:
      'Prices an order and changes nothing. An address may try some twenty codes, then two a minute.',
    args: { input: t.arg({ type: QuoteInput }) },
    resolve: (_root, { input }, context) => {
      takeCodeTry(context, input);
      const { services, account, country } = context;
      const { titleId, ...rest } = given(input);
      const request = parseInput(quoteRequestSchema, {
        ...rest,
        offerId: parseId(input.offerId),
        ...(titleId === undefined ? {} : { titleId: parseId(titleId) }),
      });
      const who = { accountId: account?.id ?? null, country, nowMs: services.clock.nowMs() };
      return services.db.transaction((tx) => quote(tx, { ...request, ...who }));
    },
  }),
);
