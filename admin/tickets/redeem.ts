/**
 * Counted rights. The decisions are functions in the database (migrations/0015_leases.sql; to release,
 * 0005_revocation_rules.sql): one statement each, so that no row stays locked while a network is waited for.
 */
import { sql, type SQL } from 'drizzle-orm';
import type { Redeemed } from '../../plugin/contract.ts';
import { Denial, type Code } from '../../plugin/errors.ts';
import type { Executor } from '../db/connect.ts';
import type { MessageUse } from '../trust/messages.ts';

/** An uncommitted reservation gives its access back after this. */
export const RESERVATION_SECONDS = 30;
/** A session without receipts for this long no longer counts as running. */
export const LEASE_SECONDS = 30;

/** The composite type `redemption`; bigint comes as text. */
interface Row extends Record<string, unknown> {
  readonly refusal: Code | null;
  readonly detail: string | null;
  readonly session_id: string;
  readonly window_ends_at_seconds: string | null;
  readonly media_ms_left: string | null;
  readonly bytes_left: string | null;
}

const COLUMNS = sql.raw(
  'refusal, detail, session_id, media_ms_left, bytes_left, ' +
    'floor(extract(epoch from window_ends_at))::bigint as window_ends_at_seconds',
);

const moment = (atMs: number): SQL => sql`${new Date(atMs).toISOString()}::timestamptz`;
const numberOrNull = (text: string | null): number | null => (text === null ? null : Number(text));

async function decide(db: Executor, call: SQL): Promise<Redeemed> {
  const [row] = await db.execute<Row>(sql`select ${COLUMNS} from ${call}`);
  if (row === undefined) throw new Error('the database made no decision');
  if (row.refusal !== null) {
    throw new Denial(row.refusal, row.detail === null ? {} : { detail: row.detail });
  }
  return {
    session: row.session_id,
    expiresAt: numberOrNull(row.window_ends_at_seconds),
    mediaMsLeft: numberOrNull(row.media_ms_left),
    bytesLeft: numberOrNull(row.bytes_left),
    leaseSeconds: LEASE_SECONDS,
  };
}

export interface ReserveRequest {
  readonly session: string;
  readonly attempt: string | null;
  /** `jti` of the ticket, which has been verified. */
  readonly ticketId: string;
  /** The streaming server that asks. */
  readonly serverId: string;
}

/**
 * What asks for a change; the same statement marks it as used. `undefined` where it has been marked already.
 * @throws Denial `message_replayed`, `server_untrusted` (withdrawn) from the calls that take one.
 */
export type Asking = MessageUse | undefined;

/**
 * Takes one access for a session until it is committed, released, or 30 s have passed. The same session, or the
 * same attempt, gets the same answer again; for an attempt it names the session of the first time.
 * @throws Denial `ticket_untrusted`, `ticket_wrong_audience`, `ticket_revoked`, `ticket_expired`, `rights_exhausted`,
 *   `rights_concurrency`, `conflict` (the session is over, or another ticket's or server's).
 */
export function reserve(
  db: Executor,
  request: ReserveRequest,
  nowMs: number,
  asking?: Asking,
): Promise<Redeemed> {
  const { session, attempt, ticketId, serverId } = request;
  const until = moment(nowMs + RESERVATION_SECONDS * 1000);
  return decide(
    db,
    sql`reserve_access(${ticketId}::uuid, ${session}::uuid, ${attempt}::uuid, ${serverId}, ${moment(nowMs)}, ${until}, ${asking?.id ?? null})`,
  );
}

/**
 * Keeps the access: the first media byte has left. The first commit of a ticket with a window fixes its end. A
 * commit after the reservation has lapsed takes the access again if one is left. Idempotent.
 * @throws Denial `session_ended` (unknown, released, ended or kicked), `ticket_revoked`, and as `reserve` when nothing
 *   is left.
 */
export function commit(
  db: Executor,
  session: string,
  serverId: string,
  nowMs: number,
  asking?: Asking,
): Promise<Redeemed> {
  const leaseUntil = moment(nowMs + LEASE_SECONDS * 1000);
  return decide(
    db,
    sql`commit_access(${session}::uuid, ${serverId}, ${moment(nowMs)}, ${leaseUntil}, ${asking?.id ?? null})`,
  );
}

/**
 * Gives the access back: no media was sent. Idempotent; a session that was committed keeps its access.
 * @throws Denial `session_ended` when the session is unknown.
 */
export async function release(
  db: Executor,
  session: string,
  serverId: string,
  nowMs: number,
  asking?: Asking,
): Promise<void> {
  await decide(
    db,
    sql`release_access(${session}::uuid, ${serverId}, ${moment(nowMs)}, ${asking?.id ?? null})`,
  );
}
