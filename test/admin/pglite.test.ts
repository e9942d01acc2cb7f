import { sql } from 'drizzle-orm';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDatabase, type DatabaseHandle } from '../../admin/db/connect.ts';

let directory: string;
let database: DatabaseHandle;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'usher-pglite-'));
  database = await openDatabase({ kind: 'pglite', dataDirectory: directory });
});
afterAll(async () => {
  await database.close();
  await rm(directory, { recursive: true, force: true });
});

it('refuses a second opener, and names the setting', async () => {
  await expect(openDatabase({ kind: 'pglite', dataDirectory: directory })).rejects.toThrow(
    /open in another process.*USHER_DATA/,
  );
  await database.db.execute(sql`select 1`);
});

it('lets the next one in after a close, with everything still there', async () => {
  await database.db.execute(sql`create table kept (n int)`);
  await database.db.execute(sql`insert into kept values (42)`);
  await database.close();
  database = await openDatabase({ kind: 'pglite', dataDirectory: directory });
  expect(await database.db.execute(sql`select n from kept`)).toMatchObject([{ n: 42 }]);
});

it('does not stall the main thread while a query runs', async () => {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const startedMs = performance.now();
  await database.db.execute(sql`select count(*) from generate_series(1, 3000000) a where (a * 7) % 11 = 3`);
  const queryMs = performance.now() - startedMs;
  delay.disable();
  expect(queryMs).toBeGreaterThan(100);
  // The other tests share the processors: far less than the query is what counts.
  expect(delay.max / 1e6).toBeLessThan(queryMs / 2);
});

it('rolls a transaction back and goes on', async () => {
  await expect(
    database.db.transaction(async (tx) => {
      await tx.execute(sql`insert into kept values (43)`);
      throw new Error('changed my mind');
    }),
  ).rejects.toThrow('changed my mind');
  expect(await database.db.execute(sql`select n from kept`)).toHaveLength(1);
});

it('runs on the newest PostgreSQL, the SQL being that of the oldest', async () => {
  const [row] = await database.db.execute(sql`show server_version_num`);
  expect(Number(row?.['server_version_num'])).toBeGreaterThanOrEqual(150_000);
});
