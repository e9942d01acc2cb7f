/** What the vectors are made with: keys from seeds, and signatures over any text. */
import { createHmac, createPrivateKey, sign, type KeyObject } from 'node:crypto';
import { sha256Base64url } from '../../plugin/ticket/encoding.ts';
import { thumbprint } from '../../plugin/ticket/index.ts';
import { bytesFrom, clientPartFrom, keyFrom, publicOf, sealFrom } from './deterministic.ts';

/** Private keys that everybody knows. */
export function makeKeys() {
  const named = (kid: string, curve: 'Ed25519' | 'X25519' | 'P-256') => ({ ...keyFrom(kid, curve), kid });
  const numbers = [1, 2, 3, 4, 5, 6, 7, 8];
  return {
    orderServer: {
      ...named('insecure-test-os-ed25519', 'Ed25519'),
      alg: 'Ed25519' as const,
      use: 'sig',
    },
    orderServerEc: { ...named('insecure-test-os-es256', 'P-256'), alg: 'ES256' as const, use: 'sig' },
    holder: named('insecure-test-holder-ed25519', 'Ed25519'),
    holderEc: named('insecure-test-holder-es256', 'P-256'),
    stranger: named('insecure-test-stranger', 'Ed25519'),
    client: named('insecure-test-client-x25519', 'X25519'),
    clientEc: named('insecure-test-client-p256', 'P-256'),
    servers: numbers.map((number) => named(`insecure-test-ss-${number}`, 'X25519')),
    serversEc: numbers.map((number) => named(`insecure-test-ss-p256-${number}`, 'P-256')),
  };
}
export type VectorKeys = ReturnType<typeof makeKeys>;

type PrivateJwk = ReturnType<typeof keyFrom>;

export interface Tools {
  readonly keys: VectorKeys;
  readonly nowSeconds: number;
  readonly thumbprint: typeof thumbprint;
  readonly sha256: (text: string) => string;
  readonly publicOf: typeof publicOf;
  readonly bytesFrom: typeof bytesFrom;
  readonly sealFrom: typeof sealFrom;
  readonly clientPartFrom: typeof clientPartFrom;
  /** A compact JWS of two texts, whatever they are. */
  readonly signTexts: (header: string, payload: string, key: PrivateJwk) => string;
  readonly signObjects: (header: object, payload: object, key: PrivateJwk) => string;
  /** The same by HMAC: what a verifier that confuses kinds of keys would take, if the secret is a public key. */
  readonly signHmac: (header: object, payload: object, secret: string) => string;
}

const base64url = (text: string): string => Buffer.from(text).toString('base64url');

/** Signatures by what they sign, of everything that looks like a compact JWS in a text. */
function knownSignatures(text: string): Map<string, string> {
  const known = new Map<string, string>();
  for (const [, input = '', signature = ''] of text.matchAll(
    /"([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{86})"/g,
  ))
    if (!known.has(input)) known.set(input, signature);
  return known;
}

/** `committed` is a text that signatures by ES256 are taken from, if they are there: they have a random part. */
export function createTools(committed: string): Tools {
  const known = knownSignatures(committed);
  const privateKeys = new WeakMap<object, KeyObject>();
  const privateKeyOf = (key: PrivateJwk): KeyObject => {
    const imported = privateKeys.get(key) ?? createPrivateKey({ key, format: 'jwk' });
    privateKeys.set(key, imported);
    return imported;
  };
  const signTexts: Tools['signTexts'] = (header, payload, key) => {
    const input = `${base64url(header)}.${base64url(payload)}`;
    const privateKey = privateKeyOf(key);
    if (key.crv === 'Ed25519')
      return `${input}.${sign(null, Buffer.from(input), privateKey).toString('base64url')}`;
    const fresh = () => sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' });
    return `${input}.${known.get(input) ?? fresh().toString('base64url')}`;
  };
  return {
    keys: makeKeys(),
    nowSeconds: 1_770_000_000,
    thumbprint,
    sha256: sha256Base64url,
    publicOf,
    bytesFrom,
    sealFrom,
    clientPartFrom,
    signTexts,
    signObjects: (header, payload, key) => signTexts(JSON.stringify(header), JSON.stringify(payload), key),
    signHmac(header, payload, secret) {
      const input = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(payload))}`;
      return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
    },
  };
}
