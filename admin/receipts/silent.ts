/**
 * Sessions that went silent: their media server has crashed for good, or is cut off. They are closed with what their last
 * receipt says, and the order's history says so. A receipt that comes late is taken all the same, and opens them again.
 */
import { and, eq, inArray, isNull, lt } from 'drizzle-orm';
import type { Executor } from '../db/connect.ts';
import { mediaSessions, orderEvents, orders, tickets } from '../db/schema.ts';
import { newId } from '../ids.ts';
import type { OrderState } from '../orders/states.ts';
import { LEASE_SECONDS } from '../tickets/redeem.ts';

/** Why it ended, of a session that was closed here. */
export const SILENT = 'server_silent';
/** After the lease: media servers that lost this one try again within 30 s, and have a backlog then. */
const PATIENCE_SECONDS = 90;
const PER_SWEEP = 200;

interface SilentSession {
  readonly id: string;
  readonly serverId: string;
  readonly mediaMs: number;
  readonly bytes: number;
  readonly leasedMediaMs: number | null;
  readonly leasedBytes: number | null;
  readonly orderId: string;
  readonly orderState: OrderState;
}

/** Of a ticket's budgets what its server may have used, and may state when it comes back; in words, or nothing. */
function leasedWords({ mediaMs, bytes, leasedMediaMs, leasedBytes }: SilentSession): string {
  const parts = [
    ...(leasedMediaMs === null
      ? []
      : [`${String(Math.ceil(Math.max(0, leasedMediaMs - mediaMs) / 1000))} s`]),
    ...(leasedBytes === null ? [] : [`${String(Math.max(0, leasedBytes - bytes))} bytes`]),
  ];
  return parts.length === 0 ? '' : `; ${parts.join(' and ')} more are kept for what it may yet state`;
}

/** A line in the history of a session's order; the order's state stays as it is. */
export async function noteOfSessions(
  tx: Executor,
  lines: readonly { readonly orderId: string; readonly orderState: OrderState; readonly reason: string }[],
  now: Date,
): Promise<void> {
  if (lines.length === 0) return;
  await tx.insert(orderEvents).values(
    lines.map(({ orderId, orderState, reason }) => ({
      id: newId(),
      orderId,
      fromState: orderState,
      toState: orderState,
      actor: 'system' as const,
      reason,
      createdAt: now,
    })),
  );
}

/**
 * Closes sessions of which no receipt has come for two minutes, 200 at most. Run it in a transaction of its own.
 * @returns those that were closed
 */
export async function closeSilentSessions(tx: Executor, now: Date): Promise<readonly SilentSession[]> {
  const silent = await tx
    .select({
      id: mediaSessions.id,
      serverId: mediaSessions.serverId,
      mediaMs: mediaSessions.mediaMs,
      bytes: mediaSessions.bytes,
      leasedMediaMs: mediaSessions.leasedMediaMs,
      leasedBytes: mediaSessions.leasedBytes,
      orderId: orders.id,
      orderState: orders.state,
    })
    .from(mediaSessions)
    .innerJoin(tickets, eq(tickets.jti, mediaSessions.ticketId))
    .innerJoin(orders, eq(orders.id, tickets.orderId))
    .where(
      and(
        eq(mediaSessions.state, 'committed'),
        isNull(mediaSessions.endedAt),
        lt(mediaSessions.leaseUntil, new Date(now.getTime() - PATIENCE_SECONDS * 1000)),
      ),
    )
    .limit(PER_SWEEP)
    // What is being changed is not silent, or not to be waited for: holding one row nobody waits for another.
    .for('update', { of: [mediaSessions, orders], skipLocked: true });
  if (silent.length === 0) return [];
  const ids = silent.map(({ id }) => id);
  // It stays committed: the access was taken, and a media server that comes back may still commit and state what it sent.
  await tx
    .update(mediaSessions)
    .set({ endedAt: now, endReason: SILENT })
    .where(inArray(mediaSessions.id, ids));
  const silenceSeconds = String(LEASE_SECONDS + PATIENCE_SECONDS);
  const lines = silent.map((session) => ({
    orderId: session.orderId,
    orderState: session.orderState,
    reason: `session ${session.id}: nothing was heard of it from ${session.serverId} for ${silenceSeconds} s; it is closed with ${String(Math.floor(session.mediaMs / 1000))} s${leasedWords(session)}`,
  }));
  await noteOfSessions(tx, lines, now);
  return silent;
}
