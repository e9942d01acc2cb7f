/** What every reply to a ticket holder has in common. */
import { asDenial, Denial, problemResponse } from '../errors.ts';
import type { Log } from '../ports.ts';
import { corsHeaders, preflightHeaders, type CorsOrigins } from './cors.ts';
import { challenge } from './credentials.ts';

export interface EndpointOptions {
  /** The DPoP nonce that goes into every reply (RFC 9449 section 8.2). */
  readonly nonce: () => string;
  readonly corsOrigins: CorsOrigins;
  readonly log: Log;
}

/** Answers by `route`; what it throws becomes a problem document. Never rejects, never lets a reply be stored. */
export async function answer(
  { nonce, corsOrigins, log }: EndpointOptions,
  request: Request,
  route: () => Promise<Response>,
): Promise<Response> {
  let response: Response;
  try {
    response = await route();
  } catch (error) {
    response = refuse(error, log);
  }
  for (const [name, value] of Object.entries(corsHeaders(corsOrigins, request.headers.get('origin')))) {
    response.headers.set(name, value);
  }
  response.headers.set('cache-control', 'no-store');
  response.headers.set('dpop-nonce', nonce());
  return response;
}

function refuse(error: unknown, log: Log): Response {
  const denial = asDenial(error);
  if (denial.code === 'internal') {
    const { cause } = denial;
    log.error(
      { error: cause instanceof Error ? `${cause.name}: ${cause.message}` : 'unknown' },
      'a request failed',
    );
  }
  const response = problemResponse(denial);
  if (response.status === 401) response.headers.set('www-authenticate', challenge(denial));
  return response;
}

/** The reply to OPTIONS, and to a browser's preflight. */
export function optionsReply(methods: string, accept: Record<string, string>): Response {
  return new Response(null, {
    status: 200,
    headers: { allow: methods, ...accept, ...preflightHeaders(methods) },
  });
}

export function methodNotAllowed(methods: string): Response {
  return problemResponse(new Denial('method_not_allowed'), { allow: methods });
}
