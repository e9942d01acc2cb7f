/** What a session may use of its ticket's seconds and bytes: leased by the order server, a part at a time. */
import type { Lease, Redeemed } from './contract.ts';
import type { MediaCounters } from './ports.ts';

export type Look =
  | 'used up'
  | {
      /** True each time when half of what was left is used: with the answer to the receipt that states it comes more. */
      readonly isToAsk: boolean;
      /** Milliseconds after which to look again. */
      readonly againInMs: number;
    };

export interface Budget {
  /** What is to be done at these counters. */
  look(used: MediaCounters): Look;
  /**
   * Takes what was leased. Less than before changes nothing, for answers may overtake each other; and what is limited
   * stays so.
   */
  extend(lease: Pick<Lease, 'mediaMsLeft' | 'bytesLeft'>): void;
}

/** How often the bytes are looked at. */
const BYTE_CHECK_MS = 1000;
/** A viewer who pauses just before the end shall not be looked at without pause. */
const SHORTEST_WAIT_MS = 20;
/** Media between two receipts that ask. */
const ASK_AFTER_MS = 1000;

const isAt = (used: MediaCounters, mark: MediaCounters): boolean =>
  used.mediaMs >= mark.mediaMs || used.bytes >= mark.bytes;

/** The budget of a session that begins; `null` when neither seconds nor bytes are limited. */
export function createBudget(redeemed: Redeemed | null): Budget | null {
  const { mediaMsLeft, bytesLeft } = redeemed ?? { mediaMsLeft: null, bytesLeft: null };
  if (mediaMsLeft === null && bytesLeft === null) return null;
  const hasBytes = bytesLeft !== null;
  let end: MediaCounters = {
    mediaMs: mediaMsLeft ?? Number.POSITIVE_INFINITY,
    bytes: bytesLeft ?? Number.POSITIVE_INFINITY,
  };
  // At once: before its first receipt a session is leased no more than it needs to write that.
  let askAt: MediaCounters | null = { mediaMs: 0, bytes: 0 };

  const halfway = ({ mediaMs, bytes }: MediaCounters): MediaCounters => ({
    mediaMs: Math.max(mediaMs + ASK_AFTER_MS, Math.ceil((mediaMs + end.mediaMs) / 2)),
    bytes: Math.ceil((bytes + end.bytes) / 2),
  });

  return {
    look(used) {
      if (isAt(used, end)) return 'used up';
      askAt ??= halfway(used);
      const isToAsk = isAt(used, askAt);
      if (isToAsk) askAt = halfway(used);
      // Media runs no faster than time, so what is left in media is the soonest that it can be used up.
      const waitMs = Math.min(askAt.mediaMs, end.mediaMs) - used.mediaMs;
      const againInMs = Math.max(SHORTEST_WAIT_MS, hasBytes ? Math.min(waitMs, BYTE_CHECK_MS) : waitMs);
      return { isToAsk, againInMs };
    },
    extend(lease) {
      const next = {
        mediaMs: Math.max(end.mediaMs, lease.mediaMsLeft ?? 0),
        bytes: Math.max(end.bytes, lease.bytesLeft ?? 0),
      };
      if (next.mediaMs === end.mediaMs && next.bytes === end.bytes) return;
      end = next;
      askAt = null;
    },
  };
}
