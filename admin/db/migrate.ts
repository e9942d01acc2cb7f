import { drizzle } from 'drizzle-orm/postgres-js';
import { migrate } from 'drizzle-orm/postgres-js/migrator';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Sql } from 'postgres';

/** "usher" in ASCII; any number of processes may start at once, one of them migrates. */
const LOCK_ID = 0x7573686572;

/** The folder of the generated SQL, seen from the source and from the build. */
function migrationsFolder(): string {
  for (const relative of ['../../migrations/', '../../../migrations/']) {
    const folder = fileURLToPath(new URL(relative, import.meta.url));
    if (existsSync(`${folder}meta/_journal.json`)) return folder;
  }
  throw new Error('the migrations folder is missing');
}

/** Brings the tables up to date. `client` must have one connection (`max: 1`): the lock belongs to its session. */
export async function migrateDatabase(client: Sql): Promise<void> {
  await client`select pg_advisory_lock(${LOCK_ID})`;
  try {
    await migrate(drizzle(client), { migrationsFolder: migrationsFolder() });
  } finally {
    await client`select pg_advisory_unlock(${LOCK_ID})`;
  }
}
