import { describe, expect, it, test } from 'vitest';
import type { Receipt } from '../../plugin/contract.ts';
import { createReceiptChain } from '../../plugin/receipts/chain.ts';
import {
  compare,
  faultsOfBooks,
  LAG_MS,
  type BookedOrder,
  type BookedSession,
  type Books,
  type ChaosTruth,
} from '../../tools/campaign/chaos-books.ts';
import type { Watched } from '../../tools/campaign/chaos-viewers.ts';

const INTERVAL_MS = 2000;
const TICKET = '01890000-0000-7000-8000-000000000001';
const SESSION = '01890000-0000-7000-8000-000000000002';

function chainOf(...mediaMs: number[]): Receipt[] {
  const chain = createReceiptChain({ session: SESSION, ticket: TICKET, uri: '/live/demo', startedAt: 1000 });
  return mediaMs.map((ms, index) =>
    chain.next({
      ...{ at: 1000 + index, mediaMs: ms, bytes: ms },
      ...(index === mediaMs.length - 1 ? { reason: 'viewer_left' as const } : {}),
    }),
  );
}

const RECEIPTS = chainOf(2000, 4000, 5000);
const session: BookedSession = {
  id: SESSION,
  ticketId: TICKET,
  mediaMs: 5000,
  endReason: 'viewer_left',
  receipts: RECEIPTS,
};
const order: BookedOrder = {
  id: 'order',
  idempotencyKey: 'key',
  priceMinor: 299,
  capturedMinor: 299,
  captures: 1,
  chargedMinor: 299,
  isOwed: true,
};
const watched: Watched = {
  ticketId: TICKET,
  protocol: 'whep',
  fromMs: 10_000,
  untilMs: 15_500,
  countedMs: 5000,
};
const books: Books = {
  sessions: [session],
  orders: [order],
  differences: [],
  ledgerSums: [{ currency: 'EUR', sumMinor: 0 }],
};
const truth: ChaosTruth = {
  watched: [watched],
  bought: [{ idempotencyKey: 'key', orderId: 'order' }],
  killedAtMs: [],
  receiptIntervalMs: INTERVAL_MS,
};

const withSession = (changes: Partial<BookedSession>): Books => ({
  ...books,
  sessions: [{ ...session, ...changes }],
});
const withOrders = (...changes: Partial<BookedOrder>[]): Books => ({
  ...books,
  orders: changes.map((change) => ({ ...order, ...change })),
});
const counted = (countedMs: number): ChaosTruth => ({ ...truth, watched: [{ ...watched, countedMs }] });
const killedAt = (atMs: number, countedMs: number): ChaosTruth => ({
  ...counted(countedMs),
  killedAtMs: [atMs],
});

describe('the books after the chaos', () => {
  test.each<[string, Books, ChaosTruth]>([
    ['what was counted', books, truth],
    ['an interval less, where the server was killed', books, killedAt(15_000, 5000 + INTERVAL_MS)],
    ['what a kill just after the leave took along', books, killedAt(15_600, 5000 + INTERVAL_MS)],
    [
      'an order without an answer',
      books,
      { ...truth, bought: [...truth.bought, { idempotencyKey: 'x', orderId: null }] },
    ],
    [
      'an order that came to nothing',
      withOrders({ captures: 0, chargedMinor: 0, capturedMinor: 0, isOwed: false }),
      truth,
    ],
    [
      'a session that was lost before its first receipt',
      {
        ...books,
        sessions: [session, { ...session, id: 'lost', mediaMs: 0, endReason: null, receipts: [] }],
      },
      truth,
    ],
  ])('may have %s', (_what, found, really) => {
    expect(faultsOfBooks(found, really)).toEqual([]);
  });

  test.each<[string, Books, ChaosTruth, RegExp]>([
    [
      'less than was counted',
      books,
      counted(5000 + LAG_MS + 1),
      /^ticket .*: 5000 ms billed, 6001 ms counted, 0 kills/,
    ],
    [
      'more than was counted',
      books,
      counted(5000 - LAG_MS - 1),
      /^ticket .*: 5000 ms billed, 3999 ms counted/,
    ],
    ['more than was counted before a kill', books, killedAt(15_000, 3999), /^ticket .* 1 kills/],
    ['less than an interval before the kill', books, killedAt(15_000, 8500), /^ticket .* 1 kills/],
    ['less by a kill of before', books, killedAt(9000, 6500), /^ticket .* 0 kills/],
    [
      'a viewing twice',
      { ...books, sessions: [session, { ...session, id: 'twin' }] },
      truth,
      /^ticket .*: 10000 ms billed/,
    ],
    [
      'a receipt too few',
      withSession({ receipts: RECEIPTS.toSpliced(1, 1) }),
      truth,
      /chain of receipts is broken at 1/,
    ],
    [
      'a receipt of another chain',
      withSession({ receipts: [...chainOf(2001, 4000, 5000).slice(0, 1), ...RECEIPTS.slice(1)] }),
      truth,
      /chain of receipts is broken at 1/,
    ],
    [
      'no final receipt',
      withSession({ receipts: RECEIPTS.slice(0, 2), mediaMs: 4000 }),
      counted(4000),
      /no final receipt/,
    ],
    [
      'other than the last receipt says',
      withSession({ mediaMs: 5001 }),
      truth,
      /5001 ms billed, last receipt 5000/,
    ],
    ['media without a receipt', withSession({ receipts: [] }), truth, /billed without a receipt/],
    ['two orders of one request', withOrders({}, { id: 'second' }), truth, /^request key: 2 orders/],
    ['an order lost', { ...books, orders: [] }, truth, /^order order: lost/],
    [
      'an order charged twice',
      withOrders({ captures: 2, chargedMinor: 598, capturedMinor: 299 }),
      truth,
      /charged 2 times/,
    ],
    [
      'an order that was watched and never charged',
      withOrders({ captures: 0, chargedMinor: 0, capturedMinor: 0 }),
      truth,
      /^order order: watched, and charged 0 of 299/,
    ],
    ['a charge that the order does not know', withOrders({ capturedMinor: 0 }), truth, /charged 299, kept 0/],
    [
      'money from nowhere',
      { ...books, ledgerSums: [{ currency: 'EUR', sumMinor: 1 }] },
      truth,
      /sums to 1 EUR/,
    ],
    [
      'a difference of its own',
      { ...books, differences: [{ check: 'balances', id: 'a', expected: '1', found: '2' }] },
      truth,
      /^reconcile: balances a: expected 1, found 2/,
    ],
  ])('may not have %s', (_what, found, really, message) => {
    expect(faultsOfBooks(found, really)).toContainEqual(expect.stringMatching(message));
  });

  it('are compared by ticket, so that who comes back on it is counted once', () => {
    const twice = { ...truth, watched: [watched, { ...watched, fromMs: 20_000, untilMs: 25_500 }] };
    const [ticket] = compare({ sessions: [session, { ...session, id: 'second' }] }, twice);
    expect(ticket).toMatchObject({ billedMs: 10_000, countedMs: 10_000, kills: 0, mayExceedMs: 2 * LAG_MS });
  });
});
