/** Takes batches of receipts: each is stored once, or refused for good. */
import { and, eq, inArray, sql } from 'drizzle-orm';
import type { Receipt, ReceiptsStored } from '../../plugin/contract.ts';
import { receiptHash } from '../../plugin/receipts/chain.ts';
import type { Executor } from '../db/connect.ts';
import { mediaSessions, receiptBatches, receipts, tickets } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { LEASE_SECONDS } from '../tickets/redeem.ts';
import {
  advanceTail,
  judgeReceipt,
  type RefusalReason,
  type SessionTail,
  type TicketFacts,
} from './judge.ts';

export interface Batch {
  readonly serverId: string;
  readonly receipts: readonly Receipt[];
  /** The batch as it was signed. */
  readonly jws: string;
}

/** Uuids compare as the database writes them. */
function normalized(receipt: Receipt): Receipt {
  return { ...receipt, session: receipt.session.toLowerCase(), ticket: receipt.ticket.toLowerCase() };
}

async function lockTickets(tx: Executor, jtis: readonly string[]): Promise<Map<string, TicketFacts>> {
  // Sorted: two batches over the same tickets lock them in the same order.
  const rows = await tx
    .select({
      jti: tickets.jti,
      uri: tickets.uri,
      audience: tickets.audience,
      issuedAt: tickets.issuedAt,
      rights: tickets.rights,
    })
    .from(tickets)
    .where(inArray(tickets.jti, [...jtis]))
    .orderBy(tickets.jti)
    .for('update');
  return new Map(
    rows.map(({ issuedAt, rights, ...row }) => [
      row.jti,
      { ...row, issuedAtSeconds: Math.floor(issuedAt.getTime() / 1000), tier: rights.tier },
    ]),
  );
}

async function findTails(tx: Executor, sessions: readonly string[]): Promise<Map<string, SessionTail>> {
  const rows = await tx
    .select({
      id: mediaSessions.id,
      ticketId: mediaSessions.ticketId,
      serverId: mediaSessions.serverId,
      state: mediaSessions.state,
      startedAtSeconds: mediaSessions.startedAtSeconds,
      lastSeq: mediaSessions.lastSeq,
      lastHash: mediaSessions.lastHash,
      mediaMs: mediaSessions.mediaMs,
      bytes: mediaSessions.bytes,
    })
    .from(mediaSessions)
    .where(inArray(mediaSessions.id, [...sessions]));
  return new Map(rows.map(({ id, ...tail }) => [id, tail]));
}

async function findKnownHashes(tx: Executor, batch: readonly Receipt[]): Promise<Map<string, string>> {
  const seqsBySession = Map.groupBy(batch, (receipt) => receipt.session);
  const known = new Map<string, string>();
  for (const [session, list] of seqsBySession) {
    const rows = await tx
      .select({ seq: receipts.seq, hash: receipts.hash })
      .from(receipts)
      .where(
        and(
          eq(receipts.sessionId, session),
          inArray(
            receipts.seq,
            list.map((receipt) => receipt.seq),
          ),
        ),
      );
    for (const row of rows) known.set(`${session} ${row.seq}`, row.hash);
  }
  return known;
}

interface Taken {
  readonly receipt: Receipt;
  readonly hash: string;
}

/** Sessions and tickets after the receipts that were taken. */
async function writeTotals(
  tx: Executor,
  tails: ReadonlyMap<string, SessionTail>,
  before: ReadonlyMap<string, SessionTail>,
  lastTaken: ReadonlyMap<string, Receipt>,
  now: Date,
): Promise<void> {
  const leaseUntil = new Date(now.getTime() + LEASE_SECONDS * 1000);
  for (const [session, receipt] of lastTaken) {
    const tail = tails.get(session);
    if (tail === undefined) continue;
    const ended = tail.state === 'ended';
    const columns = {
      ...tail,
      reservedUntil: null,
      leaseUntil: ended ? null : leaseUntil,
      endedAt: ended ? now : null,
      endReason: receipt.reason,
    };
    await tx.update(mediaSessions).set(columns).where(eq(mediaSessions.id, session));
    const known = before.get(session);
    await tx
      .update(tickets)
      .set({
        mediaMsUsed: sql`${tickets.mediaMsUsed} + ${tail.mediaMs - (known?.mediaMs ?? 0)}`,
        bytesUsed: sql`${tickets.bytesUsed} + ${tail.bytes - (known?.bytes ?? 0)}`,
      })
      .where(eq(tickets.jti, tail.ticketId));
  }
}

async function writeReceipts(
  tx: Executor,
  batch: Batch,
  taken: readonly Taken[],
  before: ReadonlyMap<string, SessionTail>,
  now: Date,
): Promise<void> {
  const batchId = newId();
  await tx
    .insert(receiptBatches)
    .values({ id: batchId, serverId: batch.serverId, jws: batch.jws, storedAt: now });
  // A ticket that is not counted has no reservation: its session is first heard of here.
  const fresh = new Map(
    taken
      .filter(({ receipt }) => !before.has(receipt.session))
      .map(({ receipt }) => [receipt.session, receipt]),
  );
  if (fresh.size > 0) {
    await tx.insert(mediaSessions).values(
      [...fresh.values()].map((receipt) => ({
        id: receipt.session,
        ticketId: receipt.ticket,
        serverId: batch.serverId,
        attempt: null,
        state: 'committed' as const,
        createdAt: now,
        committedAt: now,
        mediaMs: 0,
        bytes: 0,
      })),
    );
  }
  await tx.insert(receipts).values(
    taken.map(({ receipt, hash }) => ({
      sessionId: receipt.session,
      seq: receipt.seq,
      ticketId: receipt.ticket,
      batchId,
      hash,
      body: receipt,
      storedAt: now,
    })),
  );
}

/**
 * Stores the receipts of a batch that was verified. Run it in a transaction of its own. A receipt that is stored
 * already counts as stored; the same number with other content is a `fork`.
 */
export async function storeReceipts(tx: Executor, batch: Batch, nowMs: number): Promise<ReceiptsStored> {
  const now = new Date(nowMs);
  // The hash is over the receipt as the streaming server wrote it.
  const incoming = batch.receipts.map((receipt) => ({
    receipt: normalized(receipt),
    hash: receiptHash(receipt),
  }));
  const list = incoming.map(({ receipt }) => receipt);
  const facts = await lockTickets(tx, [...new Set(list.map((receipt) => receipt.ticket))]);
  const before = await findTails(tx, [...new Set(list.map((receipt) => receipt.session))]);
  const known = await findKnownHashes(tx, list);

  const tails = new Map(before);
  const taken: Taken[] = [];
  const lastTaken = new Map<string, Receipt>();
  const refused: { session: string; seq: number; reason: RefusalReason }[] = [];
  let stored = 0;
  for (const { receipt, hash } of incoming) {
    const { session, seq } = receipt;
    const knownHash = known.get(`${session} ${seq}`);
    const reason =
      knownHash === undefined
        ? judgeReceipt(
            receipt,
            tails.get(session) ?? null,
            facts.get(receipt.ticket) ?? null,
            batch.serverId,
            Math.floor(nowMs / 1000),
          )
        : knownHash === hash
          ? null
          : 'fork';
    if (reason !== null) {
      refused.push({ session, seq, reason });
      continue;
    }
    stored++;
    if (knownHash !== undefined) continue;
    known.set(`${session} ${seq}`, hash);
    tails.set(session, { ...advanceTail(receipt, batch.serverId), lastHash: hash });
    lastTaken.set(session, receipt);
    taken.push({ receipt, hash });
  }
  if (taken.length > 0) {
    await writeReceipts(tx, batch, taken, before, now);
    await writeTotals(tx, tails, before, lastTaken, now);
  }
  return { stored, refused };
}
