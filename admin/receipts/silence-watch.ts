/** Looks again and again for sessions of which nothing is heard any more. */
import { sql } from 'drizzle-orm';
import { errorFields } from '../http/error-fields.ts';
import type { Services } from '../context.ts';
import { startSweeper, type Sweeper } from '../orders/sweeper.ts';
import { closeSilentSessions } from './silent.ts';

const PAUSE_MS = 10_000;
/** While this server, or its database, was away nothing could be heard: media servers are back within so long. */
const LISTEN_FIRST_MS = 60_000;

/** Closes sessions that went silent, from a minute after the start, or a sweep that failed, on. */
export function watchSilence(
  {
    db,
    clock,
    events,
    log,
  }: Pick<Services, 'db' | 'clock' | 'log'> & {
    readonly events: Pick<Services['events'], 'publish'>;
  },
  pauseMs = PAUSE_MS,
): Sweeper {
  let listeningSinceMs = clock.monotonicMs();
  async function sweep(): Promise<number> {
    let closed;
    try {
      if (clock.monotonicMs() - listeningSinceMs < LISTEN_FIRST_MS) {
        // The minute is one in which the database answered.
        await db.execute(sql`select 1`);
        return 0;
      }
      closed = await db.transaction((tx) => closeSilentSessions(tx, new Date(clock.nowMs())));
    } catch (error) {
      listeningSinceMs = clock.monotonicMs();
      throw error;
    }
    for (const { id: session, serverId: server } of closed)
      log.warn({ session, server }, 'nothing is heard of a session any more: it is closed');
    events.publish([
      ...closed.map(({ id }) => ({ kind: 'session', id }) as const),
      ...closed.map(({ orderId }) => ({ kind: 'order', id: orderId }) as const),
    ]);
    return closed.length;
  }
  return startSweeper(
    { sweep },
    (error) => log.error(errorFields(error), 'silent sessions cannot be read'),
    pauseMs,
  );
}
