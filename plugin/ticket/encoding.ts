/** Text forms of bytes, hashes of text, and comparison that does not tell how far it got. */
import { hash, timingSafeEqual } from 'node:crypto';

/**
 * base64url of 32 bytes: a SHA-256, an RFC 7638 thumbprint, a 256-bit key. The last character carries 4 bits, the two
 * that it has to spare must be zero (RFC 4648 section 3.5): every value has one spelling.
 */
export const BASE64URL_32_BYTES = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

const BASE64URL = /^[A-Za-z0-9_-]*$/;
/** Last characters whose bits to spare are zero, by the characters of the last group; with one character there is none. */
const LAST_OF_GROUP: Readonly<Record<number, string>> = { 1: '', 2: 'AQgw', 3: 'AEIMQUYcgkosw048' };

/**
 * The bytes of base64url text without padding (RFC 7515 section 2), or `null` if it is not that. Only the one canonical
 * spelling is taken: unused bits of the last character must be zero (RFC 4648 section 3.5).
 */
export function decodeBase64url(text: string): Buffer | null {
  if (!BASE64URL.test(text)) return null;
  const last = LAST_OF_GROUP[text.length % 4];
  if (last !== undefined && !last.includes(text.charAt(text.length - 1))) return null;
  return Buffer.from(text, 'base64url');
}

/** SHA-256 in base64url, 43 characters. */
export function sha256Base64url(data: string | Uint8Array): string {
  return hash('sha256', data, 'base64url');
}

/** True if both texts are the same; the time depends on their lengths only. */
export function equalText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
