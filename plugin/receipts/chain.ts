import { createHash } from 'node:crypto';
import type { EndReason, Receipt, SessionOpening } from '../contract.ts';

/**
 * SHA-256 (base64url) of a receipt: over its members as a JSON array in the order of the schema, so that member
 * order and white space on the wire do not matter.
 */
export function receiptHash(receipt: Receipt): string {
  const { session, ticket, uri, seq, prev, startedAt, at, mediaMs, bytes, state, reason } = receipt;
  const members = [session, ticket, uri, seq, prev, startedAt, at, mediaMs, bytes, state, reason];
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url');
}

export interface Reading {
  /** Unix seconds. */
  readonly at: number;
  readonly mediaMs: number;
  readonly bytes: number;
  /** Given in the last receipt of the session, and only there. */
  readonly reason?: EndReason;
}

/**
 * The receipts of one session in the making: numbered, cumulative, each with the hash of the one before.
 * @param after the receipt that the chain goes on from
 */
export function createReceiptChain(
  of: SessionOpening,
  after: Receipt | null = null,
): { next(reading: Reading): Receipt } {
  let last = after;
  return {
    next({ at, mediaMs, bytes, reason }) {
      const receipt: Receipt = {
        ...of,
        seq: last === null ? 0 : last.seq + 1,
        prev: last === null ? null : receiptHash(last),
        // What was once stated never shrinks, whatever the host's counters or the wall clock do.
        at: Math.max(at, last?.at ?? of.startedAt),
        mediaMs: Math.max(Math.round(mediaMs), last?.mediaMs ?? 0),
        bytes: Math.max(bytes, last?.bytes ?? 0),
        state: reason === undefined ? 'progress' : 'final',
        reason: reason ?? null,
      };
      last = receipt;
      return receipt;
    },
  };
}
