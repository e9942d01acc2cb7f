import { and, desc, asc, eq, gt, lt } from 'drizzle-orm';
import type { Page } from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { mediaSessions, orders, tickets, titles } from '../db/schema.ts';

/** What one viewing has consumed, by its last receipt. */
export interface Usage {
  /** Session id. */
  readonly id: string;
  readonly orderId: string;
  readonly uri: string;
  readonly titleName: string | null;
  readonly startedAt: Date;
  readonly endedAt: Date | null;
  readonly mediaMs: number;
  readonly bytes: number;
  /** Number of the last receipt, and its hash. */
  readonly seq: number;
  readonly hash: string;
  readonly endReason: string | null;
}

/** The viewings of an account that have a receipt, newest first. */
export async function listUsage(db: Executor, accountId: string, page: Page): Promise<Usage[]> {
  const rows = await db
    .select({
      id: mediaSessions.id,
      orderId: tickets.orderId,
      uri: tickets.uri,
      titleName: titles.name,
      startedAtSeconds: mediaSessions.startedAtSeconds,
      endedAt: mediaSessions.endedAt,
      mediaMs: mediaSessions.mediaMs,
      bytes: mediaSessions.bytes,
      seq: mediaSessions.lastSeq,
      hash: mediaSessions.lastHash,
      endReason: mediaSessions.endReason,
    })
    .from(mediaSessions)
    .innerJoin(tickets, eq(tickets.jti, mediaSessions.ticketId))
    .innerJoin(orders, eq(orders.id, tickets.orderId))
    .leftJoin(titles, eq(titles.path, tickets.uri))
    .where(
      and(
        eq(orders.accountId, accountId),
        gt(mediaSessions.lastSeq, -1),
        page.after === undefined ? undefined : lt(mediaSessions.id, page.after),
        page.before === undefined ? undefined : gt(mediaSessions.id, page.before),
      ),
    )
    .orderBy(page.inverted ? asc(mediaSessions.id) : desc(mediaSessions.id))
    .limit(page.limit);
  return rows.map(({ startedAtSeconds, seq, hash, ...row }) => ({
    ...row,
    startedAt: new Date((startedAtSeconds ?? 0) * 1000),
    seq: seq ?? 0,
    hash: hash ?? '',
  }));
}
