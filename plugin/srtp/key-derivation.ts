/** Session keys from master keys (RFC 3711 section 4.3; RFC 7714 section 11 uses it as it is). */
import { createCipheriv } from 'node:crypto';
import type { SessionKeys, SrtpMasterKey } from './packet-cipher.ts';

/** The generator's salt is 112 bits long; shorter ones are followed by zeros (RFC 7714 section 11). */
const PRF_SALT_BYTES = 14;
/** The label stands before the 48 bits of index DIV kdr. */
const LABEL_AT = PRF_SALT_BYTES - 7;

/** RFC 3711 section 4.3.1. */
const LABELS = {
  rtp: { encryption: 0x00, authentication: 0x01, salt: 0x02 },
  rtcp: { encryption: 0x03, authentication: 0x04, salt: 0x05 },
} as const;

export interface SessionKeySizes {
  readonly keyBytes: number;
  readonly saltBytes: number;
  readonly authenticationKeyBytes: number;
}

/** AES-CM over the master key, at a key derivation rate of 0: once, for the life of the master key. */
function derive({ key, salt }: SrtpMasterKey, label: number, bytes: number): Buffer {
  const counter = Buffer.alloc(16);
  counter.set(salt);
  counter[LABEL_AT] = (counter[LABEL_AT] ?? 0) ^ label;
  return createCipheriv('aes-128-ctr', key, counter).update(Buffer.alloc(bytes));
}

/** @param master key of 16, salt of at most 14 bytes */
export function deriveSessionKeys(
  master: SrtpMasterKey,
  protocol: 'rtp' | 'rtcp',
  sizes: SessionKeySizes,
): SessionKeys {
  const { encryption, authentication, salt } = LABELS[protocol];
  return {
    encryption: derive(master, encryption, sizes.keyBytes),
    salt: derive(master, salt, sizes.saltBytes),
    authentication: derive(master, authentication, sizes.authenticationKeyBytes),
  };
}
