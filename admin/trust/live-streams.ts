/** What is on the air, as the streaming servers report it: for operators, and for the catalog. */
import { and, asc, eq, exists, gt, inArray, notExists, or, sql, type SQL } from 'drizzle-orm';
import type { PublisherHealth, StreamStatus } from '../../plugin/contract.ts';
import type { Executor } from '../db/connect.ts';
import { serverStreams, streamingServers, titles, titleServers } from '../db/schema.ts';

export interface LiveStream {
  /** Stream path. */
  readonly path: string;
  readonly onAirSince: Date;
  readonly viewers: number;
  readonly health: PublisherHealth;
  readonly reportedAt: Date;
}

/** A server reports every 10 s while anything is on the air; an older report says nothing about now. */
const FRESH_MS = 30_000;

const freshAt = (nowMs: number) => gt(serverStreams.reportedAt, new Date(nowMs - FRESH_MS));

/** Puts a server's report in the place of its last one. Run it in a transaction of its own. */
export async function replaceStreams(
  tx: Executor,
  serverId: string,
  streams: readonly StreamStatus[],
  nowMs: number,
): Promise<void> {
  // One report at a time: two that arrive together must not both insert after both have deleted.
  await tx
    .select({ id: streamingServers.id })
    .from(streamingServers)
    .where(eq(streamingServers.id, serverId))
    .for('no key update');
  await tx.delete(serverStreams).where(eq(serverStreams.serverId, serverId));
  if (streams.length === 0) return;
  await tx.insert(serverStreams).values(
    streams.map(({ uri, onAirSince, viewers, health }) => ({
      serverId,
      uri,
      report: health,
      onAirSince: new Date(onAirSince * 1000),
      viewers,
      reportedAt: new Date(nowMs),
    })),
  );
}

/** What each of the servers has on the air, by path. */
export async function listLiveStreams(
  db: Executor,
  serverIds: readonly string[],
  nowMs: number,
): Promise<Map<string, LiveStream[]>> {
  const found = new Map<string, LiveStream[]>(serverIds.map((id) => [id, []]));
  const rows = await db
    .select({
      serverId: serverStreams.serverId,
      path: serverStreams.uri,
      onAirSince: serverStreams.onAirSince,
      viewers: serverStreams.viewers,
      health: serverStreams.report,
      reportedAt: serverStreams.reportedAt,
    })
    .from(serverStreams)
    .where(and(inArray(serverStreams.serverId, [...serverIds]), freshAt(nowMs)))
    .orderBy(asc(serverStreams.uri));
  for (const { serverId, ...stream } of rows) found.get(serverId)?.push(stream);
  return found;
}

/** Holds for rows of `titles` that are on the air at a server that carries them. */
export function isOnAir(db: Executor, nowMs: number): SQL {
  const named = db
    .select({ one: sql`1` })
    .from(titleServers)
    .where(eq(titleServers.titleId, titles.id));
  const namesIt = db
    .select({ one: sql`1` })
    .from(titleServers)
    .where(and(eq(titleServers.titleId, titles.id), eq(titleServers.serverId, serverStreams.serverId)));
  return exists(
    db
      .select({ one: sql`1` })
      .from(serverStreams)
      .innerJoin(streamingServers, eq(streamingServers.id, serverStreams.serverId))
      .where(
        and(
          eq(serverStreams.uri, titles.path),
          eq(streamingServers.active, true),
          freshAt(nowMs),
          or(notExists(named), exists(namesIt)),
        ),
      ),
  );
}

/** Which titles are on the air at a server that carries them. */
export async function findOnAir<T extends { readonly id: string }>(
  db: Executor,
  list: readonly T[],
  nowMs: number,
): Promise<Map<T, boolean>> {
  const ids = list.map(({ id }) => id);
  const rows = await db
    .select({ id: titles.id })
    .from(titles)
    .where(and(inArray(titles.id, ids), isOnAir(db, nowMs)));
  const onAir = new Set(rows.map(({ id }) => id));
  return new Map(list.map((title) => [title, onAir.has(title.id)]));
}
