import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Receipt } from '../../../plugin/contract.ts';
import { Denial } from '../../../plugin/errors.ts';
import { createReceiptChain } from '../../../plugin/receipts/chain.ts';
import { createOutbox } from '../../../plugin/receipts/outbox.ts';
import { recordingLog, SESSION_ID, silentLog, TICKET_ID } from '../../support/doubles.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function receipts(count: number): Receipt[] {
  const chain = createReceiptChain({
    session: SESSION_ID,
    ticket: TICKET_ID,
    uri: '/live/demo',
    startedAt: 1,
  });
  return Array.from({ length: count }, (_, n) => chain.next({ at: n + 1, mediaMs: n, bytes: n }));
}

function delivery(work: (batch: readonly Receipt[]) => void = () => undefined) {
  const batches: (readonly Receipt[])[] = [];
  return {
    batches,
    deliver: async (batch: readonly Receipt[]) => {
      await Promise.resolve();
      work(batch);
      batches.push([...batch]);
      return { stored: batch.length, refused: [] };
    },
  };
}

describe('the outbox', () => {
  it('gathers receipts into one batch, in order', async () => {
    const far = delivery();
    const outbox = createOutbox({ delivery: far, log: silentLog });
    const three = receipts(3);
    three.forEach((receipt) => outbox.append(receipt));
    await vi.advanceTimersByTimeAsync(500);
    expect(far.batches).toEqual([three]);
    expect(outbox.waiting()).toBe(0);
  });

  it('splits what is more than a batch may carry', async () => {
    const far = delivery();
    const outbox = createOutbox({ delivery: far, log: silentLog });
    receipts(1201).forEach((receipt) => outbox.append(receipt));
    await vi.advanceTimersByTimeAsync(2000);
    expect(far.batches.map((batch) => batch.length)).toEqual([500, 500, 201]);
  });

  it('keeps everything, in order, while the order server is away, and backs off', async () => {
    let away = true;
    let tries = 0;
    const far = delivery(() => {
      tries += 1;
      if (away) throw new Denial('order_server_unreachable');
    });
    const outbox = createOutbox({ delivery: far, log: silentLog });
    const all = receipts(40);
    for (const receipt of all) {
      outbox.append(receipt);
      await vi.advanceTimersByTimeAsync(5000);
    }
    expect(outbox.waiting()).toBe(40);
    // Full jitter: 200 s of waits that are 15 s in the mean.
    expect(tries).toBeLessThan(60);
    away = false;
    await vi.advanceTimersByTimeAsync(30_000);
    expect(far.batches.flat()).toEqual(all);
    expect(outbox.waiting()).toBe(0);
  });

  it('does not wait for its next try once the order server is heard again, and backs off anew from there', async () => {
    let away = true;
    const far = delivery(() => {
      if (away) throw new Denial('order_server_unreachable');
    });
    const outbox = createOutbox({ delivery: far, log: silentLog });
    const [first, second] = receipts(2) as [Receipt, Receipt];
    outbox.wake();
    outbox.append(first);
    await vi.advanceTimersByTimeAsync(120_000);
    // Not back yet: the next try comes within a second all the same.
    outbox.wake();
    await vi.advanceTimersByTimeAsync(0);
    away = false;
    await vi.advanceTimersByTimeAsync(1000);
    expect(far.batches).toEqual([[first]]);
    away = true;
    outbox.append(second);
    await vi.advanceTimersByTimeAsync(120_000);
    away = false;
    outbox.wake();
    await vi.advanceTimersByTimeAsync(0);
    expect(far.batches).toEqual([[first], [second]]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not send a batch again that arrives while another is under way', async () => {
    const gate = Promise.withResolvers<void>();
    const sent: number[] = [];
    const outbox = createOutbox({
      log: silentLog,
      delivery: {
        deliver: async (batch) => {
          sent.push(batch.length);
          await gate.promise;
          return { stored: batch.length, refused: [] };
        },
      },
    });
    const [first, second] = receipts(2) as [Receipt, Receipt];
    outbox.append(first);
    await vi.advanceTimersByTimeAsync(600);
    outbox.append(second);
    await vi.advanceTimersByTimeAsync(600);
    gate.resolve();
    await vi.advanceTimersByTimeAsync(600);
    expect(sent).toEqual([1, 1]);
  });

  it('says which receipts were refused', async () => {
    const log = recordingLog();
    const outbox = createOutbox({
      log,
      delivery: {
        deliver: () =>
          Promise.resolve({ stored: 0, refused: [{ session: SESSION_ID, seq: 0, reason: 'fork' }] }),
      },
    });
    receipts(1).forEach((receipt) => outbox.append(receipt));
    await vi.advanceTimersByTimeAsync(500);
    expect(log.lines.join()).toContain('fork');
    expect(outbox.waiting()).toBe(0);
  });

  it('tells a session what it was leased, until its final receipt', async () => {
    const told: unknown[] = [];
    const lease = { session: SESSION_ID, mediaMsLeft: 20_000, bytesLeft: null };
    const unknown = { ...lease, session: TICKET_ID };
    const outbox = createOutbox({
      log: silentLog,
      delivery: { deliver: () => Promise.resolve({ stored: 1, refused: [], leases: [unknown, lease] }) },
    });
    const opening = { session: SESSION_ID, ticket: TICKET_ID, uri: '/live/demo', startedAt: 1 };
    const chain = createReceiptChain(opening);
    outbox.open(opening, (leased) => void told.push(leased));
    outbox.append(chain.next({ at: 1, mediaMs: 0, bytes: 0 }));
    await vi.advanceTimersByTimeAsync(500);
    expect(told).toEqual([lease]);
    outbox.append(chain.next({ at: 2, mediaMs: 1, bytes: 1, reason: 'viewer_left' }));
    await vi.advanceTimersByTimeAsync(500);
    expect(outbox.waiting()).toBe(0);
    expect(told).toEqual([lease]);
  });

  it('has no more room at its capacity', () => {
    const outbox = createOutbox({ delivery: delivery(), log: silentLog, capacity: 2 });
    const [first, second] = receipts(2) as [Receipt, Receipt];
    outbox.append(first);
    expect(outbox.hasRoom()).toBe(true);
    outbox.append(second);
    expect(outbox.hasRoom()).toBe(false);
  });

  it('delivers what waits when it is closed, and says what it could not', async () => {
    const far = delivery();
    const outbox = createOutbox({ delivery: far, log: silentLog });
    receipts(700).forEach((receipt) => outbox.append(receipt));
    expect(await outbox.close(1000)).toBe(0);
    expect(far.batches.flat()).toHaveLength(700);

    const hanging = createOutbox({
      delivery: { deliver: () => new Promise(() => undefined) },
      log: silentLog,
    });
    receipts(3).forEach((receipt) => hanging.append(receipt));
    vi.useRealTimers();
    expect(await hanging.close(20)).toBe(3);
  });
});
