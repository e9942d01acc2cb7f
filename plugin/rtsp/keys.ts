/** What a ticket's secret yields to those who share it: for one description, since its nonce is said once. */
import { hkdfSync, randomBytes } from 'node:crypto';

/**
 * What a client says in `Require` (RFC 2326 section 12.32) that shares the ticket's secret: keys come by MIKEY with a
 * pre-shared key, and requests carry a control proof. Servers that do not know it answer 551.
 */
export const PRE_SHARED_KEY_FEATURE = 'usher.mikey-psk';

/** Field of the answer to DESCRIBE: the nonce, in base64url. */
export const NONCE_FIELD = 'Usher-Nonce';

const NONCE_BYTES = 32;
const KEY_BYTES = 32;
/** One spelling of 32 bytes: the last character has two bits to spare. */
const NONCE = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

export interface RtspKeys {
  /** For MIKEY. */
  readonly preShared: Buffer;
  /** For control proofs. */
  readonly control: Buffer;
}

export const createKeyNonce = (): string => randomBytes(NONCE_BYTES).toString('base64url');

/** True for what `createKeyNonce` could have made. */
export const isKeyNonce = (text: string): boolean => NONCE.test(text);

/**
 * @param secret the ticket's, 32 bytes: the holder has it from the client part, the server from its own part
 * @param nonce of the server, a fresh one for each description
 */
export function deriveRtspKeys(secret: Uint8Array, nonce: string): RtspKeys {
  const derive = (info: string): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, Buffer.from(nonce, 'base64url'), info, KEY_BYTES));
  return { preShared: derive('usher mikey psk'), control: derive('usher control') };
}
