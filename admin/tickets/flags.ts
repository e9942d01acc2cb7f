/** What streaming servers have noticed about tickets, for staff to judge: a flag by itself refuses nobody. */
import { and, asc, desc, eq, gt, inArray, lt, sql } from 'drizzle-orm';
import { Denial } from '../../plugin/errors.ts';
import type { Page } from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { ticketFlags, tickets } from '../db/schema.ts';
import { newId } from '../ids.ts';

export interface TicketFlag {
  readonly id: string;
  /** `jti`. */
  readonly ticketId: string;
  readonly what: 'proof_replayed';
  /** How often it was reported; a streaming server reports a ticket at most once a minute. */
  readonly times: number;
  readonly firstAt: Date;
  readonly lastAt: Date;
  /** The streaming server that reported it last. */
  readonly serverId: string;
}

const COLUMNS = {
  id: ticketFlags.id,
  ticketId: ticketFlags.ticketId,
  what: ticketFlags.what,
  times: ticketFlags.times,
  firstAt: ticketFlags.firstAt,
  lastAt: ticketFlags.lastAt,
  serverId: ticketFlags.serverId,
};

const MAX_TIMES = 2 ** 31 - 1;

/**
 * Notes what a streaming server reports of a ticket: once per ticket and kind, with how often and when last.
 * @throws Denial `ticket_untrusted` (unknown), `ticket_wrong_audience` (not for that server).
 */
export async function flagTicket(
  db: Executor,
  report: Pick<TicketFlag, 'ticketId' | 'what' | 'serverId'>,
  now: Date,
): Promise<void> {
  const [ticket] = await db
    .select({ audience: tickets.audience })
    .from(tickets)
    .where(eq(tickets.jti, report.ticketId));
  if (ticket === undefined) throw new Denial('ticket_untrusted', { detail: 'jti' });
  if (!ticket.audience.includes(report.serverId)) {
    throw new Denial('ticket_wrong_audience', { detail: 'aud' });
  }
  await db
    .insert(ticketFlags)
    .values({ ...report, id: newId(), times: 1, firstAt: now, lastAt: now })
    .onConflictDoUpdate({
      target: [ticketFlags.ticketId, ticketFlags.what],
      set: {
        times: sql`least(${ticketFlags.times}::bigint + 1, ${MAX_TIMES})`,
        lastAt: sql`greatest(${ticketFlags.lastAt}, excluded.last_at)`,
        serverId: report.serverId,
      },
    });
}

/** Flags, the newest first seen first. */
export function listFlags(db: Executor, page: Page): Promise<TicketFlag[]> {
  return db
    .select(COLUMNS)
    .from(ticketFlags)
    .where(
      and(
        page.after === undefined ? undefined : lt(ticketFlags.id, page.after),
        page.before === undefined ? undefined : gt(ticketFlags.id, page.before),
      ),
    )
    .orderBy(page.inverted ? asc(ticketFlags.id) : desc(ticketFlags.id))
    .limit(page.limit);
}

/** The flags of some tickets. */
export async function findFlags(
  db: Executor,
  ticketIds: readonly string[],
): Promise<ReadonlyMap<string, TicketFlag[]>> {
  const rows = await db
    .select(COLUMNS)
    .from(ticketFlags)
    .where(inArray(ticketFlags.ticketId, [...ticketIds]))
    .orderBy(asc(ticketFlags.id));
  const empty = new Map<string, TicketFlag[]>(ticketIds.map((id) => [id, []]));
  return new Map([...empty, ...Map.groupBy(rows, ({ ticketId }) => ticketId)]);
}
