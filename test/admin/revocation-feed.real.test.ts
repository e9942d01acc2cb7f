/** Two order servers on one PostgreSQL, and one as a process of its own. */
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../plugin/clock.ts';
import {
  generateSealingKey,
  generateSigningKey,
  hashStreamKey,
  signServerMessage,
} from '../../plugin/ticket/index.ts';
import { createOrderServer, type OrderServer } from '../../admin/server.ts';
import { silentLog } from '../support/doubles.ts';
import { feedToken, openFeed, type FeedEvent } from '../support/feed.ts';
import {
  PUBLIC_URL,
  SERVER_ID,
  startOrderServer,
  testConfig,
  type TestOrderServer,
} from '../support/order-server.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

let postgres: TestPostgres;
let one: TestOrderServer;
let other: OrderServer;
const startOther = () =>
  createOrderServer(testConfig(one.dataDir, { databaseUrl: postgres.url }), silentLog, systemClock);

beforeAll(async () => {
  postgres = await startPostgres();
  one = await startOrderServer({ databaseUrl: postgres.url });
  other = await startOther();
});
afterAll(async () => {
  await other.close();
  await one.close();
  await postgres.stop();
});

const isHeartbeat = ({ event }: FeedEvent) => event === 'heartbeat';
const open = async (url: string, after: number) =>
  openFeed(url, await feedToken(one.serverKey, after), after);

async function revokeKey(): Promise<string> {
  const jkt = (randomUUID() + randomUUID()).replaceAll('-', '').slice(0, 43);
  const { codes } = await one.graphql(
    'mutation ($jkt: String!) { revokeProofKey(jkt: $jkt, reason: "test") { tickets } }',
    { jkt },
    await one.tokenOf('staff'),
  );
  expect(codes).toEqual([]);
  return jkt;
}

function p99(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.ceil(values.length * 0.99) - 1] ?? Number.NaN;
}

it('tells the readers of both processes, each within a second: 40 revocations', async () => {
  const readers = await Promise.all([open(one.url, -1), open(other.url, -1)]);
  for (const reader of readers) await reader.find(isHeartbeat);
  const latencies: number[][] = [[], []];
  for (let count = 0; count < 40; count++) {
    const startedMs = performance.now();
    const jkt = await revokeKey();
    for (const [index, reader] of readers.entries()) {
      const { atMs } = await reader.find(({ data }) => data.value === jkt);
      latencies[index]!.push(atMs - startedMs);
    }
  }
  const [own, others] = latencies.map(p99);
  expect(own).toBeLessThan(500);
  expect(others).toBeLessThan(1000);
  // What comes is the same, in the same order.
  const seen = readers.map((reader) =>
    reader.events.filter(({ event }) => event === 'revocation').map(({ data }) => data),
  );
  expect(seen[0]).toHaveLength(40);
  expect(seen[1]).toEqual(seen[0]);
  for (const reader of readers) reader.close();
});

it('gives a reader what it missed when its order server was started again, or from the other one', async () => {
  const reader = await open(other.url, -1);
  const { data } = await reader.find(isHeartbeat);
  await other.close();
  await reader.ended;
  const missed = await revokeKey();
  other = await startOther();
  for (const url of [other.url, one.url]) {
    const again = await open(url, data.seq);
    expect((await again.find(({ event }) => event === 'revocation')).data.value).toBe(missed);
    again.close();
  }
});

it('takes a message in one process only, whichever it is', async () => {
  const payload = {
    op: 'publish',
    session: randomUUID(),
    uri: '/live/demo',
    keyHash: hashStreamKey(one.demo.streamKey),
  };
  const options = { iss: SERVER_ID, aud: PUBLIC_URL, key: one.serverKey, clock: systemClock } as const;
  const post = async (url: string, path: string, jws: string) =>
    (await fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/jose' }, body: jws }))
      .status;
  const messages: [string, string][] = [
    ['/v1/redemptions', await signServerMessage({ typ: 'redemption+jwt', payload, ...options })],
    ...(await Promise.all(
      ['commit', 'release'].map(async (op): Promise<[string, string]> => {
        const message = { op, session: randomUUID() };
        return [
          '/v1/redemptions',
          await signServerMessage({ typ: 'redemption+jwt', payload: message, ...options }),
        ];
      }),
    )),
  ];
  for (const [path, jws] of messages) {
    const statuses = await Promise.all(
      Array.from({ length: 20 }, (_, index) => post(index % 2 === 0 ? one.url : other.url, path, jws)),
    );
    expect(statuses.filter((status) => status !== 409)).toHaveLength(1);
  }
  const token = await feedToken(one.serverKey, -1);
  (await openFeed(one.url, token, -1)).close();
  await expect(openFeed(other.url, token, -1)).rejects.toThrow('409');
});

it('ends within 2 s as a process, whoever reads the feed', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'usher-feed-'));
  const [serverKey, sealingKey] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  const file = join(dataDir, 'server.json');
  const registration = {
    id: SERVER_ID,
    publicUrl: 'http://localhost:4001',
    signingKey: serverKey.publicJwk,
    sealingKey: sealingKey.publicJwk,
  };
  await writeFile(file, JSON.stringify(registration));
  const child = fork(fileURLToPath(new URL('../../admin/main.ts', import.meta.url)), {
    env: {
      PATH: process.env['PATH'],
      USHER_DATA: dataDir,
      USHER_LOG_LEVEL: 'silent',
      USHER_PORT: '0',
      USHER_PUBLIC_URL: PUBLIC_URL,
      USHER_DEMO: '1',
      USHER_DEMO_SERVER: file,
    },
  });
  const [{ url }] = (await once(child, 'message')) as [{ url: string }];
  const readers = await Promise.all(
    Array.from({ length: 8 }, async () => openFeed(url, await feedToken(serverKey, -1), -1)),
  );
  for (const reader of readers) await reader.find(isHeartbeat);
  readers[0]?.stall();
  const exit = once(child, 'exit');
  const startedMs = performance.now();
  child.kill('SIGTERM');
  expect((await exit)[0]).toBe(0);
  expect(performance.now() - startedMs).toBeLessThan(2000);
  await Promise.all(readers.slice(1).map((reader) => reader.ended));
  await rm(dataDir, { recursive: true, force: true });
});

it('has no heartbeat while the database cannot be read: silence says that something may be missing', async () => {
  const reader = await open(one.url, -1);
  await reader.find(isHeartbeat);
  await postgres.stop();
  await expect.poll(async () => (await fetch(`${one.url}/readyz`)).status, { timeout: 10_000 }).toBe(503);
  const last = reader.events.filter(isHeartbeat).length;
  await new Promise((resolve) => setTimeout(resolve, 3500));
  // At most the one that was due when the database went.
  expect(reader.events.filter(isHeartbeat).length - last).toBeLessThanOrEqual(1);
  await expect(open(one.url, -1)).rejects.toThrow('503');
  reader.close();
});
