/** A viewing on a ticket, as a streaming server tells the order server of it: without the server. */
import { randomUUID } from 'node:crypto';
import { storeReceipts } from '../../admin/receipts/store.ts';
import { commit, reserve } from '../../admin/tickets/redeem.ts';
import type { Receipt } from '../../plugin/contract.ts';
import { receiptHash } from '../../plugin/receipts/chain.ts';
import { START_MS, type TicketedOrder, type World } from './databases.ts';

export interface TestViewing {
  readonly session: string;
  /** Reserves an access and commits it: the first picture leaves. */
  begin(nowMs?: number): Promise<void>;
  /** Tells that so much was used since the last time, and ends if there is a reason. @returns how many receipts were stored. */
  use(
    used: { seconds: number; bytes?: number; ends?: NonNullable<Receipt['reason']> },
    atMs?: number,
  ): Promise<number>;
}

export function createViewing({ db, server }: World, { issued }: Pick<TicketedOrder, 'issued'>): TestViewing {
  const session = randomUUID();
  let last: Receipt | undefined;
  return {
    session,
    begin: async (nowMs = START_MS) => {
      await reserve(db, { session, attempt: null, ticketId: issued.jti, serverId: server.id }, nowMs);
      await commit(db, session, server.id, nowMs);
    },
    use: async ({ seconds, bytes = seconds * 1000, ends }, atMs) => {
      const startedAt = last?.startedAt ?? START_MS / 1000;
      const at = atMs === undefined ? (last?.at ?? startedAt) + Math.ceil(seconds) : Math.floor(atMs / 1000);
      const receipt: Receipt = {
        session,
        ticket: issued.jti,
        uri: issued.uri,
        seq: last === undefined ? 0 : last.seq + 1,
        prev: last === undefined ? null : receiptHash(last),
        startedAt,
        at,
        mediaMs: (last?.mediaMs ?? 0) + seconds * 1000,
        bytes: (last?.bytes ?? 0) + bytes,
        state: ends === undefined ? 'progress' : 'final',
        reason: ends ?? null,
      };
      const { answer } = await db.transaction((tx) =>
        storeReceipts(tx, { serverId: server.id, receipts: [receipt], jws: 'a.b.c' }, at * 1000),
      );
      if (answer.stored > 0) last = receipt;
      return answer.stored;
    },
  };
}
