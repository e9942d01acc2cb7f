/** SRTP and SRTCP contexts (RFC 3711): one for each direction. */
import { timingSafeEqual } from 'node:crypto';
import { deriveSessionKeys } from './key-derivation.ts';
import { isRtcp, rtpHeaderBytes } from './packet.ts';
import { createReplayWindow, type ReplayWindow } from './replay-window.ts';
import { RTCP_ENCRYPTED, type PacketCipher, type SrtpMasterKey } from './packet-cipher.ts';
import { SRTP_SUITES, type SrtpSuite, type SrtpSuiteName } from './suites.ts';

export interface SrtpOptions {
  readonly suite: SrtpSuiteName;
  readonly master: SrtpMasterKey;
  /** Master key identifier, put into every packet and asked of every packet; at most 128 bytes. Default none. */
  readonly mki?: Uint8Array;
  /**
   * Rollover counter of each stream's first packet, by SSRC; default 0. For streams that go on under a NEW master key,
   * which does not begin it anew (RFC 3711 section 3.3.1); not for going on under one that was in use.
   */
  readonly rocs?: ReadonlyMap<number, number>;
  /** Senders: packets that the key may be used for, RTP and RTCP each; at least 1. Default: what SRTP allows. */
  readonly lifetimePackets?: number;
  /** RTCP packets sent under the keys before this one: a new key does not begin the index anew (section 3.4). */
  readonly rtcpIndex?: number;
}

/** A master key has protected as many packets as it may (RFC 3711 section 9.2): another one is needed. */
export class SrtpKeyExhausted extends Error {
  override readonly name = 'SrtpKeyExhausted';

  constructor() {
    super('the master key has protected all the packets that it may');
  }
}

export interface SrtpSender {
  /** What packets grow by at most. */
  readonly overheadBytes: number;
  /**
   * Protects an RTP packet whose sequence number follows the stream's last, with gaps if need be.
   * @param into where it goes: as long as the packet and `overheadBytes`; not the packet's own memory
   * @returns bytes written
   * @throws RangeError for what is no RTP packet, is not later than the last (that would repeat a key stream), does not
   *   fit, or is longer than a key stream (1 MiB with AES-CM); SrtpKeyExhausted
   */
  protectRtp(packet: Buffer, into: Buffer): number;
  /** The same for a compound RTCP packet. */
  protectRtcp(packet: Buffer, into: Buffer): number;
}

/** Why a packet was not let in. */
export type SrtpRejection =
  'malformed' | 'unknown_mki' | 'replayed' | 'unauthentic' | 'too_many_streams' | 'unencrypted';

export interface SrtpReceiver {
  /** Opens an SRTP packet in place; answers the RTP packet, a view of the same memory, or why not. */
  unprotectRtp(packet: Buffer): Buffer | SrtpRejection;
  /** The same for SRTCP; packets that are not encrypted are refused. */
  unprotectRtcp(packet: Buffer): Buffer | SrtpRejection;
}

const MAX_ROC = 0xffff_ffff;
const MAX_RTCP_INDEX = 0x7fff_ffff;
const MAX_MKI_BYTES = 128;
const SEQUENCES = 0x1_0000;
const NO_MKI = new Uint8Array(0);
/** Streams that one key is used for; authentic senders have two. */
const MAX_STREAMS = 64;

function open({ suite: name, master, mki = NO_MKI }: SrtpOptions): {
  suite: SrtpSuite;
  cipher: PacketCipher;
  mki: Uint8Array;
} {
  const suite = SRTP_SUITES[name];
  if (master.key.length !== suite.keyBytes || master.salt.length !== suite.saltBytes) {
    throw new RangeError(`${name} has a key of ${suite.keyBytes} and a salt of ${suite.saltBytes} bytes`);
  }
  if (mki.length > MAX_MKI_BYTES) throw new RangeError('an MKI has 128 bytes at most');
  const cipher = suite.createCipher(
    deriveSessionKeys(master, 'rtp', suite),
    deriveSessionKeys(master, 'rtcp', suite),
  );
  return { suite, cipher, mki };
}

/**
 * Opens the sending side. One sender for each master key, ever: another one, also after a restart, would begin again at
 * RTCP index 1 and repeat key streams and nonces. To go on, take a new master key.
 * @throws RangeError for a key, salt or MKI of a wrong length, or a lifetime of no packet
 */
export function createSrtpSender(options: SrtpOptions): SrtpSender {
  const { suite, cipher, mki } = open(options);
  const { lifetimePackets = Infinity } = options;
  if (!(lifetimePackets >= 1)) throw new RangeError('a key is good for at least one packet');
  const maxRtcpIndex = Math.min((options.rtcpIndex ?? 0) + lifetimePackets, MAX_RTCP_INDEX);
  const overheadBytes = Math.max(suite.rtpOverheadBytes, suite.rtcpOverheadBytes) + mki.length;
  /** Index of the last RTP packet, by SSRC. */
  const lastIndexes = new Map<number, number>();
  let rtpPackets = 0;
  let rtcpIndex = options.rtcpIndex ?? 0;

  function requireRoom(packet: Buffer, into: Buffer): void {
    if (into.length < packet.length + overheadBytes) throw new RangeError('no room for the protected packet');
  }

  return {
    overheadBytes,
    protectRtp(packet, into) {
      const headerBytes = rtpHeaderBytes(packet);
      if (headerBytes < 0) throw new RangeError('not an RTP packet');
      requireRoom(packet, into);
      const sequence = packet.readUInt16BE(2);
      const ssrc = packet.readUInt32BE(8);
      const last = lastIndexes.get(ssrc);
      const roc = last === undefined ? (options.rocs?.get(ssrc) ?? 0) : rocAfter(last, sequence);
      const index = roc * SEQUENCES + sequence;
      if (last === undefined && lastIndexes.size >= MAX_STREAMS)
        throw new RangeError('too many streams for one key');
      if (rtpPackets >= lifetimePackets) throw new SrtpKeyExhausted();
      const end = cipher.protectRtp(packet, headerBytes, { ssrc, roc, sequence }, mki, into);
      lastIndexes.set(ssrc, index);
      rtpPackets += 1;
      return end;
    },
    protectRtcp(packet, into) {
      if (!isRtcp(packet)) throw new RangeError('not an RTCP packet');
      requireRoom(packet, into);
      if (rtcpIndex >= maxRtcpIndex) throw new SrtpKeyExhausted();
      rtcpIndex += 1;
      return cipher.protectRtcp(packet, rtcpIndex, mki, into);
    },
  };
}

/** The rollover counter of a packet that must be later than the last. */
function rocAfter(last: number, sequence: number): number {
  const roc = Math.floor(last / SEQUENCES);
  const ahead = (sequence - (last % SEQUENCES) + SEQUENCES) % SEQUENCES;
  if (ahead === 0 || ahead >= SEQUENCES / 2) throw new RangeError('the sequence number does not go up');
  if (sequence > last % SEQUENCES) return roc;
  if (roc === MAX_ROC) throw new SrtpKeyExhausted();
  return roc + 1;
}

interface ReceivedStream {
  /** The highest index so far. */
  highest: number;
  readonly window: ReplayWindow;
}

/** RFC 3711 section 3.3.1: the index nearest to the highest so far; -1 when that would be before the first. */
function guessIndex(highest: number, sequence: number): number {
  const roc = Math.floor(highest / SEQUENCES);
  const latest = highest % SEQUENCES;
  const half = SEQUENCES / 2;
  if (latest < half) return (sequence - latest > half ? roc - 1 : roc) * SEQUENCES + sequence;
  return (latest - half > sequence ? roc + 1 : roc) * SEQUENCES + sequence;
}

/**
 * Opens the receiving side. Nothing is kept for a packet that is not authentic.
 * @throws RangeError for a key, salt or MKI of a wrong length
 */
export function createSrtpReceiver(options: SrtpOptions): SrtpReceiver {
  const { suite, cipher, mki } = open(options);
  const rtp = new Map<number, ReceivedStream>();
  const rtcp = new Map<number, ReplayWindow>();

  function hasMki(packet: Buffer): boolean {
    const end = packet.length - suite.mkiFromEndBytes;
    return end >= mki.length && timingSafeEqual(packet.subarray(end - mki.length, end), mki);
  }

  return {
    unprotectRtp(packet) {
      const headerBytes = rtpHeaderBytes(packet);
      if (headerBytes < 0 || packet.length < headerBytes + suite.rtpOverheadBytes + mki.length)
        return 'malformed';
      if (!hasMki(packet)) return 'unknown_mki';
      const sequence = packet.readUInt16BE(2);
      const ssrc = packet.readUInt32BE(8);
      const known = rtp.get(ssrc);
      const first = (options.rocs?.get(ssrc) ?? 0) * SEQUENCES + sequence;
      const index = known === undefined ? first : guessIndex(known.highest, sequence);
      if (index < 0 || index > MAX_ROC * SEQUENCES + SEQUENCES - 1) return 'replayed';
      if (known?.window.isNew(index) === false) return 'replayed';
      if (known === undefined && rtp.size >= MAX_STREAMS) return 'too_many_streams';
      const roc = Math.floor(index / SEQUENCES);
      const opened = cipher.openRtp(packet, headerBytes, { ssrc, roc, sequence }, mki.length);
      if (opened === undefined) return 'unauthentic';
      const stream = known ?? { highest: index, window: createReplayWindow() };
      if (known === undefined) rtp.set(ssrc, stream);
      stream.window.take(index);
      stream.highest = Math.max(stream.highest, index);
      return opened;
    },
    unprotectRtcp(packet) {
      if (!isRtcp(packet) || packet.length < 8 + suite.rtcpOverheadBytes + mki.length) return 'malformed';
      if (!hasMki(packet)) return 'unknown_mki';
      const word = packet.readUInt32BE(packet.length - suite.rtcpIndexFromEndBytes - mki.length);
      if (word < RTCP_ENCRYPTED) return 'unencrypted';
      const index = word - RTCP_ENCRYPTED;
      const ssrc = packet.readUInt32BE(4);
      const known = rtcp.get(ssrc);
      if (known?.isNew(index) === false) return 'replayed';
      if (known === undefined && rtcp.size >= MAX_STREAMS) return 'too_many_streams';
      const opened = cipher.openRtcp(packet, index, mki.length);
      if (opened === undefined) return 'unauthentic';
      const window = known ?? createReplayWindow();
      if (known === undefined) rtcp.set(ssrc, window);
      window.take(index);
      return opened;
    },
  };
}
