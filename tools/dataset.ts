/**
 * `node tools/dataset.ts [--scale 0.01] [--measure [--beside URL]]`: fills the database of DATABASE_URL with 20,000 accounts,
 * 1,000 titles, 200,000 orders and 1,000,000 receipts, or a part of them; goes on where it was interrupted. With
 * --measure, how long each list of the API takes, and what it reads from end to end; with --beside, in turn with the same
 * list of another database that was filled before, such as with 1% of it.
 */
import { parseArgs } from 'node:util';
import postgres from 'postgres';
import { migrateDatabase } from '../admin/db/migrate.ts';
import { preparing } from '../admin/db/prepare.ts';
import { fillDataset, RECEIPTS_PER_ORDER, sizesOf } from './dataset/fill.ts';
import { tablesScannedWhole } from './dataset/lists.ts';
import { measureLists } from './dataset/measure.ts';

const { values } = parseArgs({
  options: {
    scale: { type: 'string', default: '1' },
    measure: { type: 'boolean' },
    beside: { type: 'string' },
  },
});
const scale = Number(values.scale);
const url = process.env['DATABASE_URL'];
if (!(scale > 0 && scale <= 1) || url === undefined || url === '') {
  console.error(
    'usage: DATABASE_URL=postgres://... node tools/dataset.ts [--scale 0.01] [--measure [--beside postgres://...]]',
  );
  process.exit(2);
}

const connect = (to: string) => preparing(postgres(to, { max: 1, onnotice: () => undefined }));

const sql = connect(url);
const beside = values.beside === undefined ? [] : [connect(values.beside)];
try {
  await migrateDatabase(sql);
  const sizes = sizesOf(scale);
  const startedMs = performance.now();
  await fillDataset(sql, sizes, (orders) => {
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    console.log(`${seconds} s: ${String(orders)} orders, ${String(orders * RECEIPTS_PER_ORDER)} receipts`);
  });
  if (values.measure === true) {
    for await (const { query, p95Ms } of measureLists([sql, ...beside])) {
      const [own = 0, other] = p95Ms;
      const whole = await tablesScannedWhole(sql, query);
      const ratio = other === undefined ? '' : `, beside ${other.toFixed(2)} ms: ${(own / other).toFixed(2)}`;
      console.log(
        `${query.name}: p95 ${own.toFixed(2)} ms${ratio}${whole.length > 0 ? `; scans ${whole.join(', ')}` : ''}`,
      );
    }
  }
} finally {
  await Promise.all([sql, ...beside].map((each) => each.end()));
}
