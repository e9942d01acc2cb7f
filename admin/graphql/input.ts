import { resolveCursorConnection, type ResolveCursorConnectionArgs } from '@pothos/plugin-relay';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import type { Account } from '../accounts/accounts.ts';
import type { Page } from '../catalog/titles.ts';
import { principalId, type RequestContext } from '../context.ts';
import { isId } from '../ids.ts';

/** Parses an argument strictly. @throws Denial `input_invalid`, which names the member and never its value. */
export function parseInput<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = issue?.path.join('.') ?? '';
  throw new Denial('input_invalid', {
    detail: `${path === '' ? 'input' : path}: ${issue?.message ?? 'not valid'}`,
  });
}

/** An id from outside. @throws Denial `input_invalid`. */
export function parseId(id: string | number): string {
  const text = String(id).toLowerCase();
  if (!isId(text)) throw new Denial('input_invalid', { detail: 'id: not an id' });
  return text;
}

/** A GraphQL input without the members that were left out: null and absent mean the same there. */
export function given<T extends object>(input: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(
    Object.entries(input).filter(([, value]) => value !== null && value !== undefined),
  ) as { [K in keyof T]?: NonNullable<T[K]> };
}

/** The account of a field that `allow('account')` guards. */
export function signedIn(context: RequestContext): Account {
  if (context.account === null) throw new Denial('unauthenticated');
  return context.account;
}

/**
 * Who asks, in a field that a permission guards. `accountId` answers for it: of an API key it is the account that has
 * made it.
 */
export function acting({ principal }: RequestContext): { readonly id: string; readonly accountId: string } {
  if (principal === null) throw new Denial('unauthenticated');
  const id = principalId(principal);
  return { id, accountId: principal.kind === 'account' ? id : principal.createdBy };
}

export function now(context: RequestContext): Date {
  return new Date(context.services.clock.nowMs());
}

const MAX_PAGE = 100;
const DEFAULT_PAGE = 20;

const size = z.int().min(0).nullish();
const pageSchema = z
  .object({ first: size, last: size, after: z.string().nullish(), before: z.string().nullish() })
  .refine(
    ({ first, last }) => first === undefined || first === null || last === undefined || last === null,
    'either first or last',
  );

type PageArgs = z.infer<typeof pageSchema>;

/** One page of a list whose cursors are its ids; at most 100 of them. @throws Denial `input_invalid`. */
export function resolvePage<T extends { readonly id: string }>(
  args: PageArgs,
  load: (page: Page) => Promise<T[]>,
) {
  const { first, last, after, before } = parseInput(pageSchema, args);
  const cursor = (text: string | null | undefined) => (typeof text === 'string' ? parseId(text) : null);
  return resolveCursorConnection(
    {
      args: { first, last, after: cursor(after), before: cursor(before) },
      defaultSize: DEFAULT_PAGE,
      maxSize: MAX_PAGE,
      toCursor: (node: T) => node.id,
    },
    (page: ResolveCursorConnectionArgs) =>
      load({ after: page.after, before: page.before, limit: page.limit, inverted: page.inverted }),
  );
}
