import { FRESH_MS, isFresh } from './nonces.ts';
import type { ReadyProof, SignedFetch } from './signed-fetch.ts';

/** A DTLS certificate whose fingerprint is known before there is an offer. */
export interface OwnCertificate {
  readonly certificate: RTCCertificate;
  /** `sha-256 AB:CD:...`, as in the proof. */
  readonly fingerprint: string;
}

/** What opening one session needs beside its offer. Good for one connection. */
export interface Opening {
  /** UUID of the try. */
  readonly attempt: string;
  /** `null`: the browser makes one by itself, and shows it only in the offer. Never rejects. */
  readonly own: Promise<OwnCertificate | null>;
  /** The proof of the opening request; `null` where it cannot be made before the offer. Never rejects. */
  readonly proof: Promise<ReadyProof | null>;
}

export interface Openings {
  /** Gets the next opening ready while nothing else is to do. Never throws. */
  warmUp(): Promise<void>;
  /** Hands out an opening, once: the one that was made ready, or one that is begun now. */
  take(): Opening;
}

export interface OpeningsOptions {
  readonly endpoint: string;
  readonly signed: Pick<SignedFetch, 'refreshNonce' | 'prove'>;
  readonly makeCertificate: () => Promise<OwnCertificate | null>;
  /** One that was begun before the ticket was there, for the first opening. */
  readonly firstCertificate?: Promise<OwnCertificate | null> | undefined;
  readonly nowMs: () => number;
}

/** Made anew from this age on when the viewer is about to press play. */
const RENEW_AFTER_MS = 30_000;

/**
 * The openings of one ticket at one endpoint. Each has a certificate of its own, so that no two sessions can be told by
 * their fingerprint to be of the same viewer.
 */
export function createOpenings(options: OpeningsOptions): Openings {
  const { endpoint, signed, makeCertificate, nowMs } = options;
  let ready: { readonly atMs: number; readonly opening: Opening } | null = null;
  let first = options.firstCertificate ?? null;

  /** Certificate and nonce are got at the same time; then the proof is signed. */
  function begin(maxNonceAgeMs: number): Opening {
    const attempt = crypto.randomUUID();
    const own = first ?? makeCertificate();
    first = null;
    const prove = async (): Promise<ReadyProof | null> => {
      const [made] = await Promise.all([own, signed.refreshNonce(endpoint, maxNonceAgeMs)]);
      if (made === null) return null;
      const binding = { attempt, fingerprint: made.fingerprint };
      return signed.prove({ method: 'POST', url: endpoint, binding }).catch(() => null);
    };
    return { attempt, own, proof: prove() };
  }

  return {
    async warmUp() {
      if (ready === null || !isFresh(ready.atMs, nowMs(), RENEW_AFTER_MS)) {
        ready = { atMs: nowMs(), opening: begin(0) };
      }
      const current = ready;
      // Without a proof there is nothing to keep: the next hint that play will be pressed tries again.
      if ((await current.opening.proof) === null && ready === current) ready = null;
    },
    take() {
      const taken = ready;
      ready = null;
      return taken !== null && isFresh(taken.atMs, nowMs()) ? taken.opening : begin(FRESH_MS);
    },
  };
}

/** A fresh certificate; `null` where the browser cannot make one or tell its fingerprint. */
export async function makeCertificate(): Promise<OwnCertificate | null> {
  try {
    const algorithm: EcKeyGenParams = { name: 'ECDSA', namedCurve: 'P-256' };
    const certificate = await RTCPeerConnection.generateCertificate(algorithm);
    // Throws where the method is missing, which the types do not know of.
    const sha256 = certificate.getFingerprints().find(({ algorithm: name }) => name === 'sha-256')?.value;
    return sha256 === undefined ? null : { certificate, fingerprint: `sha-256 ${sha256.toUpperCase()}` };
  } catch {
    return null;
  }
}
