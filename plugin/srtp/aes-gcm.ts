/** AEAD_AES_128_GCM (RFC 7714). */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import { RTCP_HEADER_BYTES } from './packet.ts';
import { RTCP_ENCRYPTED, type PacketCipher, type RtpPlace, type SessionKeys } from './packet-cipher.ts';

const ALGORITHM = 'aes-128-gcm';
const SALT_BYTES = 12;
const TAG_BYTES = 16;
const INDEX_BYTES = 4;

/** Encrypts `clear` into `into` at `at`, the tag behind it; answers the end. */
function seal(
  key: KeyObject,
  iv: Buffer,
  aad: readonly Uint8Array[],
  clear: Buffer,
  into: Buffer,
  at: number,
): number {
  // A nonce cannot be changed in Node, so each packet has a cipher object of its own.
  const cipher = createCipheriv(ALGORITHM, key, iv);
  for (const part of aad) cipher.setAAD(part);
  into.set(cipher.update(clear), at);
  cipher.final();
  into.set(cipher.getAuthTag(), at + clear.length);
  return at + clear.length + TAG_BYTES;
}

/** Decrypts in place, what comes before the tag; false when it is not authentic. */
function open(key: KeyObject, iv: Buffer, aad: readonly Uint8Array[], sealed: Buffer): boolean {
  const encrypted = sealed.subarray(0, sealed.length - TAG_BYTES);
  const decipher = createDecipheriv(ALGORITHM, key, iv, { authTagLength: TAG_BYTES });
  for (const part of aad) decipher.setAAD(part);
  decipher.setAuthTag(sealed.subarray(encrypted.length));
  const clear = decipher.update(encrypted);
  try {
    decipher.final();
  } catch {
    return false;
  }
  encrypted.set(clear);
  return true;
}

export function createAesGcm(rtp: SessionKeys, rtcp: SessionKeys): PacketCipher {
  const [rtpKey, rtcpKey] = [createSecretKey(rtp.encryption), createSecretKey(rtcp.encryption)];
  const iv = Buffer.alloc(SALT_BYTES);
  const word = Buffer.alloc(INDEX_BYTES);

  /** Section 8.1: two octets of zero, SSRC, ROC, SEQ; all exclusive-ored with the salt. */
  function rtpIv({ ssrc, roc, sequence }: RtpPlace): Buffer {
    iv.writeUInt16BE(0, 0);
    iv.writeUInt32BE(ssrc, 2);
    iv.writeUInt32BE(roc, 6);
    iv.writeUInt16BE(sequence, 10);
    return addSalt(rtp.salt);
  }

  /** Section 9.1: the index has 31 bits in 48. */
  function rtcpIv(packet: Buffer, index: number): Buffer {
    iv.writeUInt16BE(0, 0);
    packet.copy(iv, 2, 4, 8);
    iv.writeUInt16BE(0, 6);
    iv.writeUInt32BE(index, 8);
    return addSalt(rtcp.salt);
  }

  function addSalt(salt: Buffer): Buffer {
    for (const [at, byte] of salt.entries()) iv[at] = byte ^ (iv[at] ?? 0);
    return iv;
  }

  return {
    protectRtp(packet, headerBytes, place, mki, into) {
      const header = packet.subarray(0, headerBytes);
      into.set(header);
      const end = seal(rtpKey, rtpIv(place), [header], packet.subarray(headerBytes), into, headerBytes);
      into.set(mki, end);
      return end + mki.length;
    },
    openRtp(packet, headerBytes, place, mkiBytes) {
      const end = packet.length - mkiBytes;
      if (end - TAG_BYTES < headerBytes) return undefined;
      const sealed = packet.subarray(headerBytes, end);
      if (!open(rtpKey, rtpIv(place), [packet.subarray(0, headerBytes)], sealed)) return undefined;
      return packet.subarray(0, end - TAG_BYTES);
    },
    protectRtcp(packet, index, mki, into) {
      const header = packet.subarray(0, RTCP_HEADER_BYTES);
      into.set(header);
      word.writeUInt32BE((RTCP_ENCRYPTED | index) >>> 0, 0);
      const clear = packet.subarray(RTCP_HEADER_BYTES);
      const aad = [Buffer.concat([header, word])];
      const end = seal(rtcpKey, rtcpIv(packet, index), aad, clear, into, RTCP_HEADER_BYTES);
      into.set(word, end);
      into.set(mki, end + INDEX_BYTES);
      return end + INDEX_BYTES + mki.length;
    },
    openRtcp(packet, index, mkiBytes) {
      const end = packet.length - mkiBytes - INDEX_BYTES;
      if (end - TAG_BYTES < RTCP_HEADER_BYTES) return undefined;
      const header = packet.subarray(0, RTCP_HEADER_BYTES);
      const aad = [Buffer.concat([header, packet.subarray(end, end + INDEX_BYTES)])];
      if (!open(rtcpKey, rtcpIv(packet, index), aad, packet.subarray(RTCP_HEADER_BYTES, end)))
        return undefined;
      return packet.subarray(0, end - TAG_BYTES);
    },
  };
}
