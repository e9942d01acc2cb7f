/** May this receipt follow that one? Pure: what the order server believes of a streaming server's statement. */
import type { Receipt } from '../../plugin/contract.ts';
import type { Tier } from '../../plugin/rights/index.ts';

/** What is known of a session before a receipt. */
export interface SessionTail {
  readonly ticketId: string;
  readonly serverId: string;
  readonly state: 'reserved' | 'committed' | 'ended' | 'released';
  readonly startedAtSeconds: number | null;
  /** Of the last receipt; `null` before the first. */
  readonly lastSeq: number | null;
  readonly lastHash: string | null;
  readonly lastAtSeconds: number | null;
  readonly mediaMs: number;
  readonly bytes: number;
}

export interface TicketFacts {
  readonly jti: string;
  readonly uri: string;
  readonly audience: readonly string[];
  readonly issuedAtSeconds: number;
  readonly tier: Tier;
}

/** Why a receipt is refused, for good. */
export type RefusalReason =
  | 'unknown_ticket'
  | 'wrong_audience'
  | 'wrong_uri'
  | 'session_mismatch'
  | 'fork'
  | 'gap'
  | 'chain_broken'
  | 'closed'
  | 'falling'
  | 'implausible_time'
  | 'implausible_media'
  | 'implausible_bytes';

/** Clocks differ and media is sent ahead of its time by this much at most. */
const TOLERANCE_SECONDS = 5;
/** RTP headers, padding and the bursts of key frames, above the tier's nominal bitrate. */
const BITRATE_MARGIN = 1.5;
/** When a tier limits video but not audio: no codec here uses more. */
const DEFAULT_AUDIO_BITRATE = 512_000;

/** The most bytes that a tier lets through in a time; `null` when it has no bitrate. */
export function maxBytesOf(tier: Tier, seconds: number): number | null {
  if (tier.maxBitrate === undefined) return null;
  const bitsPerSecond = tier.maxBitrate + (tier.audioBitrate ?? DEFAULT_AUDIO_BITRATE);
  return Math.ceil((bitsPerSecond / 8) * BITRATE_MARGIN * seconds);
}

/** `null` if `receipt` may follow; a receipt that is stored already is not asked about here. */
export function judgeReceipt(
  receipt: Receipt,
  tail: SessionTail | null,
  ticket: TicketFacts | null,
  serverId: string,
  nowSeconds: number,
): RefusalReason | null {
  if (ticket === null) return 'unknown_ticket';
  if (!ticket.audience.includes(serverId)) return 'wrong_audience';
  if (ticket.uri !== receipt.uri) return 'wrong_uri';
  if (tail !== null && (tail.ticketId !== ticket.jti || tail.serverId !== serverId))
    return 'session_mismatch';
  if (tail?.state === 'ended' || tail?.state === 'released') return 'closed';

  const expectedSeq = tail?.lastSeq === undefined || tail.lastSeq === null ? 0 : tail.lastSeq + 1;
  if (receipt.seq !== expectedSeq) return 'gap';
  if (receipt.prev !== (tail?.lastHash ?? null)) return 'chain_broken';
  if (tail !== null && (receipt.mediaMs < tail.mediaMs || receipt.bytes < tail.bytes)) return 'falling';

  const startedAt = tail?.startedAtSeconds ?? receipt.startedAt;
  if (
    receipt.startedAt !== startedAt ||
    receipt.at < (tail?.lastAtSeconds ?? receipt.startedAt) ||
    receipt.at > nowSeconds + TOLERANCE_SECONDS ||
    receipt.startedAt < ticket.issuedAtSeconds - TOLERANCE_SECONDS
  ) {
    return 'implausible_time';
  }
  const elapsedSeconds = receipt.at - receipt.startedAt + TOLERANCE_SECONDS;
  if (receipt.mediaMs > elapsedSeconds * 1000) return 'implausible_media';
  const maxBytes = maxBytesOf(ticket.tier, elapsedSeconds);
  if (maxBytes !== null && receipt.bytes > maxBytes) return 'implausible_bytes';
  return null;
}

/** The session after a receipt that was taken, whose hash (as the streaming server wrote it) is `hash`. */
export function advanceTail(receipt: Receipt, hash: string, serverId: string): SessionTail {
  return {
    ticketId: receipt.ticket,
    serverId,
    state: receipt.state === 'final' ? 'ended' : 'committed',
    startedAtSeconds: receipt.startedAt,
    lastSeq: receipt.seq,
    lastHash: hash,
    lastAtSeconds: receipt.at,
    mediaMs: receipt.mediaMs,
    bytes: receipt.bytes,
  };
}
