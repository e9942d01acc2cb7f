/** Places at streaming servers: who has ordered finds room when he presses play. */
import { and, asc, eq, gt, inArray, lte, or, sql } from 'drizzle-orm';
import { Denial } from '../../plugin/errors.ts';
import type { Executor } from '../db/connect.ts';
import { mediaSessions, places, streamingServers, tickets } from '../db/schema.ts';
import type { CarryingServer, StreamingServer } from '../trust/servers.ts';

/** How long a place is kept for somebody who has ordered and not pressed play. */
export const PLACE_SECONDS = 300;

/** Room at a streaming server. */
export interface Room {
  /** Viewers at the same time; null: not limited. */
  readonly capacity: number | null;
  /** Viewings that run or are about to, and places that are kept for orders. */
  readonly taken: number;
  /** Null: not limited. */
  readonly free: number | null;
}

/** Room at each of the servers, those that are not registered left out. */
export async function roomAt(
  db: Executor,
  serverIds: readonly string[],
  nowMs: number,
): Promise<Map<string, Room>> {
  if (serverIds.length === 0) return new Map();
  const now = new Date(nowMs);
  const running = await db
    .select({ serverId: mediaSessions.serverId, count: sql<number>`count(*)`.mapWith(Number) })
    .from(mediaSessions)
    .where(
      and(
        inArray(mediaSessions.serverId, [...serverIds]),
        or(
          and(eq(mediaSessions.state, 'committed'), gt(mediaSessions.leaseUntil, now)),
          and(eq(mediaSessions.state, 'reserved'), gt(mediaSessions.reservedUntil, now)),
        ),
      ),
    )
    .groupBy(mediaSessions.serverId);
  const begun = db
    .select({ one: sql`1` })
    .from(tickets)
    .innerJoin(mediaSessions, eq(mediaSessions.ticketId, tickets.jti))
    .where(
      and(
        eq(tickets.orderId, places.orderId),
        // Of an order with tickets for many titles, the viewing that this place was kept for.
        sql`${mediaSessions.createdAt} >= ${places.until} - make_interval(secs => ${PLACE_SECONDS})`,
      ),
    );
  const kept = await db
    .select({ serverId: places.serverId, count: sql<number>`count(*)`.mapWith(Number) })
    .from(places)
    .where(and(inArray(places.serverId, [...serverIds]), gt(places.until, now), sql`not exists ${begun}`))
    .groupBy(places.serverId);
  const servers = await db
    .select({ id: streamingServers.id, capacity: streamingServers.capacity })
    .from(streamingServers)
    .where(inArray(streamingServers.id, [...serverIds]));
  return new Map(
    servers.map(({ id, capacity }) => {
      const taken = [...running, ...kept]
        .filter(({ serverId }) => serverId === id)
        .reduce((sum, { count }) => sum + count, 0);
      return [id, { capacity, taken, free: capacity === null ? null : Math.max(0, capacity - taken) }];
    }),
  );
}

/** The servers among them that have a capacity, locked until the transaction ends: places are given one at a time. */
async function lockLimited(tx: Executor, serverIds: readonly string[]): Promise<string[]> {
  const rows = await tx
    .select({ id: streamingServers.id })
    .from(streamingServers)
    .where(and(inArray(streamingServers.id, [...serverIds]), sql`${streamingServers.capacity} is not null`))
    .orderBy(asc(streamingServers.id))
    .for('no key update');
  return rows.map(({ id }) => id);
}

/**
 * Keeps a place for an order at one of the streaming servers that carry a title, until its viewing starts or
 * `PLACE_SECONDS` have passed. Call it late in the order's transaction: it holds the servers that have a capacity.
 * @param carrying as `serversOf` has read them in this transaction
 * @param orderId null keeps no place: whoever can order as often as he likes would keep them all.
 * @returns the servers that its ticket may name, the one with the place (or the most room) first.
 * @throws Denial `overloaded` when none carries the title, or all that do are full.
 */
export async function reserveCapacity(
  tx: Executor,
  carrying: readonly CarryingServer[],
  orderId: string | null,
  nowMs: number,
): Promise<StreamingServer[]> {
  if (carrying.length === 0)
    throw new Denial('overloaded', { detail: 'no streaming server carries this title' });
  const servers = carrying.map(({ server }) => server);
  // One that gets a capacity from here on is limited for the orders after this one.
  const known = carrying.filter(({ isLimited }) => isLimited).map(({ server }) => server.id);
  const limited = known.length === 0 ? [] : await lockLimited(tx, known);
  if (limited.length === 0) return servers;
  await tx.delete(places).where(and(inArray(places.serverId, limited), lte(places.until, new Date(nowMs))));
  const room = await roomAt(tx, limited, nowMs);
  const freeAt = ({ id }: StreamingServer): number => room.get(id)?.free ?? Infinity;
  const open = servers.filter((server) => freeAt(server) > 0).sort((a, b) => compare(freeAt(b), freeAt(a)));
  const [chosen] = open;
  if (chosen === undefined)
    throw new Denial('overloaded', { detail: 'every streaming server that carries this title is full' });
  if (orderId !== null && limited.includes(chosen.id)) {
    const until = new Date(nowMs + PLACE_SECONDS * 1000);
    await tx
      .insert(places)
      .values({ orderId, serverId: chosen.id, until })
      .onConflictDoUpdate({ target: [places.orderId, places.serverId], set: { until } });
  }
  return open;
}

/** Infinity less Infinity is no number. */
const compare = (a: number, b: number): number => (a === b ? 0 : a - b);

/** Gives an order's place back: nobody will press play. Idempotent. */
export async function returnPlaces(tx: Executor, orderId: string): Promise<void> {
  await tx.delete(places).where(eq(places.orderId, orderId));
}

/** How many may watch at a streaming server at the same time; null does not limit. @throws Denial `not_found`. */
export async function setCapacity(tx: Executor, serverId: string, capacity: number | null): Promise<void> {
  const [row] = await tx
    .update(streamingServers)
    .set({ capacity })
    .where(eq(streamingServers.id, serverId))
    .returning({ id: streamingServers.id });
  if (row === undefined) throw new Denial('not_found', { detail: 'server' });
}
