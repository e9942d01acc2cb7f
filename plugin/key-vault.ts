/**
 * Private keys at rest, encrypted under a master key from the environment: JWE in the flattened JSON serialization
 * (RFC 7516 section 7.2.2), `dir` with A256GCM. The id of the key that is kept is the additional authenticated data, so
 * that one row cannot be put in the place of another.
 */
import { randomBytes } from 'node:crypto';
import { flattenedDecrypt, FlattenedEncrypt, type JWK } from 'jose';
import { z } from 'zod';
import { decodeBase64url, sha256Base64url } from './ticket/encoding.ts';

const MASTER_KEY_BYTES = 32;

/** A master key as text: 32 bytes in base64url, 43 characters. Parsing gives the bytes. */
export const masterKeySchema = z.string().transform((text, context) => {
  const bytes = decodeBase64url(text);
  if (bytes?.byteLength === MASTER_KEY_BYTES) return bytes;
  context.addIssue({
    code: 'custom',
    message: '32 bytes in base64url; `usher keys generate-master` makes one',
  });
  return z.NEVER;
});

/** A new master key as text. It is a secret. */
export function generateMasterKey(): string {
  return randomBytes(MASTER_KEY_BYTES).toString('base64url');
}

const base64url = z
  .string()
  .max(8192)
  .regex(/^[A-Za-z0-9_-]+$/);

/** A private key as it is kept when there is a master key. */
export const sealedKeySchema = z.strictObject({
  protected: base64url,
  aad: base64url,
  iv: base64url,
  ciphertext: base64url,
  tag: base64url,
});
export type SealedKey = z.infer<typeof sealedKeySchema>;

/** A private key in a file or a database: sealed, or as it is. */
export type StoredKey = SealedKey | JWK;

export interface OpenedKey {
  readonly jwk: JWK & { readonly kid: string };
  /** True when it should be sealed anew: it lies there as it is, or under the old master key. */
  readonly isStale: boolean;
}

export interface KeyVault {
  /** False without a master key: then keys are kept as they are. */
  readonly isSealing: boolean;
  /** What is to be kept of a private JWK. Its `kid` must be set. */
  seal(jwk: JWK): Promise<StoredKey>;
  /**
   * The private key of this id.
   * @throws Error with one clear line: no master key, another one, or not the key of that id. Never a key in it.
   */
  open(stored: StoredKey, kid: string): Promise<OpenedKey>;
}

export interface KeyVaultOptions {
  /** Name of the setting with the master key, for messages; the old one's has `_OLD` behind it. */
  readonly setting: string;
  readonly masterKey?: Uint8Array | undefined;
  /** The master key before this one: opens, and never seals. */
  readonly oldMasterKey?: Uint8Array | undefined;
}

interface Master {
  /** RFC 7638 thumbprint of the key as an `oct` JWK: tells which master key is missing, and nothing of it. */
  readonly id: string;
  readonly bytes: Uint8Array;
}

function masterOf(bytes: Uint8Array): Master {
  const k = Buffer.from(bytes).toString('base64url');
  return { id: sha256Base64url(JSON.stringify({ k, kty: 'oct' })), bytes };
}

const headerSchema = z.object({ kid: z.string() });

function isSealed(stored: StoredKey): stored is SealedKey {
  return sealedKeySchema.safeParse(stored).success;
}

function masterIdOf(sealed: SealedKey): string | null {
  try {
    return headerSchema.parse(JSON.parse(Buffer.from(sealed.protected, 'base64url').toString('utf8'))).kid;
  } catch {
    return null;
  }
}

/** @param options without `masterKey`, keys are kept and read as they are, and a sealed one is an error */
export function createKeyVault({ setting, masterKey, oldMasterKey }: KeyVaultOptions): KeyVault {
  const current = masterKey === undefined ? null : masterOf(masterKey);
  const masters = [current, oldMasterKey === undefined ? null : masterOf(oldMasterKey)].filter(
    (master) => master !== null,
  );

  async function unseal(sealed: SealedKey, kid: string): Promise<OpenedKey> {
    const master = masters.find(({ id }) => id === masterIdOf(sealed));
    if (master === undefined) {
      throw new Error(
        current === null
          ? `the key ${kid} is encrypted: ${setting} must be set to the master key that it was encrypted under`
          : `the key ${kid} is encrypted under another master key than ${setting}: put that one into ${setting}, or into ${setting}_OLD to change over`,
      );
    }
    const damaged = `the key ${kid} does not open: what is stored was changed, or belongs to another key`;
    if (sealed.aad !== Buffer.from(kid).toString('base64url')) throw new Error(damaged);
    const { plaintext } = await flattenedDecrypt(sealed, master.bytes, {
      keyManagementAlgorithms: ['dir'],
      contentEncryptionAlgorithms: ['A256GCM'],
    }).catch((cause: unknown) => {
      throw new Error(damaged, { cause });
    });
    const jwk = JSON.parse(Buffer.from(plaintext).toString('utf8')) as JWK;
    return { jwk: { ...jwk, kid }, isStale: master !== current };
  }

  return {
    isSealing: current !== null,
    async seal(jwk) {
      if (jwk.kid === undefined) throw new TypeError('the key has no kid');
      if (current === null) return jwk;
      return sealedKeySchema.parse(
        await new FlattenedEncrypt(Buffer.from(JSON.stringify(jwk)))
          .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid: current.id })
          .setAdditionalAuthenticatedData(Buffer.from(jwk.kid))
          .encrypt(current.bytes),
      );
    },
    async open(stored, kid) {
      if (isSealed(stored)) return unseal(stored, kid);
      if (stored.kid !== undefined && stored.kid !== kid)
        throw new Error(`the key ${kid} has another id inside`);
      return { jwk: { ...stored, kid }, isStale: current !== null };
    },
  };
}
