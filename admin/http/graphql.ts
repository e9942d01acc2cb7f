/** `/graphql`: reading the request, who asks, running it, and errors with codes. */
import { GraphQLError, type GraphQLErrorOptions } from 'graphql';
import { createYoga } from 'graphql-yoga';
import type { Context } from 'hono';
import { AsyncLocalStorage } from 'node:async_hooks';
import { z } from 'zod';
import { Denial, REFUSALS } from '../../plugin/errors.ts';
import { countrySchema } from '../catalog/availability.ts';
import { principalId, type RequestContext, type Services } from '../context.ts';
import { useLimits } from '../graphql/limits.ts';
import { schema } from '../graphql/schema.ts';
import { readBody } from './body.ts';
import { bodyStream } from './body-stream.ts';
import type { AppEnv } from './env.ts';
import { errorFields } from './error-fields.ts';
import { createIdentities, refuseOtherOrigins } from './principal.ts';
import { codeOf } from './problems.ts';

const MAX_BODY_BYTES = 100 * 1024;

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

/** What a trusted proxy says; anything but a country (proxies write "XX" or "T1" for none) is none. */
function countryOf(context: Context<AppEnv>, header: string | null): string | null {
  const named = header === null ? undefined : context.req.header(header);
  const country = countrySchema.safeParse(named?.trim().toUpperCase());
  return country.success && country.data !== 'XX' ? country.data : null;
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

/** Ids of the requests that run, for what is logged of them. */
const requestIds = new AsyncLocalStorage<string>();

function toGraphqlError(error: unknown, { log }: Services, where: GraphQLErrorOptions): GraphQLError {
  const denial = error instanceof Denial ? error : new Denial(codeOf(error), { cause: error });
  if (!(error instanceof Denial))
    log.error(
      { requestId: requestIds.getStore(), ...errorFields(error), code: denial.code },
      'a GraphQL operation failed',
    );
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
  /**
   * Answers `POST /graphql`: with JSON, or with events (SSE, one for each result) where those are accepted.
   * @param peer client address
   * @throws Denial for a request that is no GraphQL request; `rate_limited`, `overloaded`
   */
  post(context: Context<AppEnv>, peer: string): Promise<Response>;
}

const EVENT_STREAM = 'text/event-stream';

/** Aborted when the client is gone, or the server ends. */
function signalOf({ env }: Context<AppEnv>, closing: AbortSignal): AbortSignal {
  const gone = new AbortController();
  env.outgoing.once('close', () => {
    gone.abort();
  });
  // It may have gone while its body was read.
  if (env.outgoing.destroyed || env.outgoing.closed) gone.abort();
  return AbortSignal.any([gone.signal, closing]);
}

export function createGraphqlEndpoint(
  services: Services,
  { publicUrl, introspection }: { readonly publicUrl: string; readonly introspection: boolean },
): GraphqlEndpoint {
  const ownOrigin = new URL(publicUrl).origin;
  const identities = createIdentities(services, publicUrl);
  const yoga = createYoga<RequestContext>({
    schema,
    graphiql: false,
    landingPage: false,
    logging: false,
    multipart: false,
    cors: false,
    maskedErrors: { maskError: (error) => maskError(error, services) },
    plugins: [useLimits(introspection)],
  });

  async function contextOf(
    context: Context<AppEnv>,
    peer: string,
    isSubscription: boolean,
  ): Promise<RequestContext> {
    return {
      services,
      peer,
      requestId: context.var.requestId,
      userAgent: context.req.header('user-agent') ?? null,
      country: countryOf(context, services.countryHeader),
      isSubscription,
      signal: isSubscription ? signalOf(context, services.closing) : services.closing,
      refreshPrincipal: async () => (await identities.read(context)).principal,
      ...(await identities.read(context)),
    };
  }

  async function run(operation: object, accept: string, requestContext: RequestContext): Promise<Response> {
    const request = new Request(`${ownOrigin}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept },
      body: JSON.stringify(operation),
    });
    return requestIds.run(requestContext.requestId, async () => yoga.fetch(request, requestContext));
  }

  /** One event after the other, for as long as the subscription lasts; each client has so many seats. */
  async function stream(
    context: Context<AppEnv>,
    operation: object,
    requestContext: RequestContext,
  ): Promise<Response> {
    const { principal, peer, signal } = requestContext;
    const leave = services.seats.take(principal === null ? peer : principalId(principal));
    signal.addEventListener('abort', leave);
    // Nobody is told of what was before: a client that went while it was looked up would keep its seat for ever.
    if (signal.aborted) {
      leave();
      throw new Denial('overloaded');
    }
    try {
      const { body } = await run(operation, EVENT_STREAM, requestContext);
      if (body === null) throw new Error('a stream of events has no body');
      const events = bodyStream(body, (error) => {
        if (!signal.aborted) services.log.warn(errorFields(error), 'a subscription broke off');
      });
      return context.body(events, 200, { 'content-type': EVENT_STREAM, 'cache-control': 'no-store' });
    } catch (error) {
      leave();
      throw error;
    }
  }

  async function answer(
    context: Context<AppEnv>,
    operation: object,
    requestContext: RequestContext,
  ): Promise<Response> {
    const response = await run(operation, 'application/json', requestContext);
    // Yoga's word for a subscription that JSON cannot answer.
    if (response.status === 406)
      throw new Denial('request_malformed', { detail: `subscriptions need accept: ${EVENT_STREAM}` });
    const result = (await response.json()) as Answer;
    for (const error of result.errors ?? []) {
      const code = error.extensions?.['code'];
      // GraphQL's own codes have no row in our table: all of them say that the document is at fault.
      const known = typeof code === 'string' && Object.hasOwn(REFUSALS, code);
      error.extensions = { ...error.extensions, code: known ? code : 'request_malformed' };
    }
    // Without data nothing ran: the document itself was refused.
    const ran = result.data !== undefined;
    context.header('cache-control', 'no-store');
    const retryAfterSeconds = retryAfterOf(result);
    if (retryAfterSeconds === null) return context.json(result, ran ? 200 : 400);
    context.header('retry-after', String(retryAfterSeconds));
    return context.json(result, 429);
  }

  return {
    post: async (context, peer) => {
      refuseOtherOrigins(context, ownOrigin);
      services.throttles.requests.take(peer);
      const operation = parseOperation(await readBody(context, 'application/json', MAX_BODY_BYTES));
      const wantsEvents = (context.req.header('accept') ?? '').includes(EVENT_STREAM);
      const requestContext = await contextOf(context, peer, wantsEvents);
      const { principal } = requestContext;
      if (principal !== null) services.throttles.accountRequests.take(principalId(principal));
      return wantsEvents
        ? stream(context, operation, requestContext)
        : answer(context, operation, requestContext);
    },
  };
}
