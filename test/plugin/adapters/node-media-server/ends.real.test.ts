/** Whatever ends a viewing, media stops within a second: on every protocol, and for those who do not read too. */
import { createRequire } from 'node:module';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EndReason } from '../../../../plugin/contract.ts';
import { UNLIMITED_PLAY } from '../../../../plugin/rights/index.ts';
import type { Session } from '../../../../plugin/session.ts';
import { publishFlood, type Flood } from '../../../support/flood.ts';
import { COLUMNS, eventually, openReader, type Column, type Reader } from '../../../support/flv-readers.ts';
import { newPath, startGuardedNms, STREAM_KEY, type GuardedNms } from '../../../support/guarded-nms.ts';

const BITS_PER_SECOND = 2_000_000;
/** More than fits into what lies between server and viewer. */
const HEAVY_BITS_PER_SECOND = 12_000_000;
const ENDS_WITHIN_MS = 1000;
const STOPPED_MS = 2000;
/**
 * What the reader's own kernel has taken before the end cannot be taken back: on Linux's loopback device, whose segments
 * have 64 KiB, a megabyte and a quarter after the first two reads.
 */
const KERNEL_BYTES = 1.5 * 1024 * 1024;
const GRACE_SECONDS = 2;
const live = newPath();
let house: GuardedNms;
let flood: Flood;

const publish = (path: string, bitsPerSecond: number): Flood =>
  publishFlood(`http://127.0.0.1:${String(house.ports.http)}${path}.flv?key=${STREAM_KEY}`, bitsPerSecond);

const isOnAir = (path: string): boolean =>
  house.guard.streams().some(({ uri, health }) => uri === path && health.video !== null);

beforeAll(async () => {
  house = await startGuardedNms({
    guard: { graceSeconds: GRACE_SECONDS },
    nms: { auth: { play: false, publish: false, jwt: { secret: 'insecure-test-secret', users: [] } } },
  });
  flood = publish(live, BITS_PER_SECOND);
  await eventually(() => isOnAir(live));
});

afterAll(async () => {
  await flood.stop();
  await house.stop();
});

interface Watching {
  readonly column: Column;
  readonly reader: Reader;
  readonly session: Session;
}

type Claims = Parameters<GuardedNms['ticket']>[0];

async function watch(
  column: Column,
  claims: Claims = {},
  path = live,
  onAnswer: (reader: Reader) => void = () => undefined,
): Promise<Watching> {
  const held = await house.ticket({ uri: path, ...claims });
  const query = `pass=${await house.pass(path, held)}`;
  const reader = openReader(column, { ports: house.ports, path, query });
  const { code } = await reader.answer;
  onAnswer(reader);
  expect(code, column).toBeUndefined();
  const { jti } = decodeJwt(held.ticket);
  const session = await eventually(() => house.gate.sessions().find(({ grant }) => grant.ticketId === jti));
  return { column, reader, session };
}

const watchAll = (claims?: Claims): Promise<Watching[]> =>
  Promise.all(COLUMNS.map((column) => watch(column, claims)));

/** What a healthy reader is told. */
const FAREWELLS: Readonly<Record<string, { readonly rtmp: string; readonly webSocket: number }>> = {
  expired: { rtmp: 'NetStream.Play.Stop', webSocket: 4401 },
  kicked: { rtmp: 'NetStream.Play.Stop', webSocket: 4403 },
  revoked: { rtmp: 'NetStream.Play.Stop', webSocket: 4403 },
  exhausted: { rtmp: 'NetStream.Play.Stop', webSocket: 4403 },
  server_stopped: { rtmp: 'NetStream.Play.Stop', webSocket: 1001 },
  source_ended: { rtmp: 'NetStream.Play.UnpublishNotify', webSocket: 1000 },
};

async function expectEnd(
  { column, reader, session }: Watching,
  reason: EndReason,
  dueMs: number,
): Promise<void> {
  const { atMs, code, text } = await reader.ended;
  expect(await session.ended, column).toBe(reason);
  expect(atMs - dueMs, `${column}: its connection`).toBeLessThan(ENDS_WITHIN_MS);
  expect(reader.lastMediaMs() - dueMs, `${column}: its last byte`).toBeLessThan(ENDS_WITHIN_MS);
  expect(reader.mediaBytes(), column).toBeGreaterThan(0);
  const farewell = FAREWELLS[reason];
  if (column.startsWith('rtmp')) expect(code, column).toBe(farewell?.rtmp);
  if (column.startsWith('ws')) expect(code, column).toBe(farewell?.webSocket);
  // HTTP cannot say why, but it ends in order.
  if (column.startsWith('http') || column.startsWith('h2'))
    expect([code, text], column).toEqual([undefined, '']);
  if (column.startsWith('rtmp') || column.startsWith('ws')) expect(text, column).toContain(`${reason}: `);
  const receipt = house.sink.receipts.findLast((one) => one.session === session.id);
  expect(receipt, column).toMatchObject({ state: 'final', reason });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.concurrent('media ends within a second, and the viewer is told why', () => {
  test.each(['kicked', 'revoked', 'server_stopped'] as const)('%s', async (reason) => {
    const watching = await watchAll();
    await pause(500);
    const dueMs = performance.now();
    await Promise.all(watching.map(({ session }) => session.end(reason)));
    await Promise.all(watching.map((one) => expectEnd(one, reason, dueMs)));
  });

  test('expired', async () => {
    const expiresAt = Math.floor(Date.now() / 1000) + 4;
    const watching = await watchAll({ exp: expiresAt });
    const dueMs = performance.now() + expiresAt * 1000 - Date.now();
    await Promise.all(watching.map((one) => expectEnd(one, 'expired', dueMs)));
    for (const { reader } of watching) expect((await reader.ended).atMs).toBeGreaterThan(dueMs - 50);
  });

  test('kicked by node-media-server’s own admin API', async () => {
    const { sessions } = createRequire(import.meta.url)('node-media-server/src/core/context.js') as {
      sessions: ReadonlyMap<string, { readonly ip: string; readonly streamPath: string; close(): void }>;
    };
    const path = newPath();
    const other = publish(path, 500_000);
    await eventually(() => isOnAir(path));
    const watching = await Promise.all(COLUMNS.map((column) => watch(column, {}, path)));
    await eventually(() => watching.every(({ reader }) => reader.mediaBytes() > 0));
    const ids = [...sessions]
      .filter(([, { streamPath, ip }]) => streamPath === path && ip !== '')
      .map(([id]) => id);
    // One of them is the publisher's.
    expect(ids).toHaveLength(COLUMNS.length + 1);
    const players = ids.filter((id) => !(sessions.get(id) as { isPublisher?: boolean }).isPublisher);
    const dueMs = performance.now();
    // What `DELETE /api/v1/sessions/:id` does; the API itself is tried in admin-api.real.test.ts.
    for (const id of players) sessions.get(id)?.close();
    await Promise.all(watching.map((one) => expectEnd(one, 'kicked', dueMs)));
    await other.stop();
  });

  test('the seconds of the ticket are used up', async () => {
    const limited = await startLimited({ mediaMsLeft: 1500 });
    const startMs = performance.now();
    await Promise.all(limited.map((one) => expectEnd(one, 'exhausted', startMs + 1500)));
    for (const { session } of limited) {
      const receipt = house.sink.receipts.findLast((one) => one.session === session.id);
      expect(receipt?.mediaMs).toBeGreaterThanOrEqual(1400);
      expect(receipt?.mediaMs).toBeLessThan(1500 + ENDS_WITHIN_MS);
    }
  });

  test('the bytes of the ticket are used up', async () => {
    const bytesLeft = 500_000;
    const limited = await startLimited({ bytesLeft });
    await Promise.all(limited.map(({ reader }) => reader.ended));
    for (const { column, reader, session } of limited) {
      expect(await session.ended, column).toBe('exhausted');
      // It is looked at once a second, and the end may take another.
      expect(reader.mediaBytes()).toBeLessThan(bytesLeft + (BITS_PER_SECOND / 8) * 2.5);
    }
  });
});

/** Viewers of counted tickets; what is left of them applies to these only. */
async function startLimited(left: { mediaMsLeft?: number; bytesLeft?: number }): Promise<Watching[]> {
  const { reserve } = house.redemptions;
  const rights = { ...UNLIMITED_PLAY, accesses: left.mediaMsLeft ?? left.bytesLeft ?? 1 };
  const passes = await Promise.all(COLUMNS.map(() => house.ticket({ uri: live, rights })));
  limits.push({ accesses: rights.accesses, left });
  house.redemptions.reserve = async (session, attempt, ticket) => {
    const { accesses } = (decodeJwt(ticket) as { rights: { accesses: number } }).rights;
    const limit = limits.find((one) => one.accesses === accesses);
    return { ...(await reserve(session, attempt, ticket)), ...limit?.left };
  };
  return Promise.all(
    COLUMNS.map(async (column, index) => {
      const held = passes[index];
      if (held === undefined) throw new Error('no ticket');
      const reader = openReader(column, {
        ports: house.ports,
        path: live,
        query: `pass=${await house.pass(live, held)}`,
      });
      expect((await reader.answer).code, column).toBeUndefined();
      const { jti } = decodeJwt(held.ticket);
      const session = await eventually(() =>
        house.gate.sessions().find(({ grant }) => grant.ticketId === jti),
      );
      return { column, reader, session };
    }),
  );
}

const limits: { accesses: number; left: object }[] = [];

test('who does not read gets no more than what had arrived at his machine', async () => {
  const path = newPath();
  const heavy = publish(path, HEAVY_BITS_PER_SECOND);
  await eventually(() => isOnAir(path));
  // Stopped before their kernels have learned to keep megabytes for them.
  const watching = await Promise.all(
    COLUMNS.map((column) => watch(column, {}, path, (reader) => reader.pause())),
  );
  await pause(STOPPED_MS);
  const before = watching.map(({ reader }) => reader.mediaBytes());
  await Promise.all(watching.map(({ session }) => session.end('expired')));
  await pause(1000);
  for (const { reader } of watching) reader.resume();
  const readOnMs = performance.now();
  await Promise.all(watching.map(({ reader }) => reader.ended));
  const figures = watching.map(({ column, reader, session }, index) => {
    const receipt = house.sink.receipts.findLast((one) => one.session === session.id);
    const late = reader.mediaBytes() - (before[index] ?? 0);
    return { column, late, takenBack: (receipt?.bytes ?? 0) - reader.mediaBytes() };
  });
  console.info('read after the end by who had not read, and taken back, in bytes', figures);
  for (const { column, late, takenBack } of figures) {
    expect(late, column).toBeLessThan(KERNEL_BYTES);
    // HTTP/2 asks before it sends; elsewhere the system had taken it all, and it would have been delivered.
    if (column !== 'h2-flv') expect(takenBack, column).toBeGreaterThan(1024 * 1024);
  }
  for (const { column, reader } of watching) {
    expect(reader.lastMediaMs() - readOnMs, column).toBeLessThan(ENDS_WITHIN_MS);
  }
  await heavy.stop();
});

describe.concurrent('the publisher goes', () => {
  test('for good: viewers are told when the grace time is over', async () => {
    const path = newPath();
    const publisher = publish(path, 500_000);
    await eventually(() => isOnAir(path));
    const watching = await Promise.all(COLUMNS.map((column) => watch(column, {}, path)));
    await eventually(() => watching.every(({ reader }) => reader.mediaBytes() > 0));
    await publisher.stop();
    const goneMs = performance.now();
    await Promise.all(watching.map((one) => expectEnd(one, 'source_ended', goneMs + GRACE_SECONDS * 1000)));
    for (const { reader } of watching) {
      expect((await reader.ended).atMs - goneMs).toBeGreaterThan(GRACE_SECONDS * 1000 - 100);
    }
  });

  test('and comes back in time: viewers go on', async () => {
    const path = newPath();
    const publisher = publish(path, 500_000);
    await eventually(() => isOnAir(path));
    const watching = await Promise.all(COLUMNS.map((column) => watch(column, {}, path)));
    await eventually(() => watching.every(({ reader }) => reader.messages.length > 10));
    await publisher.stop();
    await pause(500);
    const back = publish(path, 500_000);
    const seen = watching.map(({ reader }) => reader.messages.length);
    await eventually(() =>
      watching.every(({ reader }, index) => reader.messages.length > (seen[index] ?? 0) + 25),
    );
    for (const { session } of watching) expect(session.isEnded()).toBe(false);
    await Promise.all(watching.map(({ session }) => session.end('completed')));
    await back.stop();
  });
});
