import { base64url, SignJWT } from 'jose';
import type { OrderKeys } from './keys.ts';

/** What ties an opening request to the ticket's holder and to one try of his. */
export interface Binding {
  /** UUID; the same when a lost reply is asked for again, new for a new try. */
  readonly attempt: string;
  /** The offer's DTLS fingerprint, `sha-256 AB:CD:...`; the SRTP keys then belong to the holder. */
  readonly fingerprint: string;
}

export interface ProofInput {
  readonly method: string;
  /** The URL as the server publishes it; query and fragment are no part of `htu` (RFC 9449 section 4.2). */
  readonly url: string;
  readonly ticket: string;
  readonly nonce: string | null;
  readonly binding?: Binding;
  readonly nowSeconds: number;
}

/** A DPoP proof (RFC 9449 section 4.2) with the house's extra claims. Good for one request. */
export async function makeProof(
  keys: Pick<OrderKeys, 'proofAlg' | 'proofPrivateKey' | 'proofJwk'>,
  input: ProofInput,
): Promise<string> {
  return new SignJWT({
    jti: crypto.randomUUID(),
    htm: input.method,
    htu: withoutQuery(input.url),
    ath: await sha256Text(input.ticket),
    ...(input.nonce === null ? {} : { nonce: input.nonce }),
    ...(input.binding === undefined ? {} : { ...input.binding, ask: { action: 'play' } }),
  })
    .setProtectedHeader({ typ: 'dpop+jwt', alg: keys.proofAlg, jwk: keys.proofJwk })
    .setIssuedAt(input.nowSeconds)
    .sign(keys.proofPrivateKey);
}

/** SHA-256 of ASCII text in base64url, without padding. */
export async function sha256Text(text: string): Promise<string> {
  return base64url.encode(
    new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))),
  );
}

function withoutQuery(url: string): string {
  return url.split(/[?#]/, 1)[0] ?? url;
}
