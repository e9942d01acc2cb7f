import { randomInt } from 'node:crypto';
import { MAX_RECEIPTS_PER_BATCH, type Lease } from '../contract.ts';
import { asDenial } from '../errors.ts';
import type { Log, ReceiptDelivery, ReceiptSink } from '../ports.ts';
import { createMemoryQueue, type ReceiptQueue } from './queue.ts';

export interface OutboxOptions {
  readonly delivery: ReceiptDelivery;
  readonly log: Log;
  /** Where receipts wait; default: in memory, at most `capacity` of them. */
  readonly queue?: ReceiptQueue;
  /** How long receipts are gathered before a batch goes out; default 500. */
  readonly gatherMs?: number;
  /** Over this many waiting receipts the sessions write no more progress receipts (they are cumulative). */
  readonly capacity?: number;
}

export interface Outbox extends ReceiptSink {
  /** Receipts not yet acknowledged by the order server. */
  waiting(): number;
  /** The order server is back: what waits for the next try goes out now. */
  wake(): void;
  /** Delivers what waits, trying for at most `withinMs`; answers what is still waiting. */
  close(withinMs: number): Promise<number>;
}

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;

/** Receipts on their way to the order server: in order, at least once, in signed batches. */
export function createOutbox(options: OutboxOptions): Outbox {
  const { delivery, log, gatherMs = 500, capacity } = options;
  const queue = options.queue ?? createMemoryQueue(capacity);
  /** By session, until its final receipt. */
  const leased = new Map<string, (lease: Lease) => void>();
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  let failures = 0;
  let closed = false;

  function schedule(delayMs: number): void {
    if (closed || timer !== undefined || sending !== undefined || queue.waiting() === 0) return;
    timer = setTimeout(() => {
      timer = undefined;
      void send();
    }, delayMs);
    timer.unref();
  }

  /** Full jitter: servers that lost the order server together do not come back together. */
  function retryMs(): number {
    return randomInt(Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** failures) + 1);
  }

  async function deliverBatch(): Promise<void> {
    try {
      const batch = await queue.next(MAX_RECEIPTS_PER_BATCH);
      if (batch.length === 0) return;
      const { refused, leases = [] } = await delivery.deliver(batch);
      for (const lease of leases) leased.get(lease.session)?.(lease);
      await queue.acknowledge(batch.length);
      failures = 0;
      for (const { session, seq, reason } of refused) {
        log.error({ session, seq, reason }, 'the order server refused a receipt');
      }
    } catch (error) {
      failures += 1;
      log.warn(
        { code: asDenial(error).code, waiting: queue.waiting(), failures },
        'receipts could not be delivered',
      );
    }
  }

  function send(): Promise<void> {
    sending ??= deliverBatch().finally(() => {
      sending = undefined;
      schedule(failures > 0 ? retryMs() : queue.waiting() >= MAX_RECEIPTS_PER_BATCH ? 0 : gatherMs);
    });
    return sending;
  }

  queue.onReady(() => schedule(gatherMs));
  schedule(gatherMs);

  return {
    open(session, onLease) {
      if (onLease !== undefined) leased.set(session.session, onLease);
      queue.open(session);
    },
    append(receipt) {
      if (receipt.state === 'final') leased.delete(receipt.session);
      queue.append(receipt);
    },
    hasRoom: () => queue.hasRoom(),
    takesSessions: () => queue.takesSessions(),
    isKept: (receipt) => queue.isKept(receipt),
    waiting: () => queue.waiting(),
    wake() {
      // Also for a batch that is under way and fails still: its next try comes soon.
      failures = 0;
      clearTimeout(timer);
      timer = undefined;
      schedule(0);
    },
    async close(withinMs) {
      closed = true;
      clearTimeout(timer);
      const deadline = AbortSignal.timeout(withinMs);
      const late = new Promise<void>((resolve) => {
        deadline.addEventListener('abort', () => resolve(), { once: true });
      });
      await Promise.race([queue.flush(), late]);
      while (queue.waiting() > 0 && !deadline.aborted) {
        const before = queue.waiting();
        await Promise.race([send(), late]);
        if (queue.waiting() === before) break; // The order server is away; trying in a loop would not help.
      }
      return queue.waiting();
    },
  };
}
