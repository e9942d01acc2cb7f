import { eq, sql } from 'drizzle-orm';
import type { Executor } from '../db/connect.ts';
import { mediaSessions, tickets } from '../db/schema.ts';

/** What was used of an order, by the latest receipts. */
export interface OrderUsage {
  readonly orderId: string;
  readonly mediaMs: number;
  readonly bytes: number;
  /** Viewings that have begun, ended ones too. */
  readonly sessions: number;
}

/** What was used of an order by now; zeros for one that is not known. */
export async function findOrderUsage(db: Executor, orderId: string): Promise<OrderUsage> {
  const number = <T>(value: T) => Number(value);
  const [used] = await db
    .select({
      mediaMs: sql<number>`coalesce(sum(${tickets.mediaMsUsed}), 0)`.mapWith(number),
      bytes: sql<number>`coalesce(sum(${tickets.bytesUsed}), 0)`.mapWith(number),
    })
    .from(tickets)
    .where(eq(tickets.orderId, orderId));
  const [watched] = await db
    .select({ sessions: sql<number>`count(*)`.mapWith(number) })
    .from(mediaSessions)
    .innerJoin(tickets, eq(tickets.jti, mediaSessions.ticketId))
    .where(sql`${tickets.orderId} = ${orderId}::uuid and ${mediaSessions.committedAt} is not null`);
  return { orderId, mediaMs: used?.mediaMs ?? 0, bytes: used?.bytes ?? 0, sessions: watched?.sessions ?? 0 };
}
