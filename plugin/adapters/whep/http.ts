/** The HTTP of WHEP beside its meaning: bounded bodies, CORS, challenges, strict header fields. */
import { Denial } from '../../errors.ts';

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

/** The DPoP challenge of a 401 (RFC 9449 section 7.1). */
export function challenge({ code }: Denial): string {
  const error =
    code === 'proof_nonce_required'
      ? 'use_dpop_nonce'
      : code.startsWith('proof_')
        ? 'invalid_dpop_proof'
        : code === 'ticket_missing'
          ? undefined
          : 'invalid_token';
  return `DPoP algs="Ed25519 ES256"${error === undefined ? '' : `, error="${error}"`}`;
}

/** RFC 9110 section 8.3.1: the type decides, parameters are let be. */
export function requireContentType(request: Request, type: string): void {
  const given = request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
  if (given !== type) throw new Denial('unsupported_media_type', { detail: `expected ${type}` });
}

const AUTHORIZATION = /^[A-Za-z]{1,16} +[A-Za-z0-9._~+/=-]+$/;
const PROOF = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/**
 * The two credentials of a request. A field that was sent twice arrives joined by a comma, which neither may contain:
 * otherwise two readers could each believe another one (RFC 9449 section 4.3, check 1).
 * @throws Denial `ticket_malformed`, `proof_invalid`
 */
export function readCredentials(request: Request): {
  authorization: string | undefined;
  proof: string | undefined;
} {
  const read = (name: string): string | undefined => {
    const value = request.headers.get(name);
    return value === null || value === '' ? undefined : value;
  };
  const authorization = read('authorization');
  const proof = read('dpop');
  if (authorization !== undefined && !AUTHORIZATION.test(authorization)) throw new Denial('ticket_malformed');
  if (proof !== undefined && !PROOF.test(proof)) throw new Denial('proof_invalid');
  return { authorization, proof };
}

/**
 * Reads a body as UTF-8 text.
 * @throws Denial `body_too_large`; `request_malformed` when it takes longer than `deadlineMs`, breaks off, or is not UTF-8.
 */
export async function readText(request: Request, maxBytes: number, deadlineMs: number): Promise<string> {
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw new Denial('body_too_large');
  if (request.body === null) return '';
  const reader = request.body.getReader();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Denial('request_malformed', { detail: 'the body came too slowly' })),
    deadlineMs,
  );
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late.promise]);
      if (done) break;
      bytes += value.byteLength;
      if (bytes > maxBytes) throw new Denial('body_too_large');
      chunks.push(value);
    }
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch (error) {
    reader.cancel().catch(() => undefined);
    if (error instanceof Denial) throw error;
    throw new Denial('request_malformed', { detail: 'the body could not be read', cause: error });
  } finally {
    clearTimeout(timer);
  }
}
