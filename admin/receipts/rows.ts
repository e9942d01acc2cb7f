/** Rows that a batch of receipts reads and writes: each statement takes the whole batch, however long it is. */
import { eq, inArray, sql, type SQL } from 'drizzle-orm';
import type { Receipt } from '../../plugin/contract.ts';
import type { Executor } from '../db/connect.ts';
import { mediaSessions, offers, orders, receiptBatches, tickets, titles } from '../db/schema.ts';
import { newId } from '../ids.ts';
import type { OrderState } from '../orders/states.ts';
import { LEASE_SECONDS } from '../tickets/redeem.ts';
import { splitByPeriod } from '../usage/periods.ts';
import type { SessionTail, TicketFacts } from './judge.ts';
import { SILENT } from './silent.ts';

/** A ticket with what its usage is counted for. */
export interface CountedTicket extends TicketFacts {
  readonly orderId: string;
  readonly accountId: string | null;
  readonly titleId: string | null;
  readonly orderState: OrderState;
  /** True when its seconds or bytes are limited: its sessions have leases. */
  readonly hasBudget: boolean;
}

/** What is known of a session; and whether it was closed because nothing was heard of it. */
export interface StoredTail extends SessionTail {
  readonly wasSilent: boolean;
}

/** A receipt that is being stored, and its hash. */
export interface Taken {
  readonly receipt: Receipt;
  readonly hash: string;
}

/** One parameter, however many rows: the planner sees a small table. */
const table = (rows: readonly object[]): SQL => sql`jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)`;
const moment = (date: Date): SQL => sql`${date.toISOString()}::timestamptz`;

export async function lockTickets(
  tx: Executor,
  jtis: readonly string[],
): Promise<Map<string, CountedTicket>> {
  // Sorted: two batches over the same tickets lock them in the same order.
  const rows = await tx
    .select({
      jti: tickets.jti,
      uri: tickets.uri,
      audience: tickets.audience,
      issuedAt: tickets.issuedAt,
      rights: tickets.rights,
      orderId: tickets.orderId,
      orderState: orders.state,
      accountId: orders.accountId,
      // Of a path that has been given to another title since, the offer knows better; that of a category does not.
      titleId: sql<string>`coalesce(${offers.titleId}, ${titles.id}, ${orders.titleId})`,
    })
    .from(tickets)
    .innerJoin(orders, eq(orders.id, tickets.orderId))
    .leftJoin(offers, eq(offers.id, orders.offerId))
    .leftJoin(titles, eq(titles.path, tickets.uri))
    .where(inArray(tickets.jti, [...jtis]))
    .orderBy(tickets.jti)
    .for('update', { of: tickets });
  return new Map(
    rows.map(({ issuedAt, rights, ...row }) => [
      row.jti,
      {
        ...row,
        issuedAtSeconds: Math.floor(issuedAt.getTime() / 1000),
        tier: rights.tier,
        hasBudget: rights.seconds !== null || rights.bytes !== null,
      },
    ]),
  );
}

export async function findTails(tx: Executor, sessions: readonly string[]): Promise<Map<string, StoredTail>> {
  const rows = await tx
    .select({
      id: mediaSessions.id,
      ticketId: mediaSessions.ticketId,
      serverId: mediaSessions.serverId,
      state: mediaSessions.state,
      startedAtSeconds: mediaSessions.startedAtSeconds,
      lastSeq: mediaSessions.lastSeq,
      lastHash: mediaSessions.lastHash,
      lastAtSeconds: mediaSessions.lastAtSeconds,
      mediaMs: mediaSessions.mediaMs,
      bytes: mediaSessions.bytes,
      endReason: mediaSessions.endReason,
    })
    .from(mediaSessions)
    .where(inArray(mediaSessions.id, [...sessions]));
  return new Map(
    rows.map(({ id, endReason, ...tail }) => [id, { ...tail, wasSilent: endReason === SILENT }]),
  );
}

/** Hashes of those receipts of a batch that are stored already, by session and number. */
export async function findKnownHashes(tx: Executor, batch: readonly Receipt[]): Promise<Map<string, string>> {
  const keys = batch.map(({ session, seq }) => ({ session, seq }));
  const rows = await tx.execute<{ session: string; seq: number; hash: string }>(sql`
    select k.session, k.seq, r.hash from ${table(keys)} as k(session uuid, seq integer)
    join receipts r on r.session_id = k.session and r.seq = k.seq`);
  return new Map(rows.map(({ session, seq, hash }) => [`${session} ${seq}`, hash]));
}

/** The batch as it came, and its new receipts; sessions that were not heard of before begin. */
export async function insertReceipts(
  tx: Executor,
  batch: { readonly serverId: string; readonly jws: string },
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
      .map(({ receipt }) => [receipt.session, receipt.ticket]),
  );
  if (fresh.size > 0) {
    await tx.insert(mediaSessions).values(
      [...fresh].map(([id, ticketId]) => ({
        id,
        ticketId,
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
  const rows = taken.map(({ receipt, hash }) => ({
    session: receipt.session,
    seq: receipt.seq,
    ticket: receipt.ticket,
    hash,
    body: receipt,
  }));
  await tx.execute(sql`
    insert into receipts (session_id, seq, ticket_id, batch_id, hash, body, stored_at)
    select session, seq, ticket, ${batchId}::uuid, hash, body, ${moment(now)}
    from ${table(rows)} as r(session uuid, seq integer, ticket uuid, hash text, body jsonb)`);
}

/** Sessions as their last receipts leave them; the lease of those that go on is renewed. */
export async function updateSessions(
  tx: Executor,
  tails: readonly (SessionTail & { readonly session: string; readonly reason: string | null })[],
  now: Date,
): Promise<void> {
  const leaseUntil = new Date(now.getTime() + LEASE_SECONDS * 1000);
  await tx.execute(sql`
    update media_sessions s set
      state = r.state, started_at_seconds = r."startedAtSeconds", last_seq = r."lastSeq", last_hash = r."lastHash",
      last_at_seconds = r."lastAtSeconds", media_ms = r."mediaMs", bytes = r.bytes, reserved_until = null,
      lease_until = case when r.state = 'ended' then null else ${moment(leaseUntil)} end,
      ended_at = case when r.state = 'ended' then ${moment(now)} end, end_reason = r.reason
    from ${table(tails)} as r(session uuid, state text, "startedAtSeconds" bigint, "lastSeq" integer,
      "lastHash" text, "lastAtSeconds" bigint, "mediaMs" bigint, bytes bigint, reason text)
    where s.id = r.session`);
}

/** What a receipt has added to its session. */
export interface Delta {
  readonly receipt: Receipt;
  readonly ticket: CountedTicket;
  /** Time of the receipt before, or the session's start. Unix seconds. */
  readonly fromSeconds: number;
  readonly mediaMs: number;
  readonly bytes: number;
}

interface PeriodRow {
  readonly session: string;
  readonly startsAt: string;
  readonly order: string;
  readonly account: string | null;
  readonly title: string | null;
  mediaMs: number;
  bytes: number;
}

function periodsOf(deltas: readonly Delta[]): PeriodRow[] {
  const rows = new Map<string, PeriodRow>();
  for (const { receipt, ticket, fromSeconds, mediaMs, bytes } of deltas) {
    const added = { fromMs: fromSeconds * 1000, untilMs: receipt.at * 1000, mediaMs, bytes };
    for (const part of splitByPeriod(added)) {
      const startsAt = new Date(part.startsAtMs).toISOString();
      const key = `${receipt.session} ${startsAt}`;
      const row = rows.get(key);
      if (row === undefined) {
        rows.set(key, {
          session: receipt.session,
          startsAt,
          order: ticket.orderId,
          account: ticket.accountId,
          title: ticket.titleId,
          mediaMs: part.mediaMs,
          bytes: part.bytes,
        });
      } else {
        row.mediaMs += part.mediaMs;
        row.bytes += part.bytes;
      }
    }
  }
  return [...rows.values()];
}

/** Adds what was used to the tickets and to the periods that reports are made of. */
export async function addUsage(tx: Executor, serverId: string, deltas: readonly Delta[]): Promise<void> {
  const added = deltas.filter(({ mediaMs, bytes }) => mediaMs > 0 || bytes > 0);
  if (added.length === 0) return;
  const rows = added.map(({ receipt, mediaMs, bytes }) => ({ ticket: receipt.ticket, mediaMs, bytes }));
  await tx.execute(sql`
    update tickets t set media_ms_used = t.media_ms_used + r.media_ms, bytes_used = t.bytes_used + r.bytes
    from (select ticket, sum("mediaMs")::bigint as media_ms, sum(bytes)::bigint as bytes
      from ${table(rows)} as u(ticket uuid, "mediaMs" bigint, bytes bigint) group by ticket) r
    where t.jti = r.ticket`);
  await tx.execute(sql`
    insert into usage_periods (session_id, starts_at, order_id, account_id, title_id, server_id, media_ms, bytes)
    select session, "startsAt", "order", account, title, ${serverId}, "mediaMs", bytes
    from ${table(periodsOf(added))} as r(session uuid, "startsAt" timestamptz, "order" uuid, account uuid,
      title uuid, "mediaMs" bigint, bytes bigint)
    on conflict (session_id, starts_at) do update
    set media_ms = usage_periods.media_ms + excluded.media_ms, bytes = usage_periods.bytes + excluded.bytes`);
}
