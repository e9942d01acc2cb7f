/** Which streaming servers carry titles, how the titles do there, and what room there is. For staff. */
import { asc, inArray } from 'drizzle-orm';
import type { Executor } from '../db/connect.ts';
import { streamingServers, titleServers } from '../db/schema.ts';
import { listLiveStreams, type LiveStream } from '../trust/live-streams.ts';
import { roomAt, type Room } from './capacity.ts';

/** A streaming server that carries a title. */
export interface TitleServer {
  readonly id: string;
  /** False once staff have deactivated it. */
  readonly active: boolean;
  readonly room: Room;
  /** The title's stream there; null while it is off the air. */
  readonly stream: LiveStream | null;
}

const NO_ROOM: Room = { capacity: null, taken: 0, free: null };

/** The servers of titles, in as many queries as for one. */
export async function findTitleServers<T extends { readonly id: string; readonly path: string }>(
  db: Executor,
  list: readonly T[],
  nowMs: number,
): Promise<Map<T, TitleServer[]>> {
  const named = await db
    .select({ titleId: titleServers.titleId, serverId: titleServers.serverId })
    .from(titleServers)
    .where(
      inArray(
        titleServers.titleId,
        list.map(({ id }) => id),
      ),
    );
  const servers = await db
    .select({ id: streamingServers.id, active: streamingServers.active })
    .from(streamingServers)
    .orderBy(asc(streamingServers.id));
  const ids = servers.map(({ id }) => id);
  const [streams, room] = [await listLiveStreams(db, ids, nowMs), await roomAt(db, ids, nowMs)];
  return new Map(
    list.map((title) => {
      const own = named.filter(({ titleId }) => titleId === title.id).map(({ serverId }) => serverId);
      const carrying = servers.filter(({ id, active }) => (own.length === 0 ? active : own.includes(id)));
      return [
        title,
        carrying.map(({ id, active }) => ({
          id,
          active,
          room: room.get(id) ?? NO_ROOM,
          stream: streams.get(id)?.find(({ path }) => path === title.path) ?? null,
        })),
      ];
    }),
  );
}
