import { defaultFieldResolver, type GraphQLFieldResolver, type GraphQLSchema } from 'graphql';
import { Denial } from '../../plugin/errors.ts';
import type { RequestContext } from '../context.ts';
import type { Access } from './builder.ts';

/** @throws Denial `unauthenticated`, `forbidden`. */
function require(access: Access, { account }: RequestContext): void {
  if (access === 'anyone') return;
  if (account === null) throw new Denial('unauthenticated');
  if (access === 'staff' && account.role !== 'staff') throw new Denial('forbidden');
}

function isAccess(value: unknown): value is Access {
  return value === 'anyone' || value === 'account' || value === 'staff';
}

/**
 * Puts each field of Query and Mutation behind the rule that it states (`allow`). One place, so that no resolver can
 * forget it; a field without a rule does not start.
 */
export function enforceAccess(schema: GraphQLSchema): GraphQLSchema {
  for (const type of [schema.getQueryType(), schema.getMutationType()]) {
    for (const field of Object.values(type?.getFields() ?? {})) {
      const { access } = field.extensions;
      if (!isAccess(access)) throw new TypeError(`${type?.name ?? ''}.${field.name} states no access rule`);
      const resolve = (field.resolve ?? defaultFieldResolver) as GraphQLFieldResolver<
        unknown,
        RequestContext
      >;
      field.resolve = ((source, args, context, info) => {
        require(access, context);
        return resolve(source, args, context, info);
      }) satisfies GraphQLFieldResolver<unknown, RequestContext>;
    }
  }
  return schema;
}
