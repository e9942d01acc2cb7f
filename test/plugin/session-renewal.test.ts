import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Grant, Redeemed } from '../../plugin/contract.ts';
import { Denial } from '../../plugin/errors.ts';
import { receiptHash } from '../../plugin/receipts/chain.ts';
import { makeGrant, SESSION_ID, UNLIMITED } from '../support/doubles.ts';
import { startTestSession } from '../support/sessions.ts';

const START_SECONDS = Date.UTC(2026, 0, 1) / 1000;
const NEXT_SESSION = '01936f7e-0000-7000-8000-000000000003';
const NEXT_TICKET = '01936f7e-0000-7000-8000-000000000004';

beforeEach(() => {
  vi.useFakeTimers({ now: START_SECONDS * 1000 });
});
afterEach(() => {
  vi.useRealTimers();
});

function start(grant: Partial<Grant> = {}, limits: Partial<Redeemed> | null = {}) {
  const started = startTestSession({ grant, limits });
  const renew = (next: Partial<Grant> = {}, left: Partial<Redeemed> | null = {}) =>
    started.session.renew(
      makeGrant({ sessionId: NEXT_SESSION, ticketId: NEXT_TICKET, ...next }),
      left === null ? null : { ...UNLIMITED, ...left, session: NEXT_SESSION },
    );
  return { ...started, renew };
}

describe('a session that is renewed', () => {
  it('ends at the new ticket’s end, not at the old one’s, whichever is later', async () => {
    const { session, viewing, renew } = start({ expiresAtSeconds: START_SECONDS + 10 });
    viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(8000);
    await renew({ expiresAtSeconds: START_SECONDS + 30 });
    await vi.advanceTimersByTimeAsync(21_999);
    expect(session.isEnded()).toBe(false);
    await renew({ expiresAtSeconds: START_SECONDS + 31 });
    await renew({ expiresAtSeconds: START_SECONDS + 30 });
    await vi.advanceTimersByTimeAsync(1);
    expect(await session.ended).toBe('expired');
  });

  it('has the new ticket’s budgets, counted from the renewal on, and no longer the old one’s', async () => {
    const { session, viewing, renew } = start({}, { mediaMsLeft: 10_000 });
    viewing.counters = () => Promise.resolve({ mediaMs: Date.now() - START_SECONDS * 1000, bytes: 0 });
    viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(9000);
    await renew({}, { mediaMsLeft: 20_000 });
    await vi.advanceTimersByTimeAsync(19_999);
    expect(session.isEnded()).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await session.ended).toBe('exhausted');
  });

  it('is bounded by the window that the new commit fixes', async () => {
    const { session, viewing, redemptions, renew } = start();
    viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(1000);
    redemptions.answer = (_op, of) => ({ ...UNLIMITED, session: of, expiresAt: START_SECONDS + 5 });
    await renew();
    await vi.advanceTimersByTimeAsync(4000);
    expect(await session.ended).toBe('expired');
  });

  it('writes each chain whole: a final receipt of the old one, then the new one from number 0', async () => {
    const { session, viewing, sink, renew } = start();
    viewing.firstMedia();
    viewing.reading = { mediaMs: 5000, bytes: 100 };
    await vi.advanceTimersByTimeAsync(5000);
    viewing.reading = { mediaMs: 7000, bytes: 140 };
    await renew();
    viewing.reading = { mediaMs: 12_000, bytes: 240 };
    await vi.advanceTimersByTimeAsync(5000);
    viewing.reading = { mediaMs: 13_000, bytes: 260 };
    await session.end('viewer_left');
    const rows = sink.receipts.map((receipt) => [
      receipt.session,
      receipt.ticket,
      receipt.seq,
      receipt.mediaMs,
      receipt.bytes,
      receipt.reason,
    ]);
    expect(rows).toEqual([
      [SESSION_ID, sink.receipts[0]?.ticket, 0, 5000, 100, null],
      [SESSION_ID, sink.receipts[0]?.ticket, 1, 7000, 140, 'replaced'],
      [NEXT_SESSION, NEXT_TICKET, 0, 5000, 100, null],
      [NEXT_SESSION, NEXT_TICKET, 1, 6000, 120, 'viewer_left'],
    ]);
    const [first, second, third, fourth] = sink.receipts;
    expect(second?.prev).toBe(first && receiptHash(first));
    expect([third?.prev, third?.startedAt]).toEqual([null, START_SECONDS + 5]);
    expect(fourth?.prev).toBe(third && receiptHash(third));
    expect(session.receipts()).toEqual(sink.receipts);
  });

  it('before its first media gives the old access back, and takes the new one with the first media', async () => {
    const { viewing, sink, redemptions, renew, session } = start();
    await renew();
    expect(redemptions.calls).toEqual(['release']);
    viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(5000);
    expect(redemptions.calls).toEqual(['release', 'commit']);
    expect(sink.receipts.map(({ session: of }) => of)).toEqual([NEXT_SESSION]);
    await session.end('kicked');
  });

  it('asks the order server nothing for a ticket of which nothing is counted', async () => {
    const { viewing, redemptions, renew, session } = start({}, null);
    viewing.firstMedia();
    await renew({}, null);
    await vi.advanceTimersByTimeAsync(6000);
    await session.end('viewer_left');
    expect(redemptions.calls).toEqual([]);
  });

  it('is not ended by what the order server says late of the old ticket', async () => {
    const { session, viewing, redemptions, renew } = start();
    const asked = Promise.withResolvers<never>();
    redemptions.commit = () => asked.promise;
    viewing.firstMedia();
    redemptions.commit = async (of) => ({ ...UNLIMITED, session: of });
    await renew();
    asked.reject(new Denial('ticket_expired'));
    await vi.advanceTimersByTimeAsync(1000);
    expect(session.isEnded()).toBe(false);
    await session.end('viewer_left');
  });

  it('does not mix the counts of two grants when a receipt is being read at the same time', async () => {
    const { session, viewing, sink, renew } = start();
    viewing.firstMedia();
    const readings: ((value: { mediaMs: number; bytes: number }) => void)[] = [];
    viewing.counters = () => new Promise((resolve) => readings.push(resolve));
    await vi.advanceTimersByTimeAsync(5000);
    const renewed = renew();
    readings[1]?.({ mediaMs: 5000, bytes: 100 });
    await renewed;
    readings[0]?.({ mediaMs: 5000, bytes: 100 });
    await vi.advanceTimersByTimeAsync(0);
    viewing.counters = () => Promise.resolve({ mediaMs: 6000, bytes: 130 });
    await session.end('viewer_left');
    expect(sink.receipts.map(({ session: of, mediaMs }) => [of, mediaMs])).toEqual([
      [SESSION_ID, 5000],
      [NEXT_SESSION, 1000],
    ]);
  });

  it('can be renewed as often as one likes, and not after its end', async () => {
    const { session, viewing, renew, sink } = start();
    viewing.firstMedia();
    for (let count = 1; count <= 3; count++) {
      viewing.reading = { mediaMs: count * 1000, bytes: count };
      expect(await renew()).toBe(true);
    }
    await session.end('viewer_left');
    expect(await renew()).toBe(false);
    expect(sink.receipts.map(({ mediaMs }) => mediaMs)).toEqual([1000, 1000, 1000, 0]);
  });
});
