/** Keys and what is done with them (RFC 3830 section 4). */
import { createCipheriv, createHmac } from 'node:crypto';
import { timestampBytes } from './build.ts';
import { MAC_BYTES, type TimestampPayload } from './message.ts';
import { uint32, uint8 } from './octets.ts';

/** The PRF takes its key in parts of 256 bits. */
const PART_BYTES = 32;
/** The constants are decimals of e (section 4.1). */
const FROM_TGK = { tek: 0x2ad01c64, salt: 0x39a2c14b } as const;
const FROM_PSK = { encryption: 0x150533e1, authentication: 0x2d22ac75, salt: 0x29b88916 } as const;
/** In place of a crypto session's id, for keys of the message itself. */
const NO_SESSION = 0xff;
const ENCRYPTION_KEY_BYTES = 16;
const SALT_BYTES = 14;

export function hmacSha1(key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer {
  const hmac = createHmac('sha1', key);
  for (const part of parts) hmac.update(part);
  return hmac.digest();
}

/**
 * MIKEY-1 (section 4.1.2): P, as TLS 1.0 has it, over each 256 bits of the key, exclusive-ored.
 * @param key at least 1 byte
 * @throws RangeError for an empty key, whose result everybody knows
 */
export function prf(key: Uint8Array, label: Uint8Array, bytes: number): Buffer {
  if (key.length === 0) throw new RangeError('the key of the PRF is empty');
  const output = Buffer.alloc(Math.ceil(bytes / MAC_BYTES) * MAC_BYTES);
  for (let from = 0; from < key.length; from += PART_BYTES) {
    const part = key.subarray(from, from + PART_BYTES);
    let a: Uint8Array = label;
    for (let at = 0; at < output.length; at += MAC_BYTES) {
      a = hmacSha1(part, a);
      for (const [offset, byte] of hmacSha1(part, a, label).entries())
        output[at + offset] = byte ^ (output[at + offset] ?? 0);
    }
  }
  return output.subarray(0, bytes);
}

/** What all derivations of one exchange have in common. */
export interface Exchange {
  readonly csbId: number;
  readonly rand: Uint8Array;
}

function labelOf(constant: number, csId: number, { csbId, rand }: Exchange): Buffer {
  return Buffer.concat([uint32(constant), uint8(csId), uint32(csbId), rand]);
}

/**
 * Master key and salt of one crypto session (section 4.1.3).
 * @param csId 1 for the first session
 */
export function deriveFromTgk(
  tgk: Uint8Array,
  csId: number,
  exchange: Exchange,
  sizes: { readonly keyBytes: number; readonly saltBytes: number },
): { key: Buffer; salt: Buffer } {
  return {
    key: prf(tgk, labelOf(FROM_TGK.tek, csId, exchange), sizes.keyBytes),
    salt: prf(tgk, labelOf(FROM_TGK.salt, csId, exchange), sizes.saltBytes),
  };
}

/** The keys that protect a message itself. */
export interface MessageKeys {
  readonly encryption: Buffer;
  readonly authentication: Buffer;
  readonly salt: Buffer;
}

/** From the pre-shared key (section 4.1.4). */
export function deriveFromPsk(psk: Uint8Array, exchange: Exchange): MessageKeys {
  const derive = (constant: number, bytes: number): Buffer =>
    prf(psk, labelOf(constant, NO_SESSION, exchange), bytes);
  return {
    encryption: derive(FROM_PSK.encryption, ENCRYPTION_KEY_BYTES),
    authentication: derive(FROM_PSK.authentication, MAC_BYTES),
    salt: derive(FROM_PSK.salt, SALT_BYTES),
  };
}

/** Encrypts or decrypts the content of a KEMAC: AES-CM, IV = (S XOR (0x0000 || CSB ID || T)) || 0x0000 (section 4.2.3). */
export function cryptKeyData(
  keys: MessageKeys,
  csbId: number,
  timestamp: TimestampPayload,
  data: Uint8Array,
): Buffer {
  const iv = Buffer.alloc(16);
  iv.writeUInt32BE(csbId, 2);
  const time = timestampBytes(timestamp);
  iv.set(time, SALT_BYTES - time.length);
  for (const [at, byte] of keys.salt.entries()) iv[at] = byte ^ (iv[at] ?? 0);
  return createCipheriv('aes-128-ctr', keys.encryption, iv).update(data);
}
