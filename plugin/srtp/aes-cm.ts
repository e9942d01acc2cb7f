/** AES_CM_128_HMAC_SHA1_80 (RFC 3711 sections 4.1.1 and 4.2.1). */
import { createCipheriv, hash, timingSafeEqual, type Cipheriv } from 'node:crypto';
import { RTCP_HEADER_BYTES } from './packet.ts';
import { RTCP_ENCRYPTED, type PacketCipher, type SessionKeys } from './packet-cipher.ts';
import { createSha1Tail, SHA1_BLOCK_BYTES } from './sha1.ts';

const TAG_BYTES = 10;
const INDEX_BYTES = 4;
const BLOCK_BYTES = 16;
/** RTP packets of a network without jumbo frames; for longer ones memory grows. */
const USUAL_BLOCKS = 94;
const MAX_BLOCKS = 0x1_0000;
const NOTHING = Buffer.alloc(0);
const SEQUENCES = 0x1_0000;
/** RTP packets that a key stream is made for in advance: twice as many would save little more. */
const PACKETS_AHEAD = 8;

/** The key stream of a packet, made in one go: one cipher object serves for the life of the key. */
interface KeyStream {
  /** @param high, low the packet's index: bits above the lowest 16, and those */
  make(ssrc: number, high: number, low: number, bytes: number): Buffer;
}

/** @param packets how many packets' streams are made at once, since packets come in order: a call costs more than AES */
function createKeyStream(key: Buffer, salt: Buffer, packets: number): KeyStream {
  const blocks: Cipheriv = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false);
  const saltWords = [salt.readUInt32BE(4), salt.readUInt32BE(8)] as const;
  const saltEnd = salt.readUInt16BE(12);
  let counters = NOTHING;
  /** Bytes of a packet's stream, the most that was asked for. */
  let strideBytes = 0;
  let [stream, rollover, first] = [-1, -1, -1];
  let made = NOTHING;

  /** Blocks that differ in their last two octets: a packet has 2^16 blocks at most (section 4.1.1), else RangeError. */
  function grow(bytes: number): void {
    if (bytes > MAX_BLOCKS * BLOCK_BYTES) throw new RangeError('the packet is longer than its key stream');
    strideBytes = bytes;
    counters = Buffer.alloc(bytes * packets);
    for (let at = 0; at < counters.length; at += BLOCK_BYTES) {
      salt.copy(counters, at, 0, 4);
      counters.writeUInt16BE((at % bytes) / BLOCK_BYTES, at + 14);
    }
    stream = rollover = -1;
  }

  /** (k_s * 2^16) XOR (SSRC * 2^64) XOR (i * 2^16) for indexes from `low` on; from time to time most of it stays. */
  function makeFrom(ssrc: number, high: number, low: number): void {
    if (ssrc !== stream || high !== rollover) {
      for (let at = 0; at < counters.length; at += BLOCK_BYTES) {
        counters.writeUInt32BE((saltWords[0] ^ ssrc) >>> 0, at + 4);
        counters.writeUInt32BE((saltWords[1] ^ high) >>> 0, at + 8);
      }
      [stream, rollover] = [ssrc, high];
    }
    for (let packet = 0, at = 0; packet < packets; packet++) {
      const end = saltEnd ^ ((low + packet) % SEQUENCES);
      for (const stop = at + strideBytes; at < stop; at += BLOCK_BYTES) {
        counters[at + 12] = end >> 8;
        counters[at + 13] = end & 0xff;
      }
    }
    first = low;
    made = blocks.update(counters);
  }

  return {
    make(ssrc, high, low, bytes) {
      if (bytes > strideBytes) grow(Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES);
      const isMade = ssrc === stream && high === rollover && low >= first && low < first + packets;
      if (!isMade) makeFrom(ssrc, high, low);
      const at = (low - first) * strideBytes;
      return made.subarray(at, at + bytes);
    },
  };
}

type Hmac = (first: Buffer, second?: Buffer) => Buffer;

/**
 * HMAC-SHA1 (RFC 2104) in reused memory: no object is made for a packet. The inner hash is Node's; the outer one is a
 * single block, which costs less here than the call there.
 * @returns memory that the next call writes over
 */
function createHmacSha1(key: Buffer): Hmac {
  const [inner, outer] = [0x36, 0x5c].map((pad) => Buffer.alloc(SHA1_BLOCK_BYTES, pad)) as [Buffer, Buffer];
  for (const block of [inner, outer])
    for (const [at, byte] of key.entries()) block[at] = byte ^ (block[at] ?? 0);
  const finish = createSha1Tail(outer);
  let room = Buffer.concat([inner, Buffer.alloc(USUAL_BLOCKS * BLOCK_BYTES)]);
  return (first, second = NOTHING) => {
    const bytes = SHA1_BLOCK_BYTES + first.length + second.length;
    if (bytes > room.length) room = Buffer.concat([inner, Buffer.alloc(bytes - SHA1_BLOCK_BYTES)]);
    room.set(first, SHA1_BLOCK_BYTES);
    room.set(second, bytes - second.length);
    return finish(hash('sha1', room.subarray(0, bytes), 'buffer'));
  };
}

/** `into` from `at` on becomes `from` XOR `keyStream`: by words where the memory is aligned for it, six times as fast. */
function exclusiveOr(from: Buffer, keyStream: Buffer, into: Buffer, at: number): void {
  const isAligned = ((from.byteOffset | keyStream.byteOffset | (into.byteOffset + at)) & 3) === 0;
  const words = isAligned ? from.length >>> 2 : 0;
  if (words > 0) {
    const source = new Uint32Array(from.buffer, from.byteOffset, words);
    const stream = new Uint32Array(keyStream.buffer, keyStream.byteOffset, words);
    const target = new Uint32Array(into.buffer, into.byteOffset + at, words);
    for (let index = 0; index < words; index++) target[index] = (source[index] ?? 0) ^ (stream[index] ?? 0);
  }
  for (let index = words * 4; index < from.length; index++) {
    into[at + index] = (from[index] ?? 0) ^ (keyStream[index] ?? 0);
  }
}

function use({ encryption, salt, authentication }: SessionKeys, packets: number) {
  return { keyStream: createKeyStream(encryption, salt, packets), hmac: createHmacSha1(authentication) };
}

export function createAesCm(rtpKeys: SessionKeys, rtcpKeys: SessionKeys): PacketCipher {
  const [rtp, rtcp] = [use(rtpKeys, PACKETS_AHEAD), use(rtcpKeys, 1)];
  const word = Buffer.alloc(INDEX_BYTES);

  const isAuthentic = (expected: Buffer, packet: Buffer): boolean =>
    timingSafeEqual(expected.subarray(0, TAG_BYTES), packet.subarray(packet.length - TAG_BYTES));
  const ssrcOf = (packet: Buffer): number => packet.readUInt32BE(4);
  const streamOf = (packet: Buffer, index: number, bytes: number): Buffer =>
    rtcp.keyStream.make(ssrcOf(packet), index >>> 16, index & 0xffff, bytes);

  return {
    protectRtp(packet, headerBytes, { ssrc, roc, sequence }, mki, into) {
      const payload = packet.subarray(headerBytes);
      const keyStream = rtp.keyStream.make(ssrc, roc, sequence, payload.length);
      packet.copy(into, 0, 0, headerBytes);
      exclusiveOr(payload, keyStream, into, headerBytes);
      const end = packet.length;
      word.writeUInt32BE(roc, 0);
      into.set(mki, end);
      rtp.hmac(into.subarray(0, end), word).copy(into, end + mki.length, 0, TAG_BYTES);
      return end + mki.length + TAG_BYTES;
    },
    openRtp(packet, headerBytes, { ssrc, roc, sequence }, mkiBytes) {
      const end = packet.length - TAG_BYTES - mkiBytes;
      if (end < headerBytes) return undefined;
      word.writeUInt32BE(roc, 0);
      if (!isAuthentic(rtp.hmac(packet.subarray(0, end), word), packet)) return undefined;
      const payload = packet.subarray(headerBytes, end);
      exclusiveOr(payload, rtp.keyStream.make(ssrc, roc, sequence, payload.length), payload, 0);
      return packet.subarray(0, end);
    },
    protectRtcp(packet, index, mki, into) {
      const clear = packet.subarray(RTCP_HEADER_BYTES);
      packet.copy(into, 0, 0, RTCP_HEADER_BYTES);
      exclusiveOr(clear, streamOf(packet, index, clear.length), into, RTCP_HEADER_BYTES);
      const end = into.writeUInt32BE((RTCP_ENCRYPTED | index) >>> 0, packet.length);
      into.set(mki, end);
      rtcp.hmac(into.subarray(0, end)).copy(into, end + mki.length, 0, TAG_BYTES);
      return end + mki.length + TAG_BYTES;
    },
    openRtcp(packet, index, mkiBytes) {
      const signed = packet.length - TAG_BYTES - mkiBytes;
      const end = signed - INDEX_BYTES;
      if (end < RTCP_HEADER_BYTES) return undefined;
      if (!isAuthentic(rtcp.hmac(packet.subarray(0, signed)), packet)) return undefined;
      const encrypted = packet.subarray(RTCP_HEADER_BYTES, end);
      exclusiveOr(encrypted, streamOf(packet, index, encrypted.length), encrypted, 0);
      return packet.subarray(0, end);
    },
  };
}
