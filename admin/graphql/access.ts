/** Who may use which field, and the one place that holds everybody to it. */
import {
  defaultFieldResolver,
  type GraphQLField,
  type GraphQLFieldResolver,
  type GraphQLSchema,
} from 'graphql';
import { Denial } from '../../plugin/errors.ts';
import { covers, isPermission, permissionsOf, type Permission } from '../accounts/permissions.ts';
import { principalId, type Principal, type RequestContext } from '../context.ts';

/**
 * Who may use a field of Query, Mutation or Subscription: anybody, whoever is signed in to an account, or who has a
 * permission: staff by their role, API keys by their scopes.
 */
export type Access = 'anyone' | 'account' | Permission;

/** States who may use a field; a schema with a field that does not does not start. */
export function allow(access: Access): { extensions: { access: Access } } {
  return { extensions: { access } };
}

/** What a principal may do; nobody may nothing. */
export function heldBy(principal: Principal | null): readonly Permission[] {
  if (principal === null) return [];
  return principal.kind === 'account' ? permissionsOf(principal.account.role) : principal.permissions;
}

/** True if whoever asks has the permission: for fields that show staff more than others. */
export function can({ principal }: Pick<RequestContext, 'principal'>, permission: Permission): boolean {
  return heldBy(principal).includes(permission);
}

/** Nobody makes another more than he is himself. @throws Denial `forbidden` */
export function requireCovered({ principal }: RequestContext, wanted: readonly Permission[]): void {
  if (!covers(heldBy(principal), wanted)) throw new Denial('forbidden', { detail: 'permissions' });
}

/** @throws Denial `unauthenticated`, `forbidden`. */
export function requireAccess(access: Access, context: Pick<RequestContext, 'principal'>): void {
  if (access === 'anyone') return;
  const { principal } = context;
  if (principal === null) throw new Denial('unauthenticated');
  if (access === 'account') {
    if (principal.kind !== 'account') throw new Denial('forbidden', { detail: 'only with an account' });
  } else if (!can(context, access)) throw new Denial('forbidden');
}

/** The rule that a field states. @throws TypeError when it states none. */
export function ruleOf({
  name,
  extensions,
}: Pick<GraphQLField<unknown, unknown>, 'name' | 'extensions'>): Access {
  const { access } = extensions;
  if (access === 'anyone' || access === 'account' || isPermission(access)) return access;
  throw new TypeError(`${name} states no access rule`);
}

type Resolver = GraphQLFieldResolver<unknown, RequestContext>;

function guarded(access: Access, resolve: Resolver): Resolver {
  return (source, args, context, info) => {
    requireAccess(access, context);
    return resolve(source, args, context, info);
  };
}

/**
 * The same, by what is known when the field's turn comes: mutations run one after the other, and what was taken away
 * meanwhile is not to be used by those at the end of a long document.
 */
function guardedAnew(access: Access, resolve: Resolver): Resolver {
  if (access === 'anyone') return resolve;
  return async (source, args, context, info) => {
    requireAccess(access, context);
    const principal = await context.refreshPrincipal();
    if (
      principal === null ||
      context.principal === null ||
      principalId(principal) !== principalId(context.principal)
    )
      throw new Denial('unauthenticated');
    requireAccess(access, { principal });
    return resolve(source, args, { ...context, principal }, info);
  };
}

/**
 * Puts each field of Query, Mutation and Subscription behind the rule that it states (`allow`). One place, so that no
 * resolver can forget it.
 * @throws TypeError when a field states none
 */
export function enforceAccess(schema: GraphQLSchema): GraphQLSchema {
  const mutation = schema.getMutationType();
  for (const type of [schema.getQueryType(), mutation, schema.getSubscriptionType()]) {
    const guard = type === mutation ? guardedAnew : guarded;
    for (const field of Object.values(type?.getFields() ?? {}) as GraphQLField<unknown, RequestContext>[]) {
      const access = ruleOf(field);
      // Of a subscription it is this that runs first; its `resolve` is for each event.
      if (field.subscribe !== undefined) field.subscribe = guarded(access, field.subscribe);
      field.resolve = guard(access, field.resolve ?? defaultFieldResolver);
    }
  }
  return schema;
}
