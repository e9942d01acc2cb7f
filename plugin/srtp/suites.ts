/** The crypto suites, one row each. */
import { createAesCm } from './aes-cm.ts';
import { createAesGcm } from './aes-gcm.ts';
import type { SessionKeySizes } from './key-derivation.ts';
import type { PacketCipher, SessionKeys } from './packet-cipher.ts';

/** IANA's names (sdp-security-descriptions). */
export type SrtpSuiteName = 'AES_CM_128_HMAC_SHA1_80' | 'AEAD_AES_128_GCM';

export interface SrtpSuite extends SessionKeySizes {
  /** What RTP packets grow by, without an MKI. */
  readonly rtpOverheadBytes: number;
  /** What RTCP packets grow by: the tag and the word with E flag and index. */
  readonly rtcpOverheadBytes: number;
  /** From the end of an RTCP packet to its index, without an MKI. */
  readonly rtcpIndexFromEndBytes: number;
  /** From the end of a packet to its MKI's end. */
  readonly mkiFromEndBytes: number;
  createCipher(rtp: SessionKeys, rtcp: SessionKeys): PacketCipher;
}

/** RFC 3711 section 8.2 (the default transforms) and RFC 7714. */
export const SRTP_SUITES: Readonly<Record<SrtpSuiteName, SrtpSuite>> = {
  AES_CM_128_HMAC_SHA1_80: {
    keyBytes: 16,
    saltBytes: 14,
    authenticationKeyBytes: 20,
    rtpOverheadBytes: 10,
    rtcpOverheadBytes: 14,
    rtcpIndexFromEndBytes: 14,
    mkiFromEndBytes: 10,
    createCipher: createAesCm,
  },
  AEAD_AES_128_GCM: {
    keyBytes: 16,
    saltBytes: 12,
    authenticationKeyBytes: 0,
    rtpOverheadBytes: 16,
    rtcpOverheadBytes: 20,
    rtcpIndexFromEndBytes: 4,
    mkiFromEndBytes: 0,
    createCipher: createAesGcm,
  },
};
