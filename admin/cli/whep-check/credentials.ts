/** Who asks: nobody, the bearer of a token, or the holder of a ticket and its key. */
import { createProof, type SigningKey } from '../../../plugin/ticket/index.ts';
import type { JWK } from 'jose';
import type { Ask, Reply } from './http.ts';

export interface Credentials {
  readonly kind: 'none' | 'bearer' | 'ticket';
  headersFor(ask: Pick<Ask, 'method' | 'url' | 'fingerprint'>): Promise<Record<string, string>>;
  /** Takes from a reply what the next request needs; true when the request should be made again with it. */
  learn(reply: Reply): boolean;
}

export const NOBODY: Credentials = {
  kind: 'none',
  headersFor: () => Promise.resolve({}),
  learn: () => false,
};

/** RFC 6750 section 2.1. */
export function bearer(token: string): Credentials {
  return {
    kind: 'bearer',
    headersFor: () => Promise.resolve({ authorization: `Bearer ${token}` }),
    learn: () => false,
  };
}

export type ProofKey = Pick<SigningKey, 'alg' | 'privateKey'> & { readonly publicJwk: JWK };

/** A ticket with proofs of possession (RFC 9449). */
export function ticketHolder(ticket: string, { alg, privateKey, publicJwk }: ProofKey): Credentials {
  let nonce: string | undefined;
  return {
    kind: 'ticket',
    async headersFor({ method, url, fingerprint }) {
      const binding = fingerprint === undefined ? {} : { fingerprint, ask: { action: 'play' } as const };
      const proof = await createProof({
        privateKey,
        publicJwk,
        alg,
        method,
        url: url.href,
        ticket,
        nonce,
        ...binding,
      });
      return { authorization: `DPoP ${ticket}`, dpop: proof };
    },
    learn({ status, headers }) {
      const given = headers.get('dpop-nonce');
      if (given === null) return false;
      const isNew = given !== nonce;
      nonce = given;
      return isNew && status === 401 && (headers.get('www-authenticate') ?? '').includes('use_dpop_nonce');
    },
  };
}
