import { z } from 'zod';
import { Denial, type Code } from '../../plugin/errors.ts';
import {
  authenticate,
  createAccount,
  emailSchema,
  findAccountByEmail,
  signUpSchema,
  type Account,
} from '../accounts/accounts.ts';
import { endSession, startSession } from '../accounts/sessions.ts';
import type { RequestContext, Services } from '../context.ts';
import { balancesOf, creditCustomer } from '../ledger/ledger.ts';
import { currencySchema, MAX_AMOUNT_MINOR, money } from '../ledger/money.ts';
import { idempotencyKeySchema, listOrders } from '../orders/orders.ts';
import { listUsage } from '../receipts/queries.ts';
import { allow, builder } from './builder.ts';
import { now, parseInput, resolvePage, signedIn } from './input.ts';
import { OrderType, UsageType } from './orders.ts';
import { MoneyType } from './types.ts';

const AccountType = builder.objectRef<Account>('Account').implement({
  description: 'The account that is signed in.',
  fields: (t) => ({
    id: t.exposeID('id'),
    email: t.exposeString('email'),
    name: t.exposeString('name'),
    isStaff: t.boolean({ resolve: (account) => account.role === 'staff' }),
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
        resolvePage(args, (page) => listOrders(services.db, account.id, page)),
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

/** Starts a session, by cookie and by token. */
async function signInAs(account: Account, context: RequestContext): Promise<SignedIn> {
  const token = await startSession(context.services.db, account.id, now(context));
  context.setSessionCookie(token);
  return { account, token };
}

/** Runs a guess at an account; its refusal with this code is held back for a random while. */
async function delayed<T>(services: Services, code: Code, guess: () => Promise<T>): Promise<T> {
  try {
    return await guess();
  } catch (error) {
    if (error instanceof Denial && error.code === code) await services.delayRefusal();
    throw error;
  }
}

const passwordInput = z.string().max(200);

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
      return signInAs(account, context);
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
      const password = passwordInput.safeParse(args.password);
      const throttleKey = `${peer} ${email.data ?? ''}`;
      services.throttles.login.take(throttleKey);
      services.throttles.loginTarget.take(email.data ?? '');
      // What can't be an address is answered like an address that is not known.
      const account = await delayed(services, 'credentials_invalid', () =>
        authenticate(services.db, email.data ?? '', password.data ?? ''),
      );
      services.throttles.login.forget(throttleKey);
      services.throttles.loginTarget.forget(email.data ?? '');
      return signInAs(account, context);
    },
  }),
  signOut: t.field({
    ...allow('anyone'),
    type: 'Boolean',
    description: 'Ends the session; true if somebody was signed in.',
    resolve: async (_root, _args, context) => {
      if (context.sessionToken !== null) await endSession(context.services.db, context.sessionToken);
      context.setSessionCookie(null);
      return context.account !== null;
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
    ...allow('staff'),
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
    requestedBy: signedIn(context).id,
    accountId: customer.id,
    amount: money(parseInput(amountSchema, input.amountMinor), parseInput(currencySchema, input.currency)),
    idempotencyKey: parseInput(idempotencyKeySchema, input.idempotencyKey),
  };
  await context.services.db.transaction((tx) => creditCustomer(tx, request, now(context)));
}
