import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EndReason } from '../../plugin/contract.ts';
import { Denial } from '../../plugin/errors.ts';
import { receiptHash } from '../../plugin/receipts/chain.ts';
import { fakeViewing, makeGrant, SESSION_ID, UNLIMITED } from '../support/doubles.ts';
import { startTestSession, type TestSessionOptions } from '../support/sessions.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 0, 1) });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a session', () => {
  it('commits its access at the first media, and only once', async () => {
    const { viewing, redemptions } = startTestSession();
    await vi.advanceTimersByTimeAsync(1000);
    expect(redemptions.calls).toEqual([]);
    viewing.firstMedia();
    viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(redemptions.calls).toEqual(['commit']);
  });

  it('gives its access back and writes no receipt when no media came within 30 s', async () => {
    const { session, viewing, sink, redemptions } = startTestSession();
    await vi.advanceTimersByTimeAsync(29_999);
    expect(session.isEnded()).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await session.ended).toBe('source_ended');
    expect(viewing.closed).toBe(true);
    expect(redemptions.calls).toEqual(['release']);
    expect(sink.receipts).toEqual([]);
  });

  it('does not speak to the order server when nothing is counted', async () => {
    const { session, viewing, redemptions } = startTestSession({ limits: null });
    viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(6000);
    await session.end('viewer_left');
    expect(redemptions.calls).toEqual([]);
  });

  it('writes cumulative, chained receipts every interval and a final one with the reason', async () => {
    const { session, viewing, sink } = startTestSession();
    viewing.firstMedia();
    viewing.reading = { mediaMs: 4900, bytes: 1000 };
    await vi.advanceTimersByTimeAsync(5000);
    viewing.reading = { mediaMs: 9900, bytes: 2000 };
    await vi.advanceTimersByTimeAsync(5000);
    viewing.reading = { mediaMs: 10_500, bytes: 2100 };
    await session.end('viewer_left');
    await session.end('kicked');
    const [first, second, last] = sink.receipts;
    expect(sink.receipts).toHaveLength(3);
    expect(first).toMatchObject({
      seq: 0,
      prev: null,
      mediaMs: 4900,
      bytes: 1000,
      state: 'progress',
      reason: null,
    });
    expect(second).toMatchObject({ seq: 1, mediaMs: 9900, bytes: 2000 });
    expect(last).toMatchObject({
      seq: 2,
      mediaMs: 10_500,
      bytes: 2100,
      state: 'final',
      reason: 'viewer_left',
    });
    expect(second?.prev).toBe(first && receiptHash(first));
    expect(last?.prev).toBe(second && receiptHash(second));
    expect(session.receipts()).toEqual(sink.receipts);
  });

  it('never states less than it stated before', async () => {
    const { session, viewing, sink } = startTestSession();
    viewing.firstMedia();
    viewing.reading = { mediaMs: 4900, bytes: 1000 };
    await vi.advanceTimersByTimeAsync(5000);
    viewing.reading = { mediaMs: 10, bytes: 20 };
    await session.end('viewer_left');
    expect(sink.receipts.at(-1)).toMatchObject({ mediaMs: 4900, bytes: 1000 });
  });

  it('skips progress receipts, but not the final one, while the sink has no room', async () => {
    const { session, viewing, sink } = startTestSession();
    sink.room = false;
    viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(20_000);
    await session.end('viewer_left');
    expect(sink.receipts.map(({ seq, state }) => [seq, state])).toEqual([[0, 'final']]);
  });

  it.each<[string, TestSessionOptions, number, EndReason]>([
    [
      'at the ticket’s exp',
      { grant: { expiresAtSeconds: Date.UTC(2026, 0, 1) / 1000 + 60 } },
      60_000,
      'expired',
    ],
    [
      'at the end of the window',
      { limits: { expiresAt: Date.UTC(2026, 0, 1) / 1000 + 20 } },
      20_000,
      'expired',
    ],
    [
      'far ahead, beyond what one timer can wait',
      { grant: { expiresAtSeconds: Date.UTC(2026, 2, 1) / 1000 }, receiptIntervalMs: 86_400_000 },
      59 * 86_400_000,
      'expired',
    ],
  ])('ends %s', async (_when, options, afterMs, reason) => {
    const { session, viewing } = startTestSession(options);
    viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(afterMs - 1);
    expect(session.isEnded()).toBe(false);
    await vi.advanceTimersByTimeAsync(2);
    expect(await session.ended).toBe(reason);
    expect(viewing.closed).toBe(true);
  });

  it('ends as soon as the seconds of media are used up, not the seconds of time', async () => {
    const { session, viewing } = startTestSession({ limits: { mediaMsLeft: 10_000 } });
    viewing.firstMedia();
    viewing.reading = { mediaMs: 4000, bytes: 0 };
    await vi.advanceTimersByTimeAsync(10_000);
    expect(session.isEnded()).toBe(false);
    viewing.reading = { mediaMs: 10_000, bytes: 0 };
    await vi.advanceTimersByTimeAsync(6000);
    expect(await session.ended).toBe('exhausted');
  });

  it('ends within a second when the bytes are used up', async () => {
    const { session, viewing } = startTestSession({ limits: { bytesLeft: 1000 } });
    viewing.firstMedia();
    viewing.reading = { mediaMs: 100, bytes: 999 };
    await vi.advanceTimersByTimeAsync(3000);
    expect(session.isEnded()).toBe(false);
    viewing.reading = { mediaMs: 100, bytes: 1000 };
    await vi.advanceTimersByTimeAsync(1000);
    expect(await session.ended).toBe('exhausted');
  });

  it('asks for more by a receipt when half of its lease is used, and goes on with what it gets', async () => {
    const { session, viewing, sink } = startTestSession({
      limits: { mediaMsLeft: 5000 },
      receiptIntervalMs: 60_000,
    });
    const startedMs = Date.now();
    viewing.counters = () => Promise.resolve({ mediaMs: Date.now() - startedMs, bytes: 0 });
    viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(0);
    sink.lease({ session: SESSION_ID, mediaMsLeft: 20_000, bytesLeft: null });
    await vi.advanceTimersByTimeAsync(19_999);
    expect(session.isEnded()).toBe(false);
    // At once, and each time when half of what was left is used.
    expect(sink.receipts.map(({ mediaMs }) => mediaMs)).toEqual([0, 11_250, 15_625, 17_813, 18_907, 19_907]);
    await vi.advanceTimersByTimeAsync(20);
    expect(await session.ended).toBe('exhausted');
  });

  it('takes no lease for what it was before a renewal', async () => {
    const { session, viewing, sink } = startTestSession({ limits: { mediaMsLeft: 5000 } });
    viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(0);
    const next = { sessionId: '01936f7e-0000-7000-8000-000000000009' };
    await session.renew(makeGrant(next), { ...UNLIMITED, mediaMsLeft: 5000, session: next.sessionId });
    sink.lease({ session: SESSION_ID, mediaMsLeft: 60_000, bytesLeft: null });
    viewing.reading = { mediaMs: 5000, bytes: 0 };
    await vi.advanceTimersByTimeAsync(5000);
    expect(await session.ended).toBe('exhausted');
  });

  it('takes what the commit leases as well', async () => {
    const { session, viewing, redemptions } = startTestSession({ limits: { mediaMsLeft: 5000 } });
    redemptions.answer = () => ({ ...UNLIMITED, mediaMsLeft: 9000, session: SESSION_ID });
    viewing.firstMedia();
    viewing.reading = { mediaMs: 8999, bytes: 0 };
    await vi.advanceTimersByTimeAsync(10_000);
    expect(session.isEnded()).toBe(false);
  });

  it('ends when a late commit finds no access left', async () => {
    const { session, viewing, redemptions } = startTestSession();
    redemptions.answer = () => {
      throw new Denial('rights_exhausted');
    };
    viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(1);
    expect(await session.ended).toBe('exhausted');
  });

  it('goes on while the order server is away, and commits when it is back', async () => {
    const { session, viewing, redemptions } = startTestSession();
    const well = redemptions.answer;
    redemptions.answer = () => {
      throw new Denial('order_server_unreachable');
    };
    viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(5000);
    expect(session.isEnded()).toBe(false);
    redemptions.answer = well;
    await vi.advanceTimersByTimeAsync(2000);
    const commits = redemptions.calls.length;
    await vi.advanceTimersByTimeAsync(20_000);
    expect(redemptions.calls).toHaveLength(commits);
  });

  it('follows its viewer and its source', async () => {
    const { session, viewing } = startTestSession();
    viewing.gone('viewer_left');
    expect(await session.ended).toBe('viewer_left');
  });

  it('ends although the host does not answer its counters', async () => {
    const { session, viewing, sink } = startTestSession();
    viewing.firstMedia();
    viewing.counters = () => new Promise(() => undefined);
    const end = session.end('revoked');
    await vi.advanceTimersByTimeAsync(300);
    await end;
    expect(viewing.closed).toBe(true);
    expect(sink.receipts.at(-1)).toMatchObject({ state: 'final', reason: 'revoked' });
  });

  it('ends, and does not throw, when the host fails', async () => {
    const { session, viewing } = startTestSession();
    viewing.firstMedia();
    viewing.counters = () => Promise.reject(new Error('channel closed'));
    await vi.advanceTimersByTimeAsync(5001);
    expect(await session.ended).toBe('server_stopped');
  });

  it('leaves no timer behind', async () => {
    const { session, viewing } = startTestSession({ limits: { bytesLeft: 1000, mediaMsLeft: 1000 } });
    viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(100);
    await session.end('viewer_left');
    await vi.advanceTimersByTimeAsync(400);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a session whose media is lost', () => {
  const attempt = '01936f7e-0000-7000-8000-000000000003';

  async function lose() {
    const started = startTestSession({ grant: { attempt } });
    started.viewing.firstMedia();
    await vi.advanceTimersByTimeAsync(0);
    started.viewing.reading = { mediaMs: 4000, bytes: 1000 };
    started.viewing.gone('server_crashed');
    return started;
  }

  it('waits for its viewer and goes on with other media: one access, one count, one chain of receipts', async () => {
    const { session, sink, redemptions } = await lose();
    expect([session.isMediaLost(), session.isEnded()]).toEqual([true, false]);
    const next = fakeViewing();
    expect(await session.move(next)).toBe(true);
    expect([session.isMediaLost(), session.viewing]).toEqual([false, next]);
    next.firstMedia();
    next.reading = { mediaMs: 500, bytes: 70 };
    await vi.advanceTimersByTimeAsync(5000);
    await session.end('viewer_left');
    expect(next.closed).toBe(true);
    expect(redemptions.calls).toEqual(['commit']);
    expect(sink.receipts).toMatchObject([
      { mediaMs: 4500, bytes: 1070 },
      { mediaMs: 4500, bytes: 1070, reason: 'viewer_left' },
    ]);
    expect(sink.receipts[1]?.prev).toBe(receiptHash(sink.receipts[0]!));
  });

  it('may lose it again', async () => {
    const { session } = await lose();
    const [second, third] = [fakeViewing(), fakeViewing()];
    await session.move(second);
    second.reading = { mediaMs: 1, bytes: 2 };
    second.gone('server_crashed');
    expect(await session.move(third)).toBe(true);
    third.gone('viewer_left');
    expect(await session.ended).toBe('viewer_left');
  });

  it('ends after 10 s without its viewer, with what was counted', async () => {
    const { session, sink } = await lose();
    await vi.advanceTimersByTimeAsync(9999);
    expect(session.isEnded()).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await session.ended).toBe('server_crashed');
    expect(sink.receipts.at(-1)).toMatchObject({ mediaMs: 4000, bytes: 1000, reason: 'server_crashed' });
    expect(session.isMediaLost()).toBe(false);
  });

  it('can be ended meanwhile, and takes no other media then', async () => {
    const { session } = await lose();
    await session.end('revoked');
    expect([await session.move(fakeViewing()), session.isMediaLost()]).toEqual([false, false]);
  });

  it('takes the first that comes of two', async () => {
    const { session } = await lose();
    expect(await Promise.all([session.move(fakeViewing()), session.move(fakeViewing())])).toEqual([
      true,
      false,
    ]);
  });

  it('that has not lost it, or has no attempt to be known by, takes no other', async () => {
    const steady = startTestSession({ grant: { attempt } });
    expect(await steady.session.move(fakeViewing())).toBe(false);
    const bearer = startTestSession();
    bearer.viewing.gone('server_crashed');
    expect(await bearer.session.ended).toBe('server_crashed');
  });
});
