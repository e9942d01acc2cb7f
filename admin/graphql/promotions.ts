import { audit } from '../audit/audit.ts';
import {
  createPromotion,
  findPromotion,
  listPromotions,
  promotionPatchSchema,
  promotionSchema,
  updatePromotion,
  type Promotion,
} from '../pricing/promotions.ts';
import { money } from '../ledger/money.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { given, now, parseId, parseInput, resolvePage } from './input.ts';
import { MoneyType } from './types.ts';

const PromotionType = builder.objectRef<Promotion>('Promotion').implement({
  description: 'A code that makes offers cheaper.',
  fields: (t) => ({
    id: t.exposeID('id'),
    code: t.exposeString('code'),
    name: t.exposeString('name'),
    percent: t.int({ nullable: true, description: 'Of the price.', resolve: ({ percent }) => percent }),
    amount: t.field({
      type: MoneyType,
      nullable: true,
      description: 'What it takes off, if not a percentage.',
      resolve: ({ amountMinor, currency }) =>
        amountMinor === null || currency === null ? null : money(amountMinor, currency),
    }),
    startsAt: t.field({ type: 'DateTime', nullable: true, resolve: ({ startsAt }) => startsAt }),
    endsAt: t.field({ type: 'DateTime', nullable: true, resolve: ({ endsAt }) => endsAt }),
    maxUses: t.int({ nullable: true, resolve: ({ maxUses }) => maxUses }),
    maxUsesPerAccount: t.int({ nullable: true, resolve: ({ maxUsesPerAccount }) => maxUsesPerAccount }),
    offerIds: t.idList({ nullable: true, description: 'Null is all.', resolve: ({ offerIds }) => offerIds }),
    titleIds: t.idList({ nullable: true, description: 'Null is all.', resolve: ({ titleIds }) => titleIds }),
    active: t.exposeBoolean('active'),
    uses: t.exposeInt('uses', { description: 'How often it was used.' }),
    createdAt: t.field({ type: 'DateTime', resolve: ({ createdAt }) => createdAt }),
  }),
});

const PromotionInput = builder.inputType('PromotionInput', {
  fields: (t) => ({
    code: t.string({
      description: '3 to 32 letters, digits and hyphens, not 16 without the hyphens; capitals or not.',
    }),
    name: t.string(),
    percent: t.int({ required: false, description: '1 to 100; either this or amountMinor.' }),
    amountMinor: t.field({ type: 'SafeInt', required: false }),
    currency: t.string({ required: false, description: 'Of amountMinor.' }),
    startsAt: t.field({ type: 'DateTime', required: false }),
    endsAt: t.field({ type: 'DateTime', required: false }),
    maxUses: t.int({ required: false }),
    maxUsesPerAccount: t.int({ required: false }),
    offerIds: t.idList({ required: false, description: 'What it applies to; left out: everything.' }),
    titleIds: t.idList({ required: false }),
    active: t.boolean({ defaultValue: true }),
  }),
});

const PromotionPatch = builder.inputType('PromotionPatch', {
  description: 'What is left out stays as it is. What it takes off cannot be changed: make another one.',
  fields: (t) => ({
    name: t.string({ required: false }),
    startsAt: t.field({ type: 'DateTime', required: false, description: 'Null takes it away.' }),
    endsAt: t.field({ type: 'DateTime', required: false, description: 'Null takes it away.' }),
    maxUses: t.int({ required: false, description: 'Null takes it away.' }),
    maxUsesPerAccount: t.int({ required: false, description: 'Null takes it away.' }),
    offerIds: t.idList({ required: false, description: 'Null is all.' }),
    titleIds: t.idList({ required: false, description: 'Null is all.' }),
    active: t.boolean({ required: false }),
  }),
});

builder.queryField('promotions', (t) =>
  t.connection({
    ...allow('catalog:read'),
    type: PromotionType,
    description: 'Newest first.',
    resolve: (_root, args, { services }) => resolvePage(args, (page) => listPromotions(services.db, page)),
  }),
);

builder.mutationFields((t) => ({
  createPromotion: t.field({
    ...allow('catalog:write'),
    type: PromotionType,
    args: { input: t.arg({ type: PromotionInput }) },
    resolve: (_root, args, context) => {
      const input = parseInput(promotionSchema, given(args.input));
      return context.services.db.transaction(async (tx) => {
        const after = await createPromotion(tx, input, now(context));
        const object = { type: 'promotion', id: after.id };
        await audit(tx, context, { action: 'promotion.create', object, before: null, after: { ...after } });
        return after;
      });
    },
  }),
  updatePromotion: t.field({
    ...allow('catalog:write'),
    type: PromotionType,
    args: { id: t.arg.id(), input: t.arg({ type: PromotionPatch }) },
    resolve: (_root, args, context) => {
      const id = parseId(args.id);
      const { name, active, ...clearable } = args.input;
      const patch = parseInput(promotionPatchSchema, { ...given({ name, active }), ...clearable });
      return context.services.db.transaction(async (tx) => {
        const before = await findPromotion(tx, id);
        const after = await updatePromotion(tx, id, patch);
        const object = { type: 'promotion', id };
        await audit(tx, context, {
          action: 'promotion.update',
          object,
          before: before === null ? null : { ...before },
          after: { ...after },
        });
        return after;
      });
    },
  }),
}));
