/** Ticket and proof in header fields, and the challenge that asks for them. */
import { Denial } from '../errors.ts';

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

const AUTHORIZATION = /^[A-Za-z]{1,16} +[A-Za-z0-9._~+/=-]+$/;
const PROOF = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/**
 * The two credentials of a request. A field that was sent twice arrives joined by a comma, which neither may contain:
 * otherwise two readers could each believe another one (RFC 9449 section 4.3, check 1).
 * @throws Denial `ticket_malformed`, `proof_invalid`
 */
export function readCredentials(request: { readonly headers: Pick<Headers, 'get'> }): {
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
