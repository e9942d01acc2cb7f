import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';

export type ProofAlg = 'Ed25519' | 'ES256';

/** The two key pairs of one order. The private keys cannot leave WebCrypto: not even this page can read them. */
export interface OrderKeys {
  readonly proofAlg: ProofAlg;
  readonly proofPrivateKey: CryptoKey;
  readonly proofJwk: JWK;
  readonly sealPrivateKey: CryptoKey;
  readonly sealJwk: JWK;
}

/**
 * Fresh keys for one order, so that orders cannot be linked by key: Ed25519 and X25519 where the browser has
 * them, P-256 for both otherwise.
 */
export async function createOrderKeys(): Promise<OrderKeys> {
  const [proof, seal] = await Promise.all([createProofPair(), createSealPair()]);
  return {
    proofAlg: proof.alg,
    proofPrivateKey: proof.pair.privateKey,
    proofJwk: await publicJwk(proof.pair.publicKey),
    sealPrivateKey: seal.privateKey,
    sealJwk: await publicJwk(seal.publicKey),
  };
}

/** RFC 7638 thumbprint of the proof key: what the ticket's `cnf.jkt` must be. */
export function proofThumbprint(keys: Pick<OrderKeys, 'proofJwk'>): Promise<string> {
  return calculateJwkThumbprint(keys.proofJwk, 'sha256');
}

async function createProofPair() {
  try {
    return { alg: 'Ed25519' as const, pair: await generateKeyPair('Ed25519', { extractable: false }) };
  } catch {
    return { alg: 'ES256' as const, pair: await generateKeyPair('ES256', { extractable: false }) };
  }
}

async function createSealPair() {
  try {
    return await generateKeyPair('ECDH-ES+A256KW', { crv: 'X25519', extractable: false });
  } catch {
    return generateKeyPair('ECDH-ES+A256KW', { crv: 'P-256', extractable: false });
  }
}

/** Only the members that make the key: no `alg`, `ext` or `key_ops`. */
async function publicJwk(key: CryptoKey): Promise<JWK> {
  const { kty, crv, x, y } = await exportJWK(key);
  if (kty === undefined || crv === undefined || x === undefined)
    throw new TypeError('not an elliptic curve key');
  return { kty, crv, x, ...(y === undefined ? {} : { y }) };
}
