/** The client part of a ticket: the holder's copy of the secret, never forwarded. For clients and tests. */
import { compactDecrypt, type JWK } from 'jose';
import { z } from 'zod';
import { parseJsonObject } from './compact.ts';
import { BASE64URL_32_BYTES, decodeBase64url, equalText, sha256Base64url } from './encoding.ts';
import { SEAL_ALG, SEAL_ENC } from './ecdh-es.ts';
import { sealingPrivateKey } from './sealed.ts';

export const CLIENT_PART_TYP = 'client-part+jwe';
const MAX_CLIENT_PART_CHARS = 1024;

const contentSchema = z.strictObject({
  k: z.string().regex(BASE64URL_32_BYTES),
  jti: z.uuid({ version: 'v7' }),
});

/**
 * Opens a client part with the order's seal key and checks that it belongs to the ticket with these claims.
 * Answers the 32-byte key. Throws TypeError if it does not open or is another ticket's.
 */
export async function openClientPart(
  text: string,
  sealPrivateJwk: JWK,
  ticket: { readonly jti: string; readonly cph?: string | undefined },
): Promise<Uint8Array> {
  if (text.length > MAX_CLIENT_PART_CHARS) throw new TypeError('the client part is too long');
  if (ticket.cph === undefined || !equalText(sha256Base64url(text), ticket.cph))
    throw new TypeError('the client part is not the one of this ticket');
  const { plaintext, protectedHeader } = await compactDecrypt(text, await sealingPrivateKey(sealPrivateJwk), {
    keyManagementAlgorithms: [SEAL_ALG],
    contentEncryptionAlgorithms: [SEAL_ENC],
  }).catch(() => {
    throw new TypeError('the client part does not open with this key');
  });
  const content = contentSchema.safeParse(parseJsonObject(plaintext));
  if (protectedHeader.typ !== CLIENT_PART_TYP || !content.success || content.data.jti !== ticket.jti)
    throw new TypeError('the client part is not the one of this ticket');
  const key = decodeBase64url(content.data.k);
  if (key === null) throw new TypeError('the client part is malformed');
  return key;
}
