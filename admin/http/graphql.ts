/** `/graphql`: reading the request, who asks, running it, and errors with codes. */
import { GraphQLError, type GraphQLErrorOptions } from 'graphql';
import { createYoga } from 'graphql-yoga';
import type { Context } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import { z } from 'zod';
import { Denial, REFUSALS } from '../../plugin/errors.ts';
import { basePathOf } from '../../plugin/public-urls.ts';
import { findSession, SESSION_SECONDS } from '../accounts/sessions.ts';
import type { RequestContext, Services } from '../context.ts';
import { useLimits } from '../graphql/limits.ts';
import { schema } from '../graphql/schema.ts';
import { readBody } from './body.ts';
import { errorFields } from './error-fields.ts';
import { codeOf } from './problems.ts';

const MAX_BODY_BYTES = 100 * 1024;
const COOKIE = 'usher_session';

const operationSchema = z.strictObject({
  query: z.string(),
  variables: z.record(z.string(), z.unknown()).nullish(),
  operationName: z.string().max(200).nullish(),
  extensions: z.record(z.string(), z.unknown()).nullish(),
});

function parseOperation(text: string): z.infer<typeof operationSchema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Denial('request_malformed', { detail: 'the body is not JSON', cause });
  }
  const parsed = operationSchema.safeParse(value);
  if (!parsed.success)
    throw new Denial('request_malformed', { detail: 'the body is not one GraphQL request' });
  return parsed.data;
}

/** The session token of a request: a Bearer token, else the cookie. */
function tokenOf(context: Context): string | null {
  const authorization = context.req.header('authorization');
  if (authorization !== undefined) return /^Bearer ([A-Za-z0-9_-]{43})$/i.exec(authorization)?.[1] ?? null;
  return getCookie(context, COOKIE) ?? null;
}

/**
 * Browsers name the page that sends a POST. Together with SameSite=Strict and a content type that forms can't send,
 * no other site can act for somebody who is signed in here.
 */
function refuseOtherOrigins(context: Context, ownOrigin: string): void {
  const origin = context.req.header('origin');
  if (origin !== undefined && origin !== ownOrigin) throw new Denial('forbidden', { detail: 'origin' });
}

/** By name: two copies of graphql-js in one process make two classes of it. */
function isGraphqlError(error: unknown): error is GraphQLError {
  return error instanceof Error && error.name === 'GraphQLError';
}

/** Ours with their code; GraphQL's own as they are; everything else hidden and logged. */
function maskError(error: unknown, services: Services): GraphQLError {
  if (!isGraphqlError(error)) return toGraphqlError(error, services, {});
  const { originalError } = error;
  if (originalError === undefined || isGraphqlError(originalError)) return error;
  return toGraphqlError(originalError, services, { nodes: error.nodes ?? null, path: error.path ?? null });
}

function toGraphqlError(error: unknown, { log }: Services, where: GraphQLErrorOptions): GraphQLError {
  const denial = error instanceof Denial ? error : new Denial(codeOf(error), { cause: error });
  if (!(error instanceof Denial))
    log.error({ ...errorFields(error), code: denial.code }, 'a GraphQL operation failed');
  const { code, detail, retryAfterSeconds } = denial;
  return new GraphQLError(denial.message, {
    ...where,
    extensions: {
      code,
      ...(detail === undefined ? {} : { detail }),
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    },
  });
}

interface Answer {
  readonly data?: unknown;
  errors?: { extensions?: Record<string, unknown> }[];
}

/** Seconds that a caller who was too fast is asked to wait; `null` when nothing in the answer says so. */
function retryAfterOf({ errors = [] }: Answer): number | null {
  const limited = errors.filter(({ extensions }) => extensions?.['code'] === 'rate_limited');
  if (limited.length === 0) return null;
  const waits = limited.map(({ extensions }) => Number(extensions?.['retryAfterSeconds'] ?? 0));
  return Math.max(1, ...waits);
}

export interface GraphqlEndpoint {
  /** Answers `POST /graphql`. @throws Denial for a request that is no GraphQL request. */
  post(context: Context, peer: string): Promise<Response>;
}

export function createGraphqlEndpoint(services: Services, publicUrl: string): GraphqlEndpoint {
  const ownOrigin = new URL(publicUrl).origin;
  const cookiePath = `${basePathOf(publicUrl)}/`;
  const yoga = createYoga<RequestContext>({
    schema,
    graphiql: false,
    landingPage: false,
    logging: false,
    multipart: false,
    cors: false,
    maskedErrors: { maskError: (error) => maskError(error, services) },
    plugins: [useLimits()],
  });

  async function contextOf(context: Context, peer: string): Promise<RequestContext> {
    const sessionToken = tokenOf(context);
    const now = new Date(services.clock.nowMs());
    return {
      services,
      peer,
      sessionToken,
      account: sessionToken === null ? null : await findSession(services.db, sessionToken, now),
      setSessionCookie: (token) => {
        setCookie(context, COOKIE, token ?? '', {
          httpOnly: true,
          sameSite: 'Strict',
          path: cookiePath,
          secure: services.secureCookies,
          maxAge: token === null ? 0 : SESSION_SECONDS,
        });
      },
    };
  }

  return {
    post: async (context, peer) => {
      refuseOtherOrigins(context, ownOrigin);
      services.throttles.requests.take(peer);
      const operation = parseOperation(await readBody(context, 'application/json', MAX_BODY_BYTES));
      const request = new Request(`${ownOrigin}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json' },
        body: JSON.stringify(operation),
      });
      const requestContext = await contextOf(context, peer);
      const { account } = requestContext;
      if (account !== null) services.throttles.accountRequests.take(account.id);
      const answer = (await (await yoga.fetch(request, requestContext)).json()) as Answer;
      for (const error of answer.errors ?? []) {
        const code = error.extensions?.['code'];
        // GraphQL's own codes have no row in our table: all of them say that the document is at fault.
        const known = typeof code === 'string' && Object.hasOwn(REFUSALS, code);
        error.extensions = { ...error.extensions, code: known ? code : 'request_malformed' };
      }
      // Without data nothing ran: the document itself was refused.
      const ran = answer.data !== undefined;
      context.header('cache-control', 'no-store');
      const retryAfterSeconds = retryAfterOf(answer);
      if (retryAfterSeconds === null) return context.json(answer, ran ? 200 : 400);
      context.header('retry-after', String(retryAfterSeconds));
      return context.json(answer, 429);
    },
  };
}
