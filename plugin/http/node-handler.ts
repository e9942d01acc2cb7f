/** A web handler for node:http, and for whatever takes its request and response: Express, Connect, Fastify's raw ones. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { clientOf } from '../peer.ts';

/**
 * Answers a request. One that is not for it goes to `next`, and without that gets a 404. Nobody may have read the
 * request's body before.
 */
export type NodeHandler = (
  request: IncomingMessage & { originalUrl?: string },
  response: ServerResponse,
  next?: () => void,
) => void;

export interface NodeHandlerOptions {
  readonly fetch: (request: Request, client: ReturnType<typeof clientOf>) => Promise<Response>;
  /** Whether a path (with the public URL's own in front) is answered here. */
  readonly owns: (pathname: string) => boolean;
  /** Reverse proxies in front that set X-Forwarded-For and X-Forwarded-Proto. */
  readonly trustedProxies: number;
}

export function createNodeHandler({ fetch, owns, trustedProxies }: NodeHandlerOptions): NodeHandler {
  const listener = getRequestListener(
    (request, env) => fetch(request, clientOf(env.incoming, trustedProxies)),
    {
      // The app's own Request and Response stay what they are.
      overrideGlobalObjects: false,
    },
  );
  return (request, response, next) => {
    // Routers that are mounted somewhere cut that off; proofs are over the whole URL.
    request.url = request.originalUrl ?? request.url ?? '/';
    const pathname = request.url.split('?', 1)[0] ?? '';
    if (next !== undefined && !owns(pathname)) return next();
    void listener(request, response);
  };
}
