import { drizzle } from 'drizzle-orm/postgres-js';
import { migrate } from 'drizzle-orm/postgres-js/migrator';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Sql } from 'postgres';
import { z } from 'zod';

/** "usher" in ASCII; any number of processes may start at once, one of them migrates. */
const LOCK_ID = 0x7573686572;

const journalSchema = z.object({ entries: z.array(z.object({ when: z.number(), tag: z.string() })).min(1) });

/** The folder of the generated SQL, seen from the source and from the build. */
function migrationsFolder(): string {
  for (const relative of ['../../migrations/', '../../../migrations/']) {
    const folder = fileURLToPath(new URL(relative, import.meta.url));
    if (existsSync(`${folder}meta/_journal.json`)) return folder;
  }
  throw new Error('the migrations folder is missing');
}

/** When the newest migration of this version was made; Unix milliseconds, and what migrations are ordered by. */
export function newestMigrationMs(): number {
  return (newestMs ??= Math.max(
    ...journalSchema
      .parse(JSON.parse(readFileSync(`${migrationsFolder()}meta/_journal.json`, 'utf8')))
      .entries.map(({ when }) => when),
  ));
}

let newestMs: number | undefined;

/** The newest migration that a database has had, 0 for none. */
async function appliedMs(client: Sql): Promise<number> {
  const [found] = await client<{ table: string | null }[]>`
    select to_regclass('drizzle.__drizzle_migrations')::text as table`;
  if (found?.table === null || found === undefined) return 0;
  const [row] = await client<{ newest: string | null }[]>`
    select max(created_at)::text as newest from drizzle.__drizzle_migrations`;
  return Number(row?.newest ?? 0);
}

/**
 * Brings the tables up to date. `client` must have one connection (`max: 1`): the lock belongs to its session.
 * @throws Error when the tables are those of a newer version: what it has written, this one could misread
 */
export async function migrateDatabase(client: Sql): Promise<void> {
  await client`select pg_advisory_lock(${LOCK_ID})`;
  try {
    if ((await appliedMs(client)) > newestMigrationMs()) {
      throw new Error('the database belongs to a newer version of usher; start that version');
    }
    await migrate(drizzle(client), { migrationsFolder: migrationsFolder() });
  } finally {
    await client`select pg_advisory_unlock(${LOCK_ID})`;
  }
}
