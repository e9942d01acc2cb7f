import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import {
  createAccount,
  emailSchema,
  findAccountByEmail,
  signUpSchema,
  type Account,
} from '../accounts/accounts.ts';
import { signIn } from '../accounts/credentials.ts';
import { permissionsOf } from '../accounts/permissions.ts';
import { endSession, startSession } from '../accounts/sessions.ts';
import { audit } from '../audit/audit.ts';
import type { RequestContext } from '../context.ts';
import { balancesOf, creditCustomer } from '../ledger/ledger.ts';
import { currencySchema, MAX_AMOUNT_MINOR, money } from '../ledger/money.ts';
import { idempotencyKeySchema, listOrders } from '../orders/orders.ts';
import { listUsage } from '../receipts/queries.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { delayed, givenPassword } from './credentials.ts';
import { acting, now, parseInput, resolvePage, signedIn } from './input.ts';
import { OrderType, UsageType } from './orders.ts';
import { RoleType } from './roles.ts';
import { MoneyType } from './types.ts';

const AccountType = builder.objectRef<Account>('Account').implement({
  description: 'The account that is signed in.',
  fields: (t) => ({
    id: t.exposeID('id'),
    email: t.exposeString('email'),
    name: t.exposeString('name'),
    role: t.expose('role', { type: RoleType }),
    permissions: t.stringList({
      description: 'What the role may do, such as "catalog:write".',
      resolve: (account) => [...permissionsOf(account.role)],
    }),
    createdAt: t.field({ type: 'DateTime', resolve: (account) => account.createdAt }),
    balances: t.field({
      type: [MoneyType],
      description: 'What can be spent, per currency.',
      resolve: (account, _args, { services }) => balancesOf(services.db, account.id),
    }),
    balance: t.field({
      type: MoneyType,
      description: 'What can be spent in one currency.',
      args: { currency: t.arg.string({ defaultValue: 'EUR' }) },
      resolve: async (account, { currency }, { services }) => {
        const wanted = parseInput(currencySchema, currency);
        const balances = await balancesOf(services.db, account.id);
        return balances.find((balance) => balance.currency === wanted) ?? money(0, wanted);
      },
    }),
    orders: t.connection({
      type: OrderType,
      description: 'Newest first.',
      resolve: (account, args, { services }) =>
        resolvePage(args, (page) => listOrders(services.db, { accountId: account.id }, page)),
    }),
    receipts: t.connection({
      type: UsageType,
      description: 'What was watched, by the last receipt of each viewing; newest first.',
      resolve: (account, args, { services }) =>
        resolvePage(args, (page) => listUsage(services.db, account.id, page)),
    }),
  }),
});

builder.queryField('me', (t) =>
  t.field({
    ...allow('anyone'),
    type: AccountType,
    nullable: true,
    description: 'The account that is signed in; null when nobody is.',
    resolve: (_root, _args, { account }) => account,
  }),
);

interface SignedIn {
  readonly account: Account;
  readonly token: string;
}

const SignedInType = builder.objectRef<SignedIn>('SignedIn').implement({
  fields: (t) => ({
    account: t.field({ type: AccountType, resolve: (signed) => signed.account }),
    token: t.exposeString('token', {
      description:
        'For clients without cookies: send it as "Authorization: Bearer". Browsers leave it alone.',
    }),
  }),
});

/**
 * Starts a session, by cookie and by token. It never goes on with the browser's old one: whoever knows that one's token
 * would be signed in as well.
 */
async function signedInAs(signedIn: SignedIn, context: RequestContext): Promise<SignedIn> {
  const { services, session } = context;
  if (session?.byCookie === true && context.account !== null) {
    await endSession(services.db, context.account.id, session.id);
  }
  context.setSessionCookie(signedIn.token);
  return signedIn;
}

const amountSchema = z.int().min(1).max(MAX_AMOUNT_MINOR);

builder.mutationFields((t) => ({
  signUp: t.field({
    ...allow('anyone'),
    type: SignedInType,
    description: 'Opens an account and signs in.',
    args: {
      email: t.arg.string(),
      password: t.arg.string({ description: '10 to 200 characters.' }),
      name: t.arg.string(),
    },
    resolve: async (_root, args, context) => {
      const { services, peer } = context;
      services.throttles.logins.take(peer);
      const input = parseInput(signUpSchema, args);
      const account = await delayed(services, 'conflict', () =>
        createAccount(services.db, input, 'viewer', now(context)),
      );
      const { userAgent } = context;
      const token = await startSession(services.db, account.id, { now: now(context), userAgent });
      return signedInAs({ account, token }, context);
    },
  }),
  signIn: t.field({
    ...allow('anyone'),
    type: SignedInType,
    args: { email: t.arg.string(), password: t.arg.string() },
    resolve: async (_root, args, context) => {
      const { services, peer } = context;
      services.throttles.logins.take(peer);
      const email = emailSchema.safeParse(args.email);
      const throttleKey = `${peer} ${email.data ?? ''}`;
      services.throttles.login.take(throttleKey);
      services.throttles.loginTarget.take(email.data ?? '');
      // What can't be an address is answered like an address that is not known.
      const entered = await delayed(services, 'credentials_invalid', () =>
        signIn(services.db, {
          email: email.data ?? '',
          password: givenPassword(args.password),
          now: now(context),
          userAgent: context.userAgent,
        }),
      );
      services.throttles.login.forget(throttleKey);
      services.throttles.loginTarget.forget(email.data ?? '');
      return signedInAs(entered, context);
    },
  }),
  signOut: t.field({
    ...allow('anyone'),
    type: 'Boolean',
    description: 'Ends the session; true if somebody was signed in.',
    resolve: async (_root, _args, context) => {
      const { services, account, session } = context;
      if (account !== null && session !== null) {
        await endSession(services.db, account.id, session.id);
        services.events.publish([{ kind: 'account', id: account.id }]);
      }
      context.setSessionCookie(null);
      return account !== null;
    },
  }),
  topUp: t.field({
    ...allow('account'),
    type: AccountType,
    description: 'Adds play money to the own balance; only in the demo.',
    args: {
      amountMinor: t.arg({ type: 'SafeInt' }),
      currency: t.arg.string(),
      idempotencyKey: t.arg.string(),
    },
    resolve: async (_root, args, context) => {
      const account = signedIn(context);
      if (!context.services.demo) throw new Denial('forbidden', { detail: 'only in the demo' });
      await credit(context, account, { ...args, kind: 'top_up' });
      return account;
    },
  }),
  creditAccount: t.field({
    ...allow('finance:write'),
    type: MoneyType,
    description: "Adds to a customer's balance; answers the new balance.",
    args: {
      email: t.arg.string(),
      amountMinor: t.arg({ type: 'SafeInt' }),
      currency: t.arg.string(),
      idempotencyKey: t.arg.string(),
    },
    resolve: async (_root, { email, ...args }, context) => {
      const customer = await findAccountByEmail(context.services.db, parseInput(emailSchema, email));
      if (customer === null) throw new Denial('not_found', { detail: 'account' });
      await credit(context, customer, { ...args, kind: 'credit' });
      const balances = await balancesOf(context.services.db, customer.id);
      return balances.find((balance) => balance.currency === args.currency) ?? money(0, args.currency);
    },
  }),
}));

interface Credit {
  readonly kind: 'top_up' | 'credit';
  readonly amountMinor: number;
  readonly currency: string;
  readonly idempotencyKey: string;
}

async function credit(context: RequestContext, customer: Account, input: Credit): Promise<void> {
  const request = {
    kind: input.kind,
    requestedBy: acting(context).id,
    accountId: customer.id,
    amount: money(parseInput(amountSchema, input.amountMinor), parseInput(currencySchema, input.currency)),
    idempotencyKey: parseInput(idempotencyKeySchema, input.idempotencyKey),
  };
  await context.services.db.transaction(async (tx) => {
    const replayed = await creditCustomer(tx, request, now(context));
    // Customers who top up are no staff; a retry does nothing.
    if (replayed || input.kind === 'top_up') return;
    await audit(tx, context, {
      action: 'account.credit',
      object: { type: 'account', id: customer.id },
      before: null,
      after: request.amount,
    });
  });
}
