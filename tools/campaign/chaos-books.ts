/** What the order server has in its books after the chaos, held against what the viewers have counted. */
import { and, asc, countDistinct, eq, exists, gt, inArray, isNotNull, lte, sql } from 'drizzle-orm';
import type { Database } from '../../admin/db/connect.ts';
import {
  ledgerEntries,
  ledgerTransactions,
  mediaSessions,
  orders,
  receipts,
  tickets,
} from '../../admin/db/schema.ts';
import { reconcile, type Difference } from '../../admin/ledger/reconcile.ts';
import type { Receipt } from '../../plugin/contract.ts';
import { receiptHash } from '../../plugin/receipts/chain.ts';
import type { Bought, Watched } from './chaos-viewers.ts';

export interface BookedSession {
  readonly id: string;
  readonly ticketId: string;
  readonly mediaMs: number;
  readonly endReason: string | null;
  /** By their numbers. */
  readonly receipts: readonly Receipt[];
}

export interface BookedOrder {
  readonly id: string;
  readonly idempotencyKey: string;
  readonly priceMinor: number;
  readonly capturedMinor: number;
  /** Transactions of the ledger that charged it, and what they come to. */
  readonly captures: number;
  readonly chargedMinor: number;
  /** Paid before it is watched, and watched: it has to be charged. */
  readonly isOwed: boolean;
}

export interface Books {
  readonly sessions: readonly BookedSession[];
  readonly orders: readonly BookedOrder[];
  readonly differences: readonly Difference[];
  /** Sum of all entries, by currency. */
  readonly ledgerSums: readonly { readonly currency: string; readonly sumMinor: number }[];
}

/** Receipts, and orders with something due, that are still on their way; 0 when all has settled. */
export async function unsettled(db: Database): Promise<number> {
  const open = await db.$count(
    mediaSessions,
    and(isNotNull(mediaSessions.lastSeq), eq(mediaSessions.state, 'committed')),
  );
  return open + (await db.$count(orders, lte(orders.dueAt, sql`now()`)));
}

export async function readBooks(db: Database): Promise<Books> {
  const bySession = new Map<string, Receipt[]>();
  const all = await db
    .select({ body: receipts.body })
    .from(receipts)
    .orderBy(asc(receipts.sessionId), asc(receipts.seq));
  for (const { body } of all) bySession.set(body.session, [...(bySession.get(body.session) ?? []), body]);
  const sessions = await db
    .select({
      id: mediaSessions.id,
      ticketId: mediaSessions.ticketId,
      mediaMs: mediaSessions.mediaMs,
      endReason: mediaSessions.endReason,
    })
    .from(mediaSessions);
  const charges = await db
    .select({
      orderId: ledgerTransactions.orderId,
      captures: countDistinct(ledgerTransactions.id),
      chargedMinor: sql`sum(greatest(${ledgerEntries.amountMinor}, 0))`.mapWith(Number),
    })
    .from(ledgerTransactions)
    .innerJoin(ledgerEntries, eq(ledgerEntries.transactionId, ledgerTransactions.id))
    .where(inArray(ledgerTransactions.kind, ['order', 'capture']))
    .groupBy(ledgerTransactions.orderId);
  const chargeOf = new Map(charges.map((charge) => [charge.orderId, charge]));
  const usedTickets = db
    .select({ jti: tickets.jti })
    .from(tickets)
    .where(and(eq(tickets.orderId, orders.id), gt(tickets.mediaMsUsed, 0)));
  const booked = await db
    .select({
      id: orders.id,
      idempotencyKey: orders.idempotencyKey,
      priceMinor: orders.priceMinor,
      capturedMinor: orders.capturedMinor,
      isOwed: sql`${orders.terms}->>'charging' = 'prepaid' and ${exists(usedTickets)}`.mapWith(Boolean),
    })
    .from(orders);
  const sums = await db
    .select({
      currency: ledgerEntries.currency,
      sumMinor: sql`sum(${ledgerEntries.amountMinor})`.mapWith(Number),
    })
    .from(ledgerEntries)
    .groupBy(ledgerEntries.currency);
  return {
    sessions: sessions.map((session) => ({ ...session, receipts: bySession.get(session.id) ?? [] })),
    orders: booked.map((order) => ({
      ...order,
      captures: chargeOf.get(order.id)?.captures ?? 0,
      chargedMinor: chargeOf.get(order.id)?.chargedMinor ?? 0,
    })),
    differences: await reconcile(db),
    ledgerSums: sums,
  };
}

/** What the clocks of two processes on a busy machine may be apart, at each viewing. */
export const LAG_MS = 1000;
/** Receipts of so long are written to the disk together. */
const COMMIT_MS = 250;

export interface ChaosTruth {
  readonly watched: readonly Watched[];
  readonly bought: readonly Bought[];
  /** Of the media server, on the clock of `performance.now`. */
  readonly killedAtMs: readonly number[];
  readonly receiptIntervalMs: number;
}

/** One ticket: what was billed, what was counted, and how much less may have been billed. */
export interface Compared {
  readonly ticketId: string;
  readonly billedMs: number;
  readonly countedMs: number;
  /** Kills of the media server while somebody watched on it. */
  readonly kills: number;
  readonly mayMissMs: number;
  readonly mayExceedMs: number;
}

/** By ticket, each that anything was watched on or billed of. */
export function compare({ sessions }: Pick<Books, 'sessions'>, truth: ChaosTruth): Compared[] {
  const { watched, killedAtMs, receiptIntervalMs } = truth;
  const billed = Map.groupBy(sessions, ({ ticketId }) => ticketId);
  const counted = Map.groupBy(
    watched.filter(({ countedMs }) => countedMs > 0),
    ({ ticketId }) => ticketId,
  );
  return [...new Set([...billed.keys(), ...counted.keys()])].map((ticketId) => {
    const [its, theirs] = [billed.get(ticketId) ?? [], counted.get(ticketId) ?? []];
    // What ended with a viewer's leave may not have been on the disk yet.
    const kills = theirs.filter(({ fromMs, untilMs }) =>
      killedAtMs.some((atMs) => atMs >= fromMs && atMs <= untilMs + COMMIT_MS),
    ).length;
    return {
      ticketId,
      billedMs: its.reduce((sum, { mediaMs }) => sum + mediaMs, 0),
      countedMs: theirs.reduce((sum, { countedMs }) => sum + countedMs, 0),
      kills,
      mayMissMs: theirs.length * LAG_MS + kills * (receiptIntervalMs + COMMIT_MS),
      mayExceedMs: Math.max(its.length, theirs.length) * LAG_MS,
    };
  });
}

function faultOfChain({ id, mediaMs, receipts: chain }: BookedSession): string[] {
  const last = chain.at(-1);
  if (last === undefined)
    return mediaMs === 0 ? [] : [`session ${id}: ${mediaMs} ms billed without a receipt`];
  const broken = chain.findIndex(({ seq, prev }, index) => {
    const before = chain[index - 1];
    return seq !== index || prev !== (before === undefined ? null : receiptHash(before));
  });
  return [
    ...(broken === -1 ? [] : [`session ${id}: the chain of receipts is broken at ${broken}`]),
    ...(last.state === 'final' ? [] : [`session ${id}: no final receipt`]),
    ...(last.mediaMs === mediaMs
      ? []
      : [`session ${id}: ${mediaMs} ms billed, last receipt ${last.mediaMs} ms`]),
  ];
}

function faultsOfOrders(booked: readonly BookedOrder[], bought: readonly Bought[]): string[] {
  const byKey = Map.groupBy(booked, ({ idempotencyKey }) => idempotencyKey);
  return [
    ...bought.flatMap(({ idempotencyKey, orderId }) => {
      const its = byKey.get(idempotencyKey) ?? [];
      if (its.length > 1) return [`request ${idempotencyKey}: ${its.length} orders`];
      return orderId === null || its[0]?.id === orderId ? [] : [`order ${orderId}: lost`];
    }),
    ...booked.flatMap(({ id, priceMinor, capturedMinor, captures, chargedMinor, isOwed }) => {
      if (isOwed && chargedMinor < priceMinor)
        return [`order ${id}: watched, and charged ${chargedMinor} of ${priceMinor}`];
      if (captures > 1 || chargedMinor > priceMinor) return [`order ${id}: charged ${captures} times`];
      return chargedMinor === capturedMinor
        ? []
        : [`order ${id}: charged ${chargedMinor}, kept ${capturedMinor}`];
    }),
  ];
}

/** What is wrong with the books; empty when nothing is. */
export function faultsOfBooks(books: Books, truth: ChaosTruth): string[] {
  return [
    ...books.differences.map(
      ({ check, id, expected, found }) => `reconcile: ${check} ${id}: expected ${expected}, found ${found}`,
    ),
    ...books.ledgerSums
      .filter(({ sumMinor }) => sumMinor !== 0)
      .map(({ currency, sumMinor }) => `the ledger sums to ${sumMinor} ${currency}`),
    ...books.sessions.flatMap(faultOfChain),
    ...faultsOfOrders(books.orders, truth.bought),
    ...compare(books, truth).flatMap(({ ticketId, billedMs, countedMs, kills, mayMissMs, mayExceedMs }) => {
      const isRight = billedMs >= countedMs - mayMissMs && billedMs <= countedMs + mayExceedMs;
      const what = `${billedMs} ms billed, ${countedMs.toFixed(0)} ms counted, ${kills} kills`;
      return isRight ? [] : [`ticket ${ticketId}: ${what}`];
    }),
  ];
}
