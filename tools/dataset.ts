/**
 * `node tools/dataset.ts [--scale 0.01] [--measure]`: fills the database of DATABASE_URL with 20,000 accounts, 1,000
 * titles, 200,000 orders and 1,000,000 receipts, or a part of them; goes on where it was interrupted. With --measure,
 * how long each list of the API takes, and what it reads from end to end.
 */
import { drizzle } from 'drizzle-orm/postgres-js';
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { migrateDatabase } from '../admin/db/migrate.ts';
import { preparing } from '../admin/db/prepare.ts';
import * as schema from '../admin/db/schema.ts';
import { fillDataset, RECEIPTS_PER_ORDER, sizesOf } from './dataset/fill.ts';
import { listQueries, tablesScannedWhole } from './dataset/lists.ts';

const { values } = parseArgs({
  options: { scale: { type: 'string', default: '1' }, measure: { type: 'boolean' } },
});
const scale = Number(values.scale);
const url = process.env['DATABASE_URL'];
if (!(scale > 0 && scale <= 1) || url === undefined || url === '') {
  console.error('usage: DATABASE_URL=postgres://... node tools/dataset.ts [--scale 0.01] [--measure]');
  process.exit(2);
}

const REPETITIONS = 100;

const sql = preparing(postgres(url, { max: 1, onnotice: () => undefined }));
try {
  await migrateDatabase(sql);
  const sizes = sizesOf(scale);
  const startedMs = performance.now();
  await fillDataset(sql, sizes, (orders) => {
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    console.log(`${seconds} s: ${String(orders)} orders, ${String(orders * RECEIPTS_PER_ORDER)} receipts`);
  });
  if (values.measure === true) {
    const [ids] = await sql<{ accountId: string; titleId: string }[]>`
      select account_id as "accountId", title_id as "titleId" from orders where buyer = 'dataset' limit 1`;
    if (ids === undefined) throw new Error('there are no orders');
    const db = drizzle(sql, { schema });
    for (const query of listQueries(ids)) {
      const tookMs: number[] = [];
      for (let count = 0; count < REPETITIONS; count++) {
        const beginMs = performance.now();
        await query.run(db);
        tookMs.push(performance.now() - beginMs);
      }
      const p95Ms = tookMs.sort((a, b) => a - b)[Math.floor(REPETITIONS * 0.95)] ?? 0;
      const whole = await tablesScannedWhole(sql, query);
      console.log(
        `${query.name}: p95 ${p95Ms.toFixed(1)} ms${whole.length > 0 ? `, scans ${whole.join(', ')}` : ''}`,
      );
    }
  }
} finally {
  await sql.end();
}
