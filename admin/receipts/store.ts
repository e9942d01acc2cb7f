/** Takes batches of receipts: each is stored once, or refused for good. */
import type { Receipt, ReceiptsStored } from '../../plugin/contract.ts';
import { receiptHash } from '../../plugin/receipts/chain.ts';
import type { Executor } from '../db/connect.ts';
import { markDelivered } from '../orders/change.ts';
import { extendLeases } from '../tickets/leases.ts';
import { advanceTail, judgeReceipt, type RefusalReason, type SessionTail } from './judge.ts';
import {
  addUsage,
  findKnownHashes,
  findTails,
  insertReceipts,
  lockTickets,
  updateSessions,
  type Delta,
  type Taken,
} from './rows.ts';
import { noteOfSessions } from './silent.ts';

export interface Batch {
  readonly serverId: string;
  readonly receipts: readonly Receipt[];
  /** The batch as it was signed. */
  readonly jws: string;
}

/** What became of a batch. */
export interface StoredBatch {
  /** For the streaming server. */
  readonly answer: ReceiptsStored;
  /** Sessions and orders that have a new receipt. */
  readonly sessionIds: readonly string[];
  readonly orderIds: readonly string[];
}

/** Uuids compare as the database writes them. */
function normalized(receipt: Receipt): Receipt {
  return { ...receipt, session: receipt.session.toLowerCase(), ticket: receipt.ticket.toLowerCase() };
}

/**
 * Stores the receipts of a batch that was verified. Run it in a transaction of its own. A receipt that is stored
 * already counts as stored; the same number with other content is a `fork`.
 */
export async function storeReceipts(tx: Executor, batch: Batch, nowMs: number): Promise<StoredBatch> {
  const { serverId } = batch;
  // The hash is over the receipt as the streaming server wrote it.
  const incoming = batch.receipts.map((receipt) => ({
    receipt: normalized(receipt),
    hash: receiptHash(receipt),
  }));
  const list = incoming.map(({ receipt }) => receipt);
  const facts = await lockTickets(tx, [...new Set(list.map((receipt) => receipt.ticket))]);
  const before = await findTails(tx, [...new Set(list.map((receipt) => receipt.session))]);
  const known = await findKnownHashes(tx, list);

  const tails = new Map<string, SessionTail>(before);
  const taken: Taken[] = [];
  const deltas: Delta[] = [];
  const lastTaken = new Map<string, Receipt>();
  const refused: { session: string; seq: number; reason: RefusalReason }[] = [];
  let stored = 0;
  for (const { receipt, hash } of incoming) {
    const { session, seq } = receipt;
    const knownHash = known.get(`${session} ${seq}`);
    if (knownHash !== undefined) {
      if (knownHash === hash) stored++;
      else refused.push({ session, seq, reason: 'fork' });
      continue;
    }
    const tail = tails.get(session) ?? null;
    const ticket = facts.get(receipt.ticket) ?? null;
    const reason = judgeReceipt(receipt, tail, ticket, serverId, Math.floor(nowMs / 1000));
    if (reason !== null || ticket === null) {
      refused.push({ session, seq, reason: reason ?? 'unknown_ticket' });
      continue;
    }
    stored++;
    deltas.push({
      receipt,
      ticket,
      fromSeconds: tail?.lastAtSeconds ?? receipt.startedAt,
      mediaMs: receipt.mediaMs - (tail?.mediaMs ?? 0),
      bytes: receipt.bytes - (tail?.bytes ?? 0),
    });
    known.set(`${session} ${seq}`, hash);
    tails.set(session, advanceTail(receipt, hash, serverId));
    lastTaken.set(session, receipt);
    taken.push({ receipt, hash });
  }
  if (taken.length > 0) {
    const now = new Date(nowMs);
    await insertReceipts(tx, batch, taken, before, now);
    const changed = [...lastTaken].flatMap(([session, { reason }]) => {
      const tail = tails.get(session);
      return tail === undefined ? [] : [{ ...tail, session, reason }];
    });
    await updateSessions(tx, changed, now);
    await addUsage(tx, serverId, deltas);
    const heard = [...lastTaken].flatMap(([session, { ticket }]) => {
      const order = facts.get(ticket);
      if (order === undefined || before.get(session)?.wasSilent !== true) return [];
      return [{ ...order, reason: `session ${session}: it was heard again from ${serverId}` }];
    });
    await noteOfSessions(tx, heard, now);
    const used = deltas.filter(({ mediaMs, bytes }) => mediaMs > 0 || bytes > 0);
    await markDelivered(tx, [...new Set(used.map(({ ticket }) => ticket.orderId))], now);
  }
  const leases = await extendLeases(tx, serverId, list, facts, nowMs);
  return {
    answer: leases.length === 0 ? { stored, refused } : { stored, refused, leases },
    sessionIds: [...lastTaken.keys()],
    orderIds: [...new Set(deltas.map(({ ticket }) => ticket.orderId))],
  };
}
