import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import { join } from 'node:path';
import postgres from 'postgres';
import type { Channel } from '../events/port.ts';
import { survivingLosses } from './lost-connections.ts';
import { migrateDatabase } from './migrate.ts';
import { startPglite } from './pglite.ts';
import { preparing } from './prepare.ts';
import * as schema from './schema.ts';

export type { Executor } from './executor.ts';

export type Database = PostgresJsDatabase<typeof schema> & { readonly $client: postgres.Sql };

export interface DatabaseHandle {
  readonly db: Database;
  /** What the processes on one database hear each other by; `null` for the embedded one, which has one process. */
  readonly channel: Channel | null;
  close(): Promise<void>;
}

export type DatabaseLocation =
  | { readonly kind: 'postgres'; readonly url: string }
  /** PGlite under `dataDirectory`/pg; `null` keeps everything in memory. */
  | { readonly kind: 'pglite'; readonly dataDirectory: string | null };

const OPTIONS = {
  onnotice: () => undefined,
  connect_timeout: 10,
  connection: { application_name: 'usher' },
} as const;

/**
 * Opens the database and brings its tables up to date.
 * @throws Error when it can't be reached, or another process has the embedded one open.
 */
export async function openDatabase(location: DatabaseLocation): Promise<DatabaseHandle> {
  if (location.kind === 'postgres') {
    await using migrating = disposable(postgres(location.url, { ...OPTIONS, max: 1 }));
    await migrateDatabase(migrating.client);
    const client = preparing(survivingLosses(postgres(location.url, { ...OPTIONS, max: 10 })));
    return {
      db: drizzle(client, { schema }),
      channel: channelOf(client),
      close: () => client.end({ timeout: 2 }),
    };
  }
  const directory = location.dataDirectory === null ? null : join(location.dataDirectory, 'pg');
  const server = await startPglite(directory);
  // One connection: PGlite is one session, in which statements of two connections would mix.
  const client = postgres({
    ...OPTIONS,
    path: server.socketPath,
    username: 'postgres',
    database: 'postgres',
    max: 1,
  });
  try {
    await migrateDatabase(client);
  } catch (error) {
    await client.end({ timeout: 1 });
    await server.close();
    throw error;
  }
  return {
    db: drizzle(client, { schema }),
    channel: null,
    close: async () => {
      await client.end({ timeout: 2 });
      await server.close();
    },
  };
}

const CHANNEL = 'usher_events';

/** LISTEN has a connection of its own, which postgres.js opens again when it is lost. */
function channelOf(client: postgres.Sql): Channel {
  return {
    notify: async (text) => {
      await client.notify(CHANNEL, text);
    },
    listen: async (onText, onOpen) => {
      await client.listen(CHANNEL, onText, onOpen);
    },
  };
}

function disposable(client: postgres.Sql): AsyncDisposable & { client: postgres.Sql } {
  return { client, [Symbol.asyncDispose]: () => client.end({ timeout: 2 }) };
}

/** True if `error` (or what caused it) is the database's refusal with this SQLSTATE, of this constraint if named. */
export function isSqlState(error: unknown, code: string, constraint?: string): boolean {
  for (
    let cause: unknown = error, depth = 0;
    cause instanceof Error && depth < 5;
    cause = cause.cause, depth++
  ) {
    if (cause instanceof postgres.PostgresError && cause.code === code) {
      return constraint === undefined || cause.constraint_name === constraint;
    }
  }
  return false;
}
