/**
 * Proof of possession by DPoP (RFC 9449): who presents a ticket signs method, URL, ticket and a nonce of the server with
 * the key that the ticket names in `cnf.jkt`.
 */
import { randomUUID } from 'node:crypto';
import { CompactSign, type CryptoKey, type JWK } from 'jose';
import { z } from 'zod';
import { Denial } from '../errors.ts';
import type { Clock } from '../ports.ts';
import { askSchema, type Ask } from '../rights/index.ts';
import { parseCompact, refusedMember } from './compact.ts';
import { BASE64URL_32_BYTES, equalText, sha256Base64url } from './encoding.ts';
import { verifyJws } from './jws.ts';
import {
  publicKeyObject,
  requiredMembers,
  SIGNING_ALG_NAMES,
  signingAlgOf,
  thumbprint,
  type SigningAlg,
} from './keys.ts';
import type { Nonces } from './nonces.ts';
import type { ReplayMemory } from './replay.ts';
import { normalizeUrl } from './url.ts';

export const MAX_PROOF_CHARS = 2048;
const PROOF_TYP = 'dpop+jwt';

/**
 * A proof may be this old, and this far ahead of our clock. Freshness comes from the nonce, which is ours; `iat` is read
 * with the patience that clients' clocks need. Replay memories must remember for longer than both together.
 */
const MAX_AGE_SECONDS = 60;
const MAX_AHEAD_SECONDS = 5;

const coordinate = z.string().regex(BASE64URL_32_BYTES);
/** Just the members that make the public key: a private member, or any other, is refused. */
const proofJwkSchema = z.discriminatedUnion('kty', [
  z.strictObject({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: coordinate }),
  z.strictObject({ kty: z.literal('EC'), crv: z.literal('P-256'), x: coordinate, y: coordinate }),
]);
const headerSchema = z
  .strictObject({ typ: z.literal(PROOF_TYP), alg: z.enum(SIGNING_ALG_NAMES), jwk: proofJwkSchema })
  .refine(({ alg, jwk }) => signingAlgOf(jwk) === alg, {
    path: ['alg'],
    error: 'not the algorithm of the key',
  });

const claimsSchema = z.strictObject({
  jti: z.string().regex(/^[A-Za-z0-9_-]{16,64}$/),
  htm: z.string().max(32),
  htu: z.string().max(1000),
  iat: z.number().int().nonnegative().max(8_640_000_000_000),
  ath: coordinate,
  nonce: z.string().max(100).optional(),
  /** The same in every repetition of one attempt whose reply was lost. */
  attempt: z.uuid().optional(),
  ask: askSchema.optional(),
  /** DTLS fingerprint of the offer. */
  fingerprint: z.string().max(200).optional(),
});

/** What a valid proof says beyond being valid. */
export interface ProofClaims {
  readonly jti: string;
  readonly attempt: string | null;
  readonly ask: Ask | null;
}

export interface ProofRequest {
  /** The DPoP header. */
  readonly proof: string | undefined;
  readonly method: string;
  /** Absolute URL as configured; query and fragment do not count. */
  readonly url: string;
  /** The ticket that is presented with the proof. */
  readonly ticket: string;
  /** `cnf.jkt` of the ticket. */
  readonly jkt: string;
  /** DTLS fingerprint of the offer; then the proof must carry it, and else it must not carry any. */
  readonly fingerprint?: string | undefined;
}

export interface ProofVerifier {
  /**
   * Checks a proof and marks it as used.
   * @throws Denial `proof_missing`; `proof_invalid`, whose detail names the claim; `proof_nonce_required` for a proof
   *   that is good but for a missing or old nonce; `proof_replayed`; `overloaded` when the memory is full
   */
  verify(request: ProofRequest): Promise<ProofClaims>;
}

export interface ProofVerifierOptions {
  readonly nonces: Nonces;
  readonly replay: ReplayMemory;
  readonly clock: Pick<Clock, 'nowMs'>;
}

function invalid(detail: string): Denial {
  return new Denial('proof_invalid', { detail });
}

/** Makes the checker of proofs of one server. */
export function createProofVerifier({ nonces, replay, clock }: ProofVerifierOptions): ProofVerifier {
  function verifySignature(proof: string, jkt: string): object {
    const parts = parseCompact(proof, MAX_PROOF_CHARS);
    if (parts === null) throw invalid('not a compact JWS');
    const header = headerSchema.safeParse(parts.header);
    if (!header.success) throw invalid(refusedMember(header.error, 'header'));
    const { alg, jwk } = header.data;
    if (!equalText(thumbprint(jwk), jkt)) throw invalid('jwk');
    try {
      verifyJws(parts, alg, publicKeyObject(jwk));
    } catch {
      throw invalid('signature');
    }
    return parts.payload;
  }

  return {
    async verify({ proof, method, url, ticket, jkt, fingerprint }) {
      if (proof === undefined || proof === '') throw new Denial('proof_missing');
      // Before the nonce, so that only the holder of the key learns whether a nonce is current.
      const parsed = claimsSchema.safeParse(verifySignature(proof, jkt));
      if (!parsed.success) throw invalid(refusedMember(parsed.error, 'unknown claim'));
      const claims = parsed.data;
      if (claims.htm !== method) throw invalid('htm');
      const wanted = normalizeUrl(url);
      // Most clients write it as it was asked for.
      const isWanted = claims.htu === url || normalizeUrl(claims.htu) === wanted;
      if (wanted === null || !isWanted) throw invalid('htu');
      if (!equalText(claims.ath, sha256Base64url(ticket))) throw invalid('ath');
      if ((claims.fingerprint === undefined) !== (fingerprint === undefined)) throw invalid('fingerprint');
      if (!equalText(claims.fingerprint ?? '', fingerprint ?? '')) throw invalid('fingerprint');
      const ageSeconds = Math.floor(clock.nowMs() / 1000) - claims.iat;
      if (ageSeconds > MAX_AGE_SECONDS || ageSeconds < -MAX_AHEAD_SECONDS) throw invalid('iat');
      if (claims.nonce === undefined || !nonces.isCurrent(claims.nonce)) {
        throw new Denial('proof_nonce_required', { detail: 'nonce' });
      }
      // Last, and by key: nobody can use up an id of somebody else.
      replay.use(`proof ${jkt} ${claims.jti}`, 'proof_replayed', claims.iat);
      return { jti: claims.jti, attempt: claims.attempt ?? null, ask: claims.ask ?? null };
    },
  };
}

export interface ProofOptions {
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
  readonly alg: SigningAlg;
  readonly method: string;
  readonly url: string;
  readonly ticket: string;
  readonly nonce?: string | undefined;
  /** UUID; the same when a request is repeated because its reply was lost. */
  readonly attempt?: string | undefined;
  readonly ask?: Ask | undefined;
  readonly fingerprint?: string | undefined;
  /** Unix seconds; default: the system's clock. */
  readonly nowSeconds?: number | undefined;
}

/** Makes a proof for one request, for clients. Throws TypeError for a key that does not fit. */
export async function createProof(options: ProofOptions): Promise<string> {
  const { privateKey, publicJwk, alg, method, url, ticket, nonce, attempt, ask, fingerprint } = options;
  const claims = {
    jti: randomUUID(),
    htm: method,
    htu: url.replace(/[?#].*$/s, ''),
    iat: options.nowSeconds ?? Math.floor(Date.now() / 1000),
    ath: sha256Base64url(ticket),
    nonce,
    attempt,
    ask,
    fingerprint,
  };
  return new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ typ: PROOF_TYP, alg, jwk: requiredMembers(publicJwk) })
    .sign(privateKey);
}
