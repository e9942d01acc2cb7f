/** Media servers that share a ticket's seconds, as the order server hears of them: without media, at times of their own. */
import { randomUUID } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { tickets } from '../../admin/db/schema.ts';
import { closeSilentSessions } from '../../admin/receipts/silent.ts';
import { storeReceipts } from '../../admin/receipts/store.ts';
import { commit, reserve } from '../../admin/tickets/redeem.ts';
import { registerServer, type StreamingServer } from '../../admin/trust/servers.ts';
import type { EndReason, Lease, Receipt, ReceiptsStored } from '../../plugin/contract.ts';
import { createReceiptChain } from '../../plugin/receipts/chain.ts';
import type { Rights } from '../../plugin/rights/index.ts';
import { generateSealingKey } from '../../plugin/ticket/index.ts';
import { createTestOffer, orderOffer, START_MS, type World } from './databases.ts';

/** The world's own, and another one. */
export const SERVERS = ['ss-1', 'ss-2'] as const;

/** What a ticket's total may be exceeded by, whatever happens. */
export const INTERVAL_MS = 5000;
const SILENCE_MS = 125_000;

/** One viewing: what its media server has been told, and what it has used of that. */
export interface LeasedSession {
  readonly id: string;
  readonly serverId: string;
  mediaMs: number;
  bytes: number;
  /** What it may use; 0 before it was told. */
  endMs: number;
  endBytes: number;
  reserve(): Promise<Lease>;
  commit(): Promise<Lease>;
  /** The next receipt, not sent yet. */
  write(reason?: EndReason): Receipt;
  send(receipts: readonly Receipt[], serverId?: string): Promise<ReceiptsStored>;
  /** Writes a receipt and sends it. */
  report(reason?: EndReason): Promise<ReceiptsStored>;
  /** Takes what it was told. */
  take(lease: Pick<Lease, 'mediaMsLeft' | 'bytesLeft'> | undefined): void;
}

export interface SharedTicket {
  readonly jti: string;
  readonly orderId: string;
  /** What time it is. */
  nowMs: number;
  begin(serverId: string): LeasedSession;
  usedMs(): Promise<number>;
}

/** Registers the other one; also after it was taken off the register. */
export async function registerSecondServer({ db, server }: World): Promise<void> {
  const sealingKey = (await generateSealingKey()).publicJwk;
  await registerServer(db, { ...server, id: SERVERS[1], sealingKey } as StreamingServer, new Date(START_MS));
}

/** Sells a ticket that both servers honour. */
export async function shareTicket(world: World, rights: Partial<Rights>): Promise<SharedTicket> {
  const { db } = world;
  const offer = await createTestOffer(world, { rights, validSeconds: 1_000_000 });
  const { issued, order } = await orderOffer(world, offer.id);
  const { jti, uri } = issued;
  await db
    .update(tickets)
    .set({ audience: [...SERVERS] })
    .where(eq(tickets.jti, jti));

  function begin(serverId: string): LeasedSession {
    const id = randomUUID();
    let chain: ReturnType<typeof createReceiptChain> | undefined;
    const session: LeasedSession = {
      id,
      serverId,
      mediaMs: 0,
      bytes: 0,
      endMs: 0,
      endBytes: 0,
      async reserve() {
        const lease = await reserve(
          db,
          { session: id, attempt: null, ticketId: jti, serverId },
          ticket.nowMs,
        );
        session.take(lease);
        return lease;
      },
      async commit() {
        const lease = await commit(db, id, serverId, ticket.nowMs);
        session.take(lease);
        return lease;
      },
      write(reason) {
        const at = Math.floor(ticket.nowMs / 1000);
        chain ??= createReceiptChain({
          ...{ session: id, ticket: jti, uri },
          startedAt: at - Math.ceil(session.mediaMs / 1000),
        });
        const { mediaMs, bytes } = session;
        return chain.next({ at, mediaMs, bytes, ...(reason === undefined ? {} : { reason }) });
      },
      send: async (receipts, from = serverId) =>
        (
          await db.transaction((tx) =>
            storeReceipts(tx, { serverId: from, receipts, jws: 'a.b.c' }, ticket.nowMs),
          )
        ).answer,
      async report(reason) {
        const answer = await session.send([session.write(reason)]);
        session.take(answer.leases?.[0]);
        return answer;
      },
      take(lease) {
        session.endMs = Math.max(session.endMs, lease?.mediaMsLeft ?? 0);
        session.endBytes = Math.max(session.endBytes, lease?.bytesLeft ?? 0);
      },
    };
    return session;
  }

  const ticket: SharedTicket = {
    jti,
    orderId: order.id,
    nowMs: START_MS,
    begin,
    async usedMs() {
      const [row] = await db.select().from(tickets).where(eq(tickets.jti, jti));
      return row?.mediaMsUsed ?? Number.NaN;
    },
  };
  return ticket;
}

/** Uses so much of what it may, in as much time. */
export function spend(ticket: SharedTicket, session: LeasedSession, ms: number): void {
  ticket.nowMs += ms;
  session.mediaMs = Math.min(session.endMs, session.mediaMs + ms);
}

/** Begins a session, and says so by its first receipt. */
export async function start(ticket: SharedTicket, serverId: string): Promise<LeasedSession> {
  const session = ticket.begin(serverId);
  await session.reserve();
  await session.commit();
  await session.report();
  return session;
}

/** Uses what it is given to the end, asking when half of it is used, as a media server does. */
export async function useUp(ticket: SharedTicket, session: LeasedSession): Promise<void> {
  for (;;) {
    spend(ticket, session, Math.max(1, Math.ceil((session.endMs - session.mediaMs) / 2)));
    const before = session.endMs;
    await session.report(session.mediaMs === session.endMs ? 'exhausted' : undefined);
    if (session.mediaMs === before) return;
  }
}

/** Nobody is heard until all are closed. */
export async function goSilent({ db }: World, ticket: SharedTicket): Promise<void> {
  ticket.nowMs += SILENCE_MS;
  const sweep = () => db.transaction((tx) => closeSilentSessions(tx, new Date(ticket.nowMs)));
  while ((await sweep()).length > 0);
}
