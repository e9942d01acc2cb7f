/** What an order server keeps of the receipts that it is sent, by its own rules; and sessions that write them. */
import { randomUUID } from 'node:crypto';
import type { Receipt, ReceiptsStored, SessionOpening } from '../../plugin/contract.ts';
import { createReceiptChain, receiptHash } from '../../plugin/receipts/chain.ts';
import { TICKET_ID } from './doubles.ts';

export interface ReceiptBook {
  /** Chains by session, each receipt once. */
  readonly chains: ReadonlyMap<string, readonly Receipt[]>;
  /** Times that a receipt came that was there already. */
  repeated(): number;
  /** @throws Error for what an order server refuses: gaps, forks, broken chains, anything after a final receipt */
  store(batch: readonly Receipt[]): ReceiptsStored;
}

export function createReceiptBook(): ReceiptBook {
  const chains = new Map<string, Receipt[]>();
  let repeated = 0;
  function take(receipt: Receipt): void {
    const chain = chains.get(receipt.session) ?? [];
    const known = chain[receipt.seq];
    if (known !== undefined) {
      if (receiptHash(known) !== receiptHash(receipt)) throw new Error(`fork at ${String(receipt.seq)}`);
      repeated += 1;
      return;
    }
    const last = chain.at(-1);
    if (last?.state === 'final') throw new Error('closed');
    if (receipt.seq !== chain.length) throw new Error(`gap: ${String(chain.length)}, ${String(receipt.seq)}`);
    if (receipt.prev !== (last === undefined ? null : receiptHash(last))) throw new Error('chain broken');
    chains.set(receipt.session, [...chain, receipt]);
  }
  return {
    chains,
    repeated: () => repeated,
    store(batch) {
      for (const receipt of batch) take(receipt);
      return { stored: batch.length, refused: [] };
    },
  };
}

/** A session that has been sent so many seconds with each receipt. */
export function createWriter(): {
  readonly opening: SessionOpening;
  next(reason?: Receipt['reason']): Receipt;
} {
  const opening = { session: randomUUID(), ticket: TICKET_ID, uri: '/live/demo', startedAt: 1_700_000_000 };
  const chain = createReceiptChain(opening);
  let seconds = 0;
  return {
    opening,
    next(reason) {
      seconds += 5;
      const reading = { at: opening.startedAt + seconds, mediaMs: seconds * 1000, bytes: seconds * 100_000 };
      return chain.next({ ...reading, ...(reason === undefined || reason === null ? {} : { reason }) });
    },
  };
}
