import { audit } from '../audit/audit.ts';
import {
  cancelVouchers,
  countRedeemed,
  createVouchers,
  creditVoucher,
  listVoucherBatches,
  listVouchers,
  voucherBatchSchema,
  voucherCodeSchema,
  type Voucher,
  type VoucherBatch,
} from '../pricing/vouchers.ts';
import type { Money } from '../ledger/money.ts';
import { allow } from './access.ts';
import { createBatch } from './batch.ts';
import { builder } from './builder.ts';
import { given, now, parseId, parseInput, resolvePage, signedIn } from './input.ts';
import { takeCodeTry } from './pricing.ts';
import { MoneyType } from './types.ts';

const VoucherType = builder.objectRef<Voucher>('Voucher').implement({
  description: 'One voucher; nobody knows its code any more but who holds it.',
  fields: (t) => ({
    id: t.exposeID('id'),
    redeemedAt: t.field({ type: 'DateTime', nullable: true, resolve: ({ redeemedAt }) => redeemedAt }),
    orderId: t.exposeID('orderId', { nullable: true, description: 'The order that it paid for.' }),
    accountId: t.exposeID('accountId', {
      nullable: true,
      description: 'The account whose balance it went to.',
    }),
  }),
});

const redeemed = createBatch((context, ids: readonly string[]) => countRedeemed(context.services.db, ids));

const VoucherBatchType = builder.objectRef<VoucherBatch>('VoucherBatch').implement({
  description: 'Vouchers that were made together.',
  fields: (t) => ({
    id: t.exposeID('id'),
    name: t.exposeString('name'),
    offerId: t.exposeID('offerId', { nullable: true, description: 'The offer that each is good for.' }),
    amount: t.field({
      type: MoneyType,
      nullable: true,
      description: 'What each adds to a balance.',
      resolve: ({ amount }) => amount,
    }),
    count: t.exposeInt('count'),
    redeemed: t.int({ resolve: ({ id }, _args, context) => redeemed(context, id) }),
    expiresAt: t.field({ type: 'DateTime', resolve: ({ expiresAt }) => expiresAt }),
    cancelledAt: t.field({ type: 'DateTime', nullable: true, resolve: ({ cancelledAt }) => cancelledAt }),
    createdAt: t.field({ type: 'DateTime', resolve: ({ createdAt }) => createdAt }),
    vouchers: t.connection({
      type: VoucherType,
      resolve: ({ id }, args, { services }) =>
        resolvePage(args, (page) => listVouchers(services.db, id, page)),
    }),
  }),
});

interface IssuedVouchers {
  readonly batch: VoucherBatch;
  readonly codes: readonly string[];
}

const IssuedVouchersType = builder.objectRef<IssuedVouchers>('IssuedVouchers').implement({
  fields: (t) => ({
    batch: t.field({ type: VoucherBatchType, resolve: ({ batch }) => batch }),
    codes: t.stringList({ description: 'Shown this once.', resolve: ({ codes }) => codes }),
  }),
});

const VoucherBatchInput = builder.inputType('VoucherBatchInput', {
  fields: (t) => ({
    name: t.string(),
    count: t.int({ description: '1 to 1000.' }),
    offerId: t.id({ required: false, description: 'What each is good for: either this or amountMinor.' }),
    amountMinor: t.field({ type: 'SafeInt', required: false, description: 'For a balance.' }),
    currency: t.string({ required: false, description: 'Of amountMinor.' }),
    expiresAt: t.field({ type: 'DateTime' }),
  }),
});

interface Redeemed {
  readonly amount: Money;
  readonly replayed: boolean;
}

const RedeemedType = builder.objectRef<Redeemed>('RedeemedVoucher').implement({
  fields: (t) => ({
    amount: t.field({
      type: MoneyType,
      description: 'What was added to the balance.',
      resolve: ({ amount }) => amount,
    }),
    replayed: t.exposeBoolean('replayed', { description: 'True when the account had redeemed it before.' }),
  }),
});

builder.queryField('voucherBatches', (t) =>
  t.connection({
    ...allow('finance:read'),
    type: VoucherBatchType,
    description: 'Newest first.',
    resolve: (_root, args, { services }) =>
      resolvePage(args, (page) => listVoucherBatches(services.db, page)),
  }),
);

builder.mutationFields((t) => ({
  issueVouchers: t.field({
    ...allow('finance:write'),
    type: IssuedVouchersType,
    description: 'Makes vouchers. Their codes are in this answer only.',
    args: { input: t.arg({ type: VoucherBatchInput }) },
    resolve: (_root, args, context) => {
      const input = parseInput(voucherBatchSchema, given(args.input));
      return context.services.db.transaction(async (tx) => {
        const issued = await createVouchers(tx, input, now(context));
        const object = { type: 'voucher_batch', id: issued.batch.id };
        await audit(tx, context, {
          action: 'voucher.issue',
          object,
          before: null,
          after: { ...issued.batch },
        });
        return issued;
      });
    },
  }),
  cancelVouchers: t.field({
    ...allow('finance:write'),
    type: VoucherBatchType,
    description: 'Ends a batch: what of it is not redeemed can no longer be.',
    args: { id: t.arg.id() },
    resolve: (_root, args, context) =>
      context.services.db.transaction(async (tx) => {
        const after = await cancelVouchers(tx, parseId(args.id), now(context));
        const object = { type: 'voucher_batch', id: after.id };
        await audit(tx, context, { action: 'voucher.cancel', object, before: null, after: { ...after } });
        return after;
      }),
  }),
  redeemVoucher: t.field({
    ...allow('account'),
    type: RedeemedType,
    description:
      "Puts a voucher's amount on the own balance. A voucher for an offer is used by ordering that with it.",
    args: { code: t.arg.string() },
    resolve: (_root, args, context) => {
      takeCodeTry(context, { voucherCode: args.code });
      const code = parseInput(voucherCodeSchema, args.code);
      const accountId = signedIn(context).id;
      return context.services.db.transaction((tx) =>
        creditVoucher(tx, code, accountId, context.services.clock.nowMs()),
      );
    },
  }),
}));
