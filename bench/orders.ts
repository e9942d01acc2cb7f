/**
 * Orders to tickets on PostgreSQL, beside pgbench running the very statements of one of our orders against the same
 * server: what is left of the database's speed when pricing, signing and sealing are paid for.
 */
import { execFile } from 'node:child_process';
import { availableParallelism, tmpdir } from 'node:os';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openDatabase } from '../admin/db/connect.ts';
import { findPostgresBinaries, startPostgres } from '../test/support/postgres.ts';
import { compared, interleave, type Bench, type Figure } from './harness.ts';
import { createOrdersWorld, recordOrder, type OrdersWorld, type Statement } from './orders-world.ts';

const run = promisify(execFile);
/** Connections of each side; as many as the order server has. */
const CONNECTIONS = 10;
/** Two replicas need cores of their own beside the database. */
const CORES_FOR_REPLICAS = 4;
const WORKER = fileURLToPath(new URL('./orders-worker.ts', import.meta.url));

/** A value as pgbench leaves it alone: it takes every colon with a letter or digit behind it for a variable. */
function literal(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text =
    value instanceof Date ? value.toISOString() : Array.isArray(value) ? arrayOf(value) : String(value);
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll(':', '\\x3a')}'`;
}

const arrayOf = (list: readonly unknown[]): string =>
  `{${list.map((item) => JSON.stringify(item)).join(',')}}`;

/**
 * One order as a script: what was the order's own (ids, the idempotency key) is new in each run, and the customer is
 * one of many, as on the other side.
 */
export function pgbenchScript(
  statements: readonly Statement[],
  world: OrdersWorld,
  recordedFor: string,
): string {
  const constants = new Set<unknown>(world.constants);
  const own = new Map<string, string>();
  const isOwn = (value: unknown): value is string =>
    typeof value === 'string' && /^[0-9a-f-]{36}$/.test(value) && !constants.has(value);
  const parameter = (value: unknown): string => {
    if (value === recordedFor) return ':customer';
    if (value === `account:${recordedFor}`) return `('account\\x3a' || :customer)`.replace("'a", "E'a");
    if (!isOwn(value)) return literal(value);
    const name = own.get(value) ?? `own${String(own.size)}`;
    own.set(value, name);
    return `:${name}`;
  };
  const body = statements.map(
    ({ text, values }) =>
      `${text.replace(/\$(\d+)/g, (_, at: string) => parameter(values[Number(at) - 1]))};`,
  );
  const ids = [...own.values()].map((name) => `gen_random_uuid() as ${name}`);
  return [
    `\\set nth random(1, ${String(world.customers.length)})`,
    `select id as customer, ${ids.join(', ')} from bench_customers where nth = :nth \\gset`,
    'begin;',
    ...body,
    'commit;',
    '',
  ].join('\n');
}

async function pgbench(url: string, script: string, seconds: number): Promise<number> {
  const args = [
    '-n',
    '-M',
    'prepared',
    '-c',
    String(CONNECTIONS),
    '-j',
    '2',
    '-T',
    String(seconds),
    '-f',
    script,
    url,
  ];
  const { stdout } = await run(join(await findPostgresBinaries(), 'pgbench'), args);
  const failed = /number of failed transactions: ([1-9]\d*)/.exec(stdout);
  const tps = /^tps = ([\d.]+)/m.exec(stdout)?.[1];
  if (failed !== null || tps === undefined) throw new Error(`pgbench: ${stdout}`);
  return Number(tps);
}

/** Orders a second of so many replicas together. */
async function replicas(count: number, fixture: string, seconds: number): Promise<number> {
  const runs = Array.from({ length: count }, () =>
    run(process.execPath, [WORKER, fixture, String(seconds), String(CONNECTIONS)]),
  );
  const figures = (await Promise.all(runs)).map(({ stdout }) => Number(stdout));
  return figures.reduce((sum, figure) => sum + figure, 0);
}

async function measure(progress: (line: string) => void, quick: boolean): Promise<Figure[]> {
  const [pairs, seconds] = quick ? [2, 3] : [9, 10];
  const cluster = await startPostgres();
  const directory = await mkdtemp(join(tmpdir(), 'usher-bench-'));
  try {
    const database = await openDatabase({ kind: 'postgres', url: cluster.url });
    const world = await createOrdersWorld(database.db);
    const { statements, customerId } = await recordOrder(cluster.url, world);
    await database.close();
    const [script, fixture] = [join(directory, 'order.sql'), join(directory, 'world.json')];
    await writeFile(script, pgbenchScript(statements, world, customerId));
    await writeFile(fixture, JSON.stringify({ url: cluster.url, ...world }));
    const one = () => replicas(1, fixture, seconds);
    await one();
    const beside = await interleave(pairs, one, () => pgbench(cluster.url, script, seconds), progress);
    const two = await interleave(pairs, () => replicas(2, fixture, seconds), one, progress);
    const hasCores = availableParallelism() >= CORES_FOR_REPLICAS;
    return [
      compared('order to ticket, beside the SQL alone', 'orders/s', beside.a, beside.b, { atLeast: 0.3 }),
      compared(
        hasCores ? 'two replicas beside one' : 'two replicas beside one (too few cores to judge)',
        'orders/s',
        two.a,
        two.b,
        ...(hasCores ? [{ atLeast: 1.5 }] : []),
      ),
    ];
  } finally {
    await rm(directory, { recursive: true, force: true });
    await cluster.stop();
  }
}

export const bench: Bench = {
  name: 'orders',
  what: 'orders paid from the balance, each with its ticket, on PostgreSQL; no HTTP',
  run: measure,
};
