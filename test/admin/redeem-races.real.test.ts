/** Several processes on one PostgreSQL redeem the same ticket at the same time. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDatabase, type DatabaseHandle } from '../../admin/db/connect.ts';
import type { Rights } from '../../plugin/rights/index.ts';
import { createTestOffer, createWorld, orderOffer, START_MS, type World } from '../support/databases.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import type { RaceResult, RaceTask } from '../support/racer.ts';

const RACER = fileURLToPath(new URL('../support/racer.ts', import.meta.url));
const PROCESSES = 4;
const LAPSED_MS = START_MS + 30_000;

interface Racer {
  readonly child: ChildProcess;
  run(task: RaceTask): Promise<RaceResult>;
}

let postgres: TestPostgres;
let database: DatabaseHandle;
let world: World;
let racers: Racer[];

async function startRacer(): Promise<Racer> {
  const child = fork(RACER, [postgres.url]);
  await once(child, 'message');
  return {
    child,
    async run(task) {
      child.send(task);
      const [result] = (await once(child, 'message')) as [RaceResult];
      return result;
    },
  };
}

beforeAll(async () => {
  postgres = await startPostgres();
  database = await openDatabase({ kind: 'postgres', url: postgres.url });
  world = await createWorld(database.db);
  racers = await Promise.all(Array.from({ length: PROCESSES }, startRacer));
});
afterAll(async () => {
  const gone = racers.map(({ child }) => once(child, 'exit'));
  for (const { child } of racers) child.disconnect();
  await Promise.all(gone);
  await database.close();
  await postgres.stop();
});

async function sell(rights: Partial<Rights>): Promise<string> {
  const offer = await createTestOffer(world, { rights });
  return (await orderOffer(world, offer.id)).issued.jti;
}

/** The same in every process at once; the results together. */
async function together(task: RaceTask): Promise<RaceResult> {
  const results = await Promise.all(racers.map((racer) => racer.run(task)));
  const refused: Record<string, number> = {};
  for (const result of results) {
    for (const [code, times] of Object.entries(result.refused)) refused[code] = (refused[code] ?? 0) + times;
  }
  return {
    granted: results.flatMap(({ granted }) => granted),
    refused,
    held: results.flatMap(({ held }) => held),
  };
}

const EACH = 1000 / PROCESSES;

it.each([1, 2, 7, 100])('of 1,000 redemptions of %i accesses, exactly so many win', async (accesses) => {
  const ticketId = await sell({ accesses });
  const { granted, refused } = await together({ op: 'reserve', ticketId, count: EACH, nowMs: START_MS });
  expect(new Set(granted).size).toBe(accesses);
  expect(refused).toEqual({ rights_exhausted: 1000 - accesses });
});

it.each([1, 3])('never lets more than %i sessions run at the same time', async (concurrent) => {
  const ticketId = await sell({ concurrent });
  const { granted, refused, held } = await together({ op: 'hold', ticketId, count: 10, nowMs: START_MS });
  const changes = held
    .flatMap(([from, to]) => [
      { at: BigInt(from), by: 1 },
      { at: BigInt(to), by: -1 },
    ])
    .sort((a, b) => (a.at === b.at ? a.by - b.by : a.at < b.at ? -1 : 1));
  let running = 0;
  let most = 0;
  for (const { by } of changes) {
    running += by;
    most = Math.max(most, running);
  }
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(concurrent);
  // What was released was taken again, and somebody was refused.
  expect(granted.length).toBeGreaterThan(concurrent);
  expect(Object.keys(refused)).toEqual(['rights_concurrency']);
});

it('answers one attempt that all processes repeat with one session, and takes one access', async () => {
  const ticketId = await sell({ accesses: 2 });
  const task = { op: 'attempt', ticketId, count: 50, nowMs: START_MS, id: randomUUID() } as const;
  const { granted, refused } = await together(task);
  expect(granted).toHaveLength(50 * PROCESSES);
  expect(new Set(granted).size).toBe(1);
  expect(refused).toEqual({});
  const rest = await together({ op: 'reserve', ticketId, count: 25, nowMs: START_MS });
  expect(rest.granted).toHaveLength(1);
});

it('gives the access of a process that was killed between reserve and commit back, once', async () => {
  const ticketId = await sell({ accesses: 1 });
  const victim = await startRacer();
  const { granted } = await victim.run({ op: 'reserve', ticketId, count: 1, nowMs: START_MS });
  expect(granted).toHaveLength(1);
  victim.child.kill('SIGKILL');
  await once(victim.child, 'exit');
  const before = await together({ op: 'reserve', ticketId, count: 25, nowMs: LAPSED_MS - 1 });
  expect(before.granted).toHaveLength(0);
  const after = await together({ op: 'reserve', ticketId, count: 25, nowMs: LAPSED_MS });
  expect(after.granted).toHaveLength(1);
});

it('lets a late commit and a new reservation not both have the last access', async () => {
  for (let round = 0; round < 20; round++) {
    const ticketId = await sell({ accesses: 1 });
    const [first, ...others] = racers as [Racer, ...Racer[]];
    const { granted } = await first.run({ op: 'reserve', ticketId, count: 1, nowMs: START_MS });
    const results = await Promise.all([
      first.run({ op: 'commit', ticketId, count: 1, nowMs: LAPSED_MS, id: granted[0]! }),
      ...others.map((racer) => racer.run({ op: 'reserve', ticketId, count: 1, nowMs: LAPSED_MS })),
    ]);
    expect(results.flatMap((result) => result.granted)).toHaveLength(1);
  }
});
