/**
 * Leases: each session has a part of its ticket's seconds and bytes to itself, so that sessions on several servers use
 * no more together than there is. The arithmetic is in the database (migrations/0015_leases.sql).
 */
import { sql } from 'drizzle-orm';
import type { Lease, Receipt } from '../../plugin/contract.ts';
import type { Executor } from '../db/connect.ts';

/** bigint comes as text. */
interface Row extends Record<string, unknown> {
  readonly session_id: string;
  readonly media_ms: string | null;
  readonly bytes: string | null;
}

const numberOrNull = (text: string | null): number | null => (text === null ? null : Number(text));

/**
 * What the sessions of a batch may use from now on, of those that go on and whose tickets have budgets.
 * @param tickets those of the batch, whose rows are locked
 */
export async function extendLeases(
  tx: Executor,
  serverId: string,
  batch: readonly Pick<Receipt, 'session' | 'ticket'>[],
  tickets: ReadonlyMap<string, { readonly hasBudget: boolean }>,
  nowMs: number,
): Promise<Lease[]> {
  const limited = batch.filter(({ ticket }) => tickets.get(ticket)?.hasBudget === true);
  if (limited.length === 0) return [];
  const pairs = JSON.stringify(limited.map(({ session, ticket }) => ({ session, ticket })));
  const rows = await tx.execute<Row>(sql`
    select session_id, media_ms, bytes
    from extend_leases(${pairs}::text::jsonb, ${serverId}, ${new Date(nowMs).toISOString()}::timestamptz)`);
  return rows.map(({ session_id: session, media_ms: mediaMs, bytes }) => ({
    session,
    mediaMsLeft: numberOrNull(mediaMs),
    bytesLeft: numberOrNull(bytes),
  }));
}
