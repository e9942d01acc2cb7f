import { randomInt } from 'node:crypto';
import { MAX_RECEIPTS_PER_BATCH, type Receipt } from '../contract.ts';
import { asDenial } from '../errors.ts';
import type { Log, ReceiptDelivery, ReceiptSink } from '../ports.ts';

export interface OutboxOptions {
  readonly delivery: ReceiptDelivery;
  readonly log: Log;
  /** How long receipts are gathered before a batch goes out. */
  readonly gatherMs?: number;
  /** Over this many waiting receipts the sessions write no more progress receipts (they are cumulative). */
  readonly capacity?: number;
}

export interface Outbox extends ReceiptSink {
  /** Receipts not yet acknowledged by the order server. */
  waiting(): number;
  /** Delivers what waits, trying for at most `withinMs`; answers what is still waiting. */
  close(withinMs: number): Promise<number>;
}

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;

/** Receipts on their way to the order server: in memory, in order, at least once, in signed batches. */
export function createOutbox(options: OutboxOptions): Outbox {
  const { delivery, log, gatherMs = 500, capacity = 50_000 } = options;
  const queue: Receipt[] = [];
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  let failures = 0;
  let closed = false;

  function schedule(delayMs: number): void {
    if (closed || timer !== undefined || sending !== undefined || queue.length === 0) return;
    timer = setTimeout(() => {
      timer = undefined;
      void send();
    }, delayMs);
    timer.unref();
  }

  function retryMs(): number {
    const ceiling = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** failures);
    return randomInt(ceiling / 2, ceiling); // Jitter, so that servers do not come back in step.
  }

  async function deliverBatch(): Promise<void> {
    const batch = queue.slice(0, MAX_RECEIPTS_PER_BATCH);
    try {
      const { refused } = await delivery.deliver(batch);
      queue.splice(0, batch.length);
      failures = 0;
      for (const { session, seq, reason } of refused) {
        log.error({ session, seq, reason }, 'the order server refused a receipt');
      }
    } catch (error) {
      failures += 1;
      log.warn(
        { code: asDenial(error).code, waiting: queue.length, failures },
        'receipts could not be delivered',
      );
    }
  }

  function send(): Promise<void> {
    sending ??= deliverBatch().finally(() => {
      sending = undefined;
      schedule(failures > 0 ? retryMs() : queue.length >= MAX_RECEIPTS_PER_BATCH ? 0 : gatherMs);
    });
    return sending;
  }

  return {
    append(receipt) {
      queue.push(receipt);
      schedule(gatherMs);
    },
    hasRoom: () => queue.length < capacity,
    waiting: () => queue.length,
    async close(withinMs) {
      closed = true;
      clearTimeout(timer);
      const deadline = AbortSignal.timeout(withinMs);
      while (queue.length > 0 && !deadline.aborted) {
        const before = queue.length;
        const aborted = new Promise<void>((resolve) => {
          deadline.addEventListener('abort', () => resolve(), { once: true });
        });
        await Promise.race([send(), aborted]);
        if (queue.length === before) break; // The order server is away; trying in a loop would not help.
      }
      return queue.length;
    },
  };
}
