/** CORS for pages of other origins. */

/** Header fields beyond the safelisted ones that a page of another origin may read. */
const EXPOSED = 'Location, ETag, Link, DPoP-Nonce, WWW-Authenticate, Retry-After, Accept-Patch';
const ALLOWED_HEADERS = 'Authorization, DPoP, Content-Type, If-Match';
/** Seconds; browsers cap it at two hours or less. */
const PREFLIGHT_MAX_AGE_SECONDS = 7200;

export type CorsOrigins = '*' | readonly string[];

/** CORS header fields of every reply. Tickets travel in header fields, never in cookies, so `*` gives nothing away. */
export function corsHeaders(origins: CorsOrigins, origin: string | null): Record<string, string> {
  if (origins === '*') {
    return { 'access-control-allow-origin': '*', 'access-control-expose-headers': EXPOSED };
  }
  if (origin === null || !origins.includes(origin)) return { vary: 'Origin' };
  return {
    vary: 'Origin',
    'access-control-allow-origin': origin,
    'access-control-expose-headers': EXPOSED,
  };
}

export function preflightHeaders(methods: string): Record<string, string> {
  return {
    'access-control-allow-methods': methods,
    'access-control-allow-headers': ALLOWED_HEADERS,
    'access-control-max-age': String(PREFLIGHT_MAX_AGE_SECONDS),
  };
}
