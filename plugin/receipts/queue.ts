/** Receipts between the sessions that write them and the outbox that delivers them. */
import type { Receipt } from '../contract.ts';
import type { ReceiptSink } from '../ports.ts';

/** First in, first out. Only the outbox takes from it, one batch at a time. */
export interface ReceiptQueue extends ReceiptSink {
  /** Receipts not yet acknowledged by the order server. */
  waiting(): number;
  /** The oldest of them that may be sent, at most so many; none when there are none yet. */
  next(max: number): Promise<readonly Receipt[]>;
  /** The order server has answered for the oldest so many. */
  acknowledge(count: number): Promise<void>;
  /** Calls back whenever there is something new to send. */
  onReady(listener: () => void): void;
  /** What was appended before may be sent, as far as that is possible at all. */
  flush(): Promise<void>;
}

/**
 * A queue that its process takes along when it ends.
 * @param capacity over this many, sessions write no more progress receipts (they are cumulative)
 */
export function createMemoryQueue(capacity = 50_000): ReceiptQueue {
  const receipts: Receipt[] = [];
  let ready: () => void = () => undefined;
  return {
    open: () => undefined,
    append(receipt) {
      receipts.push(receipt);
      ready();
    },
    hasRoom: () => receipts.length < capacity,
    takesSessions: () => true,
    isKept: () => true,
    waiting: () => receipts.length,
    next: (max) => Promise.resolve(receipts.slice(0, max)),
    acknowledge(count) {
      receipts.splice(0, count);
      return Promise.resolve();
    },
    onReady: (listener) => void (ready = listener),
    flush: () => Promise.resolve(),
  };
}
