/** Statements of the ledger, and what is added to it. */
import { followCharges } from '../ledger/charges.ts';
import { heldOf } from '../ledger/ledger.ts';
import { accountStatement, titleStatement, type StatementLine } from '../ledger/statements.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { now, parseId, resolvePage, signedIn } from './input.ts';
import { followAs } from './sessions.ts';
import { MoneyType } from './types.ts';

const StatementLineType = builder.objectRef<StatementLine>('StatementLine').implement({
  description: 'One transaction of the ledger. Amounts are what was added, or, below zero, taken.',
  fields: (t) => ({
    id: t.exposeID('id'),
    kind: t.exposeString('kind', {
      description: '"hold", "capture", "release", "refund", "top_up", "credit", "voucher" or "order".',
    }),
    orderId: t.exposeID('orderId', { nullable: true }),
    at: t.field({ type: 'DateTime', resolve: (line) => line.at }),
    balance: t.field({
      type: MoneyType,
      description: 'Of what the customer may spend.',
      resolve: (line) => line.balance,
    }),
    held: t.field({
      type: MoneyType,
      description: "Of what is held for the customer's orders.",
      resolve: (line) => line.held,
    }),
    revenue: t.field({
      type: MoneyType,
      description: 'Of what was earned.',
      resolve: (line) => line.revenue,
    }),
  }),
});

builder.queryFields((t) => ({
  held: t.field({
    ...allow('account'),
    type: [MoneyType],
    description:
      'What is held of the own balance for orders, per currency; it is not among what can be spent.',
    resolve: (_root, _args, context) => heldOf(context.services.db, signedIn(context).id),
  }),
  statement: t.connection({
    ...allow('account'),
    type: StatementLineType,
    description: 'What has moved on the own account, newest first.',
    resolve: (_root, args, context) => {
      const { id } = signedIn(context);
      return resolvePage(args, (page) => accountStatement(context.services.db, id, page));
    },
  }),
  accountStatement: t.connection({
    ...allow('finance:read'),
    type: StatementLineType,
    description: "What has moved on a customer's account, newest first.",
    args: { accountId: t.arg.id() },
    resolve: (_root, { accountId, ...args }, { services }) => {
      const id = parseId(accountId);
      return resolvePage(args, (page) => accountStatement(services.db, id, page));
    },
  }),
  titleStatement: t.connection({
    ...allow('finance:read'),
    type: StatementLineType,
    description: 'What has moved for the orders of a title, newest first.',
    args: { titleId: t.arg.id() },
    resolve: (_root, { titleId, ...args }, { services }) => {
      const id = parseId(titleId);
      return resolvePage(args, (page) => titleStatement(services.db, id, page));
    },
  }),
}));

/** Shown at the start: clocks of several order servers differ by less. */
const SHOWN_BEFORE_MS = 10_000;

builder.subscriptionField('charges', (t) =>
  t.field({
    ...allow('finance:read'),
    type: StatementLineType,
    description:
      'Captures and refunds as they are booked, from ten seconds ago on. One may come twice: it has the same id.',
    args: { titleId: t.arg.id({ required: false }) },
    subscribe: (_root, { titleId }, context) =>
      followAs(
        context,
        'finance:read',
        followCharges(context.services.db, {
          since: new Date(now(context).getTime() - SHOWN_BEFORE_MS),
          ...(typeof titleId === 'string' ? { titleId: parseId(titleId) } : {}),
        }),
      ),
    resolve: (line) => line,
  }),
);
