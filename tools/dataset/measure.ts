/** How long the lists take: of one dataset, or of two in turn. */
import { drizzle } from 'drizzle-orm/postgres-js';
import type { Sql } from 'postgres';
import * as schema from '../../admin/db/schema.ts';
import { listQueries, type ListQuery } from './lists.ts';

/** Before the first that counts: until then the code is compiled, plans are made, and pages read. */
const WARM_UP = 50;
const REPETITIONS = 400;

/** Each list as something to run, and what it took in milliseconds. */
async function listsOf(sql: Sql): Promise<{ query: ListQuery; run: () => Promise<number> }[]> {
  const [ids] = await sql<{ accountId: string; titleId: string }[]>`
    select account_id as "accountId", title_id as "titleId" from orders where buyer = 'dataset' limit 1`;
  if (ids === undefined) throw new Error('there are no orders');
  const db = drizzle(sql, { schema });
  return listQueries(ids).map((query) => ({
    query,
    run: async () => {
      const beginMs = performance.now();
      await query.run(db);
      return performance.now() - beginMs;
    },
  }));
}

/** A list, and the 95th percentile of its time in each dataset. */
export interface Measured {
  readonly query: ListQuery;
  readonly p95Ms: readonly number[];
}

const p95 = (tookMs: readonly number[]): number =>
  tookMs.toSorted((a, b) => a - b)[Math.floor(tookMs.length * 0.95)] ?? 0;

/**
 * Runs each list many times: on every dataset in turn, the first one changing, so that what else the machine does falls
 * on all alike.
 * @param datasets one connection (`max: 1`) each
 */
export async function* measureLists(datasets: readonly Sql[]): AsyncGenerator<Measured> {
  const lists = await Promise.all(datasets.map(listsOf));
  for (const [at, { query }] of lists[0]?.entries() ?? []) {
    const same = lists
      .flatMap((own) => own.slice(at, at + 1))
      .map(({ run }) => ({ run, tookMs: [] as number[] }));
    for (let count = 0; count < WARM_UP + REPETITIONS; count++) {
      for (const { run, tookMs } of count % 2 === 0 ? same : same.toReversed()) {
        const took = await run();
        if (count >= WARM_UP) tookMs.push(took);
      }
    }
    yield { query, p95Ms: same.map(({ tookMs }) => p95(tookMs)) };
  }
}
