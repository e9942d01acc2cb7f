/**
 * Signatures of compact JWSs (RFC 7515 section 5), computed at once: an Ed25519 or P-256 operation takes less time than
 * the way to another thread and back, which WebCrypto takes for each.
 */
import { sign, verify, type KeyObject, type SignKeyObjectInput } from 'node:crypto';
import type { CompactParts } from './compact.ts';
import type { SigningAlg } from './keys.ts';

/** RFC 8037 section 3.1 and RFC 7518 section 3.4: R and S, 32 bytes each. */
const SIGNATURE_BYTES = 64;

interface Algorithm {
  /** `null`: the algorithm hashes by itself. */
  readonly digest: string | null;
  readonly keyType: string;
  readonly namedCurve: string | undefined;
  /** The key as `sign` and `verify` are to be given it: bare where it can be, since a key in options takes longer. */
  readonly use: (key: KeyObject) => KeyObject | SignKeyObjectInput;
}

const ALGORITHMS: Readonly<Record<SigningAlg, Algorithm>> = {
  Ed25519: { digest: null, keyType: 'ed25519', namedCurve: undefined, use: (key) => key },
  ES256: {
    digest: 'sha256',
    keyType: 'ec',
    namedCurve: 'prime256v1',
    use: (key) => ({ key, dsaEncoding: 'ieee-p1363' }),
  },
};

function assertKeyFor({ keyType, namedCurve }: Algorithm, key: KeyObject, type: 'private' | 'public'): void {
  const fits =
    key.type === type &&
    key.asymmetricKeyType === keyType &&
    (namedCurve === undefined || key.asymmetricKeyDetails?.namedCurve === namedCurve);
  if (!fits) throw new TypeError('the key is not for this algorithm');
}

/**
 * Returns if the signature is that of `key`; that `alg` is the one of the header is the caller's to see to.
 * @throws Error if it is not, TypeError if `key` is not a public key for `alg`
 */
export function verifyJws(
  { signingInput, signature }: Pick<CompactParts, 'signingInput' | 'signature'>,
  alg: SigningAlg,
  key: KeyObject,
): void {
  const algorithm = ALGORITHMS[alg];
  assertKeyFor(algorithm, key, 'public');
  const genuine =
    signature.length === SIGNATURE_BYTES &&
    verify(algorithm.digest, signingInput, algorithm.use(key), signature);
  if (!genuine) throw new Error('the signature is not that of the key');
}

/**
 * Signs a payload under a header that names `alg`; answers the compact JWS.
 * @throws TypeError unless `key` is a private key for `alg`
 */
export function signJws(
  header: { readonly alg: SigningAlg } & Readonly<Record<string, string>>,
  payload: object,
  key: KeyObject,
): string {
  const algorithm = ALGORITHMS[header.alg];
  assertKeyFor(algorithm, key, 'private');
  const [head, body] = [header, payload].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url'),
  );
  const signingInput = `${head}.${body}`;
  const signature = sign(algorithm.digest, Buffer.from(signingInput), algorithm.use(key));
  return `${signingInput}.${signature.toString('base64url')}`;
}
