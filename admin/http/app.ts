/** The routes. Every answer that is not a success is a problem document with a code. */
import { Hono, type Context } from 'hono';
import { MAX_STREAMS_REPORT_BYTES } from '../../plugin/contract.ts';
import { Denial, problemResponse } from '../../plugin/errors.ts';
import { network, peerAddress } from '../../plugin/peer.ts';
import { basePathOf } from '../../plugin/public-urls.ts';
import type { Services } from '../context.ts';
import { MAX_WEBHOOK_BYTES, WEBHOOK_SIGNATURE_HEADER } from '../payments/webhook-signature.ts';
import { JWKS_MAX_AGE_SECONDS } from '../trust/key-rows.ts';
import { listServers } from '../trust/servers.ts';
import { readBody } from './body.ts';
import type { AppEnv } from './env.ts';
import { enrol, takeServerKeys } from './enrolments.ts';
import { errorFields } from './error-fields.ts';
import { createGraphqlEndpoint } from './graphql.ts';
import { graphiqlPage, playerFile, playerPolicy } from './pages.ts';
import { createIdentities } from './principal.ts';
import { toDenial } from './problems.ts';
import { checkReadiness } from './readiness.ts';
import { MAX_RECEIPTS_BYTES, takeReceipts } from './receipts.ts';
import { MAX_REDEMPTION_BYTES, redeem } from './redemptions.ts';
import { REQUEST_ID_HEADER, requestIdOf } from './request-id.ts';
import type { RevocationsEndpoint } from './revocations.ts';
import { takeStreams } from './streams.ts';
import { usageDownload } from './usage.ts';

export interface AppOptions {
  /** As others see it; what is for them lies under its path. */
  readonly publicUrl: string;
  /** Reverse proxies in front that set X-Forwarded-For. */
  readonly trustedProxies: number;
  /** False: clients are not told what the GraphQL schema has. */
  readonly introspection: boolean;
  readonly revocations: RevocationsEndpoint;
}

type Handler = (context: Context<AppEnv>) => Promise<Response> | Response;

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

/** One spelling per path, one value per query parameter: what two readers could read in two ways is refused. */
function refuseOddUrl(url: URL): void {
  if (/[%\\;]|\/\/|\/\.{1,2}(?:\/|$)/.test(url.pathname))
    throw new Denial('request_malformed', { detail: 'path' });
  const names = [...url.searchParams.keys()];
  if (new Set(names).size !== names.length) throw new Denial('request_malformed', { detail: 'query' });
}

const LOOPBACK = /^(?:localhost|127\.0\.0\.1|\[::1\])(?=:|$)/i;

/**
 * True if a browser on this machine came by another name of it than the public URL's. Its page would be of another
 * origin than the one that may sign in here, and the tickets' issuer.
 */
export function isOtherLoopbackName(host: string | undefined, publicUrl: string): boolean {
  const own = new URL(publicUrl).host;
  if (host === undefined || host === own || !LOOPBACK.test(host) || !LOOPBACK.test(own)) return false;
  return host.replace(LOOPBACK, '') === own.replace(LOOPBACK, '');
}

/** What only the operator's monitoring asks for: at the root, and so not behind a proxy that has put us under a path. */
const INTERNAL: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);

/** The routes by path; each has its methods, and every other method is a 405. */
function routesOf(services: Services, options: AppOptions): Record<string, Record<string, Handler>> {
  const graphql = createGraphqlEndpoint(services, options);
  const identities = createIdentities(services, options.publicUrl);
  const peerOf = ({ env, req }: Context<AppEnv>) =>
    network(
      peerAddress(env.incoming.socket.remoteAddress, req.header('x-forwarded-for'), options.trustedProxies),
    );
  return {
    '/': {
      GET: (context) =>
        isOtherLoopbackName(context.req.header('host'), options.publicUrl)
          ? context.redirect(`${options.publicUrl}/`, 307)
          : player(context, services, 'index.html'),
    },
    '/graphql': {
      GET: async (context) => {
        const accept = context.req.header('accept') ?? '';
        if (!accept.includes('text/html')) throw new Denial('method_not_allowed', { detail: 'POST' });
        const { html, policy } = await graphiqlPage(`${basePathOf(options.publicUrl)}/graphql`);
        return context.html(html, 200, { 'content-security-policy': policy });
      },
      POST: (context) => graphql.post(context, peerOf(context)),
    },
    '/.well-known/jwks.json': {
      GET: (context) =>
        context.json({ keys: services.authority.publicJwks }, 200, {
          'content-type': 'application/jwk-set+json',
          'cache-control': `public, max-age=${String(JWKS_MAX_AGE_SECONDS)}`,
          'access-control-allow-origin': '*',
          'cross-origin-resource-policy': 'cross-origin',
        }),
    },
    '/healthz': { GET: (context) => context.json({ status: 'ok' }) },
    '/readyz': {
      GET: async (context) => {
        await checkReadiness(services);
        return context.json({ status: 'ready' });
      },
    },
    '/metrics': {
      GET: async (context) => {
        const { registry } = services.metrics;
        return context.body(await registry.metrics(), 200, { 'content-type': registry.contentType });
      },
    },
    '/v1/enrolments': {
      POST: async (context) => {
        const enrolled = await enrol(services, context, { ...options, peer: peerOf(context) });
        return context.json(enrolled, 200, { 'cache-control': 'no-store' });
      },
    },
    '/v1/server-keys': {
      POST: async (context) =>
        context.json(await takeServerKeys(services, context), 200, { 'cache-control': 'no-store' }),
    },
    '/v1/redemptions': {
      POST: async (context) => {
        const jws = await readBody(context, 'application/jose', MAX_REDEMPTION_BYTES);
        return context.json(await redeem(services, jws), 200, { 'cache-control': 'no-store' });
      },
    },
    '/v1/receipts': {
      POST: async (context) => {
        const jws = await readBody(context, 'application/jose', MAX_RECEIPTS_BYTES);
        return context.json(await takeReceipts(services, jws), 200, { 'cache-control': 'no-store' });
      },
    },
    '/v1/streams': {
      POST: async (context) => {
        const jws = await readBody(context, 'application/jose', MAX_STREAMS_REPORT_BYTES);
        return context.json(await takeStreams(services, jws), 200, { 'cache-control': 'no-store' });
      },
    },
    '/v1/usage.csv': {
      GET: (context) =>
        usageDownload(services, identities, context, {
          peer: peerOf(context),
          ownOrigin: new URL(options.publicUrl).origin,
        }),
    },
    '/v1/payments/test-card/events': {
      POST: async (context) => {
        const body = await readBody(context, 'application/json', MAX_WEBHOOK_BYTES);
        await services.desk.takeWebhook('test_card', context.req.header(WEBHOOK_SIGNATURE_HEADER), body);
        return context.body(null, 204);
      },
    },
    '/v1/revocations': { GET: (context) => options.revocations.get(context) },
  };
}

async function player(context: Context<AppEnv>, services: Services, name: string): Promise<Response> {
  const { body, type, etag } = await playerFile(name);
  const headers: Record<string, string> = { 'content-type': type, etag, 'cache-control': 'no-cache' };
  if (name === 'index.html') {
    const servers = await listServers(services.db).catch(() => []);
    headers['content-security-policy'] = playerPolicy(
      servers.map((server) => new URL(server.publicUrl).origin),
    );
  }
  if (context.req.header('if-none-match') === etag) return context.body(null, 304, headers);
  return context.body(new Uint8Array(body), 200, headers);
}

export function createApp(services: Services, options: AppOptions): Hono<AppEnv> {
  const { log, metrics } = services;
  const app = new Hono<AppEnv>();
  const routes = routesOf(services, options);
  const basePath = basePathOf(options.publicUrl);

  /** The part of a path that names a route; `null`: not under the public URL. */
  function routePath(pathname: string): string | null {
    if (INTERNAL.has(pathname)) return pathname;
    if (!pathname.startsWith(`${basePath}/`)) return null;
    const path = pathname.slice(basePath.length);
    return INTERNAL.has(path) ? null : path;
  }

  app.use(async (context, next) => {
    const startedMs = performance.now();
    const requestId = requestIdOf(context.req.header(REQUEST_ID_HEADER), options.trustedProxies);
    context.set('requestId', requestId);
    await next();
    context.res.headers.set(REQUEST_ID_HEADER, requestId);
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
      if (!context.res.headers.has(name)) context.res.headers.set(name, value);
    }
    const path = routePath(context.req.path) ?? '';
    const route = Object.hasOwn(routes, path) ? path : 'other';
    const elapsedMs = performance.now() - startedMs;
    metrics.requests.inc({ route, status: String(context.res.status) });
    metrics.requestSeconds.observe({ route }, elapsedMs / 1000);
    log.debug(
      { requestId, method: context.req.method, route, status: context.res.status, elapsedMs },
      'request',
    );
  });

  app.all('*', (context) => {
    const url = new URL(context.req.url);
    refuseOddUrl(url);
    const method = context.req.method === 'HEAD' ? 'GET' : context.req.method;
    const path = routePath(url.pathname);
    // The player's files are named relative to its page.
    if (path === null && method === 'GET' && url.pathname === basePath) {
      return context.redirect(`${options.publicUrl}/`, 308);
    }
    if (path === null) throw new Denial('not_found');
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (route !== undefined) {
      const handler = route[method];
      if (handler !== undefined) return handler(context);
      const denial = new Denial('method_not_allowed');
      return problemResponse(denial, { allow: Object.keys(route).join(', ') });
    }
    if (method !== 'GET') throw new Denial('not_found');
    return player(context, services, path.slice(1));
  });

  app.onError(async (error, context) => {
    const denial = toDenial(error);
    if (denial.code === 'server_untrusted') await services.delayRefusal();
    if (denial.code === 'internal' || !(error instanceof Denial))
      log.error(
        { requestId: context.var.requestId, ...errorFields(error), code: denial.code },
        'a request failed',
      );
    return problemResponse(denial);
  });

  return app;
}
