import { sql } from 'drizzle-orm';
import type { Executor } from './connect.ts';
import { newestMigrationMs } from './migrate.ts';

/** True while the tables are as this version has made them: another process may have migrated them since. */
export async function hasOwnSchema(db: Executor): Promise<boolean> {
  const [row] = await db.execute<{ newest: string | null }>(
    sql`select max(created_at)::text as newest from drizzle.__drizzle_migrations`,
  );
  return Number(row?.newest ?? 0) === newestMigrationMs();
}
