/** Who may do what: every field of Query, Mutation and Subscription for everybody there is. */
import type { GraphQLField, GraphQLResolveInfo } from 'graphql';
import { describe, expect, it } from 'vitest';
import { PERMISSIONS, permissionsOf, ROLES, type Role } from '../../admin/accounts/permissions.ts';
import type { Principal, RequestContext } from '../../admin/context.ts';
import { ruleOf } from '../../admin/graphql/access.ts';
import { schema } from '../../admin/graphql/schema.ts';
import { Denial } from '../../plugin/errors.ts';

/** The rule of every operation. A new one has to be put here, by somebody who has thought about it. */
const rules: Record<string, string> = {
  'Query.accounts': 'accounts:read',
  'Query.apiKeys': 'keys:write',
  'Query.auditLog': 'audit:read',
  'Query.catalog': 'anyone',
  'Query.categories': 'anyone',
  'Query.flaggedTickets': 'sessions:read',
  'Query.me': 'anyone',
  'Query.mySessions': 'account',
  'Query.offers': 'catalog:read',
  'Query.order': 'account',
  'Query.promotions': 'catalog:read',
  'Query.quote': 'anyone',
  'Query.revocations': 'sessions:read',
  'Query.runningSessions': 'sessions:read',
  'Query.signingKeys': 'servers:read',
  'Query.soldTicket': 'sessions:read',
  'Query.streamingServers': 'servers:read',
  'Query.streamKeys': 'catalog:read',
  'Query.accountStatement': 'finance:read',
  'Query.held': 'account',
  'Query.orders': 'orders:read',
  'Query.statement': 'account',
  'Query.titleStatement': 'finance:read',
  'Query.testCards': 'anyone',
  'Query.title': 'anyone',
  'Query.voucherBatches': 'finance:read',
  'Query.usageReport': 'finance:read',
  'Mutation.cancelCustomerOrder': 'orders:write',
  'Mutation.cancelOrder': 'account',
  'Mutation.orderTicket': 'account',
  'Mutation.renewTicket': 'anyone',
  'Mutation.refundOrder': 'finance:write',
  'Mutation.cancelVouchers': 'finance:write',
  'Mutation.changePassword': 'account',
  'Mutation.createApiKey': 'keys:write',
  'Mutation.createCategory': 'catalog:write',
  'Mutation.createOffer': 'catalog:write',
  'Mutation.createPromotion': 'catalog:write',
  'Mutation.createStreamKey': 'keys:write',
  'Mutation.createTitle': 'catalog:write',
  'Mutation.creditAccount': 'finance:write',
  'Mutation.deactivateStreamingServer': 'servers:write',
  'Mutation.deleteCategory': 'catalog:write',
  'Mutation.endMySession': 'account',
  'Mutation.endSession': 'sessions:write',
  'Mutation.issueVouchers': 'finance:write',
  'Mutation.placeOrder': 'anyone',
  'Mutation.publishTitle': 'catalog:write',
  'Mutation.redeemVoucher': 'account',
  'Mutation.registerStreamingServer': 'servers:write',
  'Mutation.reinstateAccount': 'accounts:write',
  'Mutation.requestPasswordReset': 'anyone',
  'Mutation.resetPassword': 'anyone',
  'Mutation.revokeAccount': 'accounts:write',
  'Mutation.revokeApiKey': 'keys:write',
  'Mutation.revokeOrder': 'sessions:write',
  'Mutation.revokeProofKey': 'sessions:write',
  'Mutation.revokeStreamKey': 'keys:write',
  'Mutation.revokeTicket': 'sessions:write',
  'Mutation.rotateSigningKey': 'keys:write',
  'Mutation.rotateStreamKey': 'keys:write',
  'Mutation.setRole': 'accounts:write',
  'Mutation.setServerCapacity': 'servers:write',
  'Mutation.setTitleServers': 'catalog:write',
  'Mutation.signIn': 'anyone',
  'Mutation.signOut': 'anyone',
  'Mutation.signOutEverywhere': 'account',
  'Mutation.signUp': 'anyone',
  'Mutation.topUp': 'account',
  'Mutation.updateCategory': 'catalog:write',
  'Mutation.updateOffer': 'catalog:write',
  'Mutation.updatePromotion': 'catalog:write',
  'Mutation.updateTitle': 'catalog:write',
  'Subscription.charges': 'finance:read',
  'Subscription.orderUsage': 'account',
  'Subscription.sessions': 'sessions:read',
};

/** Written down a second time: a slip in the roles themselves is seen here. */
const roles: Record<Role, readonly string[]> = {
  viewer: [],
  editor: ['catalog:read', 'catalog:write'],
  finance: ['orders:read', 'orders:write', 'finance:read', 'finance:write'],
  operator: [
    'servers:read',
    'servers:write',
    'sessions:read',
    'sessions:write',
    'catalog:read',
    'keys:write',
  ],
  admin: [...PERMISSIONS],
};

const operations = new Map(
  [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].flatMap((type) =>
    Object.values(type?.getFields() ?? {}).map(
      (field) => [`${type!.name}.${field.name}`, field as GraphQLField<unknown, RequestContext>] as const,
    ),
  ),
);

interface Asker {
  readonly who: string;
  readonly principal: Principal | null;
  readonly holds: readonly string[];
}

const id = '01890000-0000-7000-8000-000000000000';

const askers: Asker[] = [
  { who: 'nobody', principal: null, holds: [] },
  ...ROLES.map((role) => ({
    who: role,
    principal: {
      kind: 'account',
      account: { id, email: 'x@example.com', name: 'x', role, createdAt: new Date(0) },
    } as const,
    holds: roles[role],
  })),
  ...PERMISSIONS.map((permission) => ({
    who: `a key for ${permission}`,
    principal: { kind: 'api_key', id, name: 'x', permissions: [permission], createdBy: id } as const,
    holds: [permission],
  })),
];

function expected(name: string, { principal, holds }: Asker): string {
  const rule = rules[name]!;
  // Keys make no keys, whatever they hold.
  if (name === 'Mutation.createApiKey' && principal?.kind === 'api_key') return 'forbidden';
  if (rule === 'anyone') return 'allowed';
  if (principal === null) return 'unauthenticated';
  if (rule === 'account') return principal.kind === 'account' ? 'allowed' : 'forbidden';
  return holds.includes(rule) ? 'allowed' : 'forbidden';
}

class Reached extends Error {}

/** A server that nothing can be had from: whoever gets to it was let in. */
const services = new Proxy({} as RequestContext['services'], {
  get: () => {
    throw new Reached();
  },
});

async function outcome(field: GraphQLField<unknown, RequestContext>, asker: Asker): Promise<string> {
  const { principal } = asker;
  const context: RequestContext = {
    services,
    peer: '192.0.2.1',
    requestId: 'x',
    principal,
    account: principal?.kind === 'account' ? principal.account : null,
    session: principal?.kind === 'account' ? { id, byCookie: false } : null,
    userAgent: null,
    country: null,
    isSubscription: true,
    signal: new AbortController().signal,
    refreshPrincipal: () => Promise.resolve(principal),
    setSessionCookie: () => undefined,
  };
  try {
    await (field.subscribe ?? field.resolve)!({}, {}, context, {} as GraphQLResolveInfo);
  } catch (error) {
    // Arguments are missing as well: what the resolver says to that comes after the door.
    if (error instanceof Denial && ['unauthenticated', 'forbidden'].includes(error.code)) return error.code;
  }
  return 'allowed';
}

describe('who may do what', () => {
  it('is stated here for every operation, and there alike', () => {
    const stated = [...operations].map(([name, field]) => [name, ruleOf(field)]);
    expect(Object.fromEntries(stated)).toEqual(rules);
  });

  it('is what the roles say', () => {
    expect(Object.fromEntries(ROLES.map((role) => [role, permissionsOf(role)]))).toEqual(roles);
  });

  const cases = askers.flatMap((asker) =>
    [...operations].map(([name, field]) => ({ name, field, asker, who: asker.who })),
  );
  it.each(cases)('$name by $who', async ({ name, field, asker }) => {
    expect(await outcome(field, asker)).toBe(expected(name, asker));
  });
});
