import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { accounts, streamingServers } from '../../admin/db/schema.ts';
import { MAX_CONNECTIONS_PER_SERVER, MAX_REPLAYED } from '../../admin/http/revocations.ts';
import { MAX_REVOCATIONS_PER_EVENT, revocationSchema, snapshotSchema } from '../../plugin/contract.ts';
import { generateSigningKey, type SigningKeyPair } from '../../plugin/ticket/index.ts';
import { feedToken, openFeed, type FeedReader } from '../support/feed.ts';
import { PUBLIC_URL, SERVER_ID, startOrderServer, type TestOrderServer } from '../support/order-server.ts';

let server: TestOrderServer;
let otherKey: SigningKeyPair;
let staff: string;
beforeAll(async () => {
  [server, otherKey] = await Promise.all([startOrderServer(), generateSigningKey()]);
  staff = await server.tokenOf('staff');
});
afterAll(() => server.close());

const readers: FeedReader[] = [];
afterEach(() => {
  for (const reader of readers.splice(0)) reader.close();
});

async function open(after: number | null = null): Promise<FeedReader> {
  const reader = await openFeed(server.url, await feedToken(server.serverKey, after ?? -1), after);
  readers.push(reader);
  return reader;
}

/** Revokes a key that nobody has: an entry of the feed like any other. Answers the key's thumbprint. */
async function revokeKey(): Promise<string> {
  const jkt = Buffer.from(randomUUID() + randomUUID())
    .toString('base64url')
    .slice(0, 43);
  const { codes } = await server.graphql(
    'mutation ($jkt: String!) { revokeProofKey(jkt: $jkt, reason: "test") { tickets } }',
    { jkt },
    staff,
  );
  expect(codes).toEqual([]);
  return jkt;
}

/** Entries as if they had been written by somebody else, alive for an hour. */
async function insert(count: number): Promise<void> {
  const [account] = await server.db.select({ id: accounts.id }).from(accounts).limit(1);
  await server.db.execute(sql`
    insert into revocations (id, seq, kind, value, until, reason, revoked_by, created_at)
    select gen_random_uuid(), (select coalesce(max(seq), 0) from revocations) + i, 'ticket', gen_random_uuid()::text,
      now() + interval '1 hour', 'test', ${account!.id}::uuid, now()
    from generate_series(1, ${count}) as i`);
}

const isHeartbeat = ({ event }: { event: string }) => event === 'heartbeat';

describe('the feed', () => {
  it('begins with a snapshot for who knows nothing, and lives', async () => {
    const [unsaid, said] = [await open(null), await open(-1)];
    for (const reader of [unsaid, said]) {
      await reader.find(isHeartbeat);
      const [first, second] = reader.events;
      expect(first).toMatchObject({ event: 'snapshot', id: first!.data.seq });
      expect(snapshotSchema.safeParse(first?.data).success).toBe(true);
      expect(second).toMatchObject({ event: 'heartbeat', data: { seq: first!.data.seq } });
    }
  });

  it('has a heartbeat each second, from one timer', async () => {
    const reader = await open();
    await reader.find(() => reader.events.filter(isHeartbeat).length >= 4);
    const [, second, third, fourth] = reader.events.filter(isHeartbeat);
    expect(third!.atMs - second!.atMs).toBeGreaterThan(800);
    expect(fourth!.atMs - second!.atMs).toBeLessThan(2500);
  });

  it('tells all readers of a revocation within a second of the request', async () => {
    const both = [await open(), await open()];
    for (const reader of both) await reader.find(isHeartbeat);
    const startedMs = performance.now();
    const jkt = await revokeKey();
    for (const reader of both) {
      const event = await reader.find(({ data }) => data.value === jkt);
      expect(event.event).toBe('revocation');
      expect(event.id).toBe(event.data.seq);
      expect(revocationSchema.parse(event.data)).toMatchObject({ kind: 'key', action: 'revoke' });
      expect(event.atMs - startedMs).toBeLessThan(1000);
    }
  });

  it('goes on where the reader was, without a gap and without a snapshot', async () => {
    const first = await open();
    const { data } = await first.find(isHeartbeat);
    first.close();
    const missed = [await revokeKey(), await revokeKey(), await revokeKey()];
    const again = await open(data.seq);
    await again.find(isHeartbeat);
    expect(again.events.map(({ event, data }) => [event, data.value])).toEqual([
      ...missed.map((value) => ['revocation', value]),
      ['heartbeat', undefined],
    ]);
    expect(again.events.map(({ id }) => id)).toEqual([1, 2, 3, 3].map((step) => data.seq + step));
  });

  it('gives a snapshot to who knows more than there is', async () => {
    const reader = await open(999_999);
    await reader.find(isHeartbeat);
    expect(reader.events[0]?.event).toBe('snapshot');
  });

  it('gives a snapshot in parts to who is too far behind', async () => {
    await revokeKey();
    const { data } = await (await open()).find(isHeartbeat);
    await insert(MAX_REPLAYED + 1);
    const reader = await open(data.seq);
    const last = await reader.find(({ event }) => event === 'snapshot');
    const parts = reader.events.filter(({ event }) => event.startsWith('snapshot'));
    const known = parts.flatMap((part) => part.data.revocations ?? []);
    expect(parts.slice(0, -1).every(({ event }) => event === 'snapshot-part')).toBe(true);
    for (const part of parts) {
      expect(part.data.seq).toBe(last.data.seq);
      expect(part.data.revocations!.length).toBeLessThanOrEqual(MAX_REVOCATIONS_PER_EVENT);
    }
    // The keys' entries are dead already: nothing is alive that they concern.
    expect(known).toHaveLength(MAX_REPLAYED + 1);
    expect(new Set(known.map(({ value }) => value)).size).toBe(known.length);
    expect(last.data.seq).toBe(data.seq + MAX_REPLAYED + 1);
  });

  it('replays what one who is a little behind has missed, in order', async () => {
    const { data } = await (await open()).find(isHeartbeat);
    await insert(3 * MAX_REVOCATIONS_PER_EVENT + 1);
    const reader = await open(data.seq);
    await reader.find(isHeartbeat);
    const seqs = reader.events.filter(({ event }) => event === 'revocation').map((event) => event.data.seq);
    expect(seqs).toEqual(
      Array.from({ length: 3 * MAX_REVOCATIONS_PER_EVENT + 1 }, (_, index) => data.seq + 1 + index),
    );
  });

  it('gives a snapshot to readers that have seen what a database after a failover has not', async () => {
    await insert(2);
    const reader = await open();
    const { data } = await reader.find(isHeartbeat);
    // The trigger refuses this to anybody but the owner of the table.
    await server.db.execute(sql`alter table revocations disable trigger revocations_append_only`);
    await server.db.execute(sql`delete from revocations where seq = ${data.seq}`);
    await server.db.execute(sql`alter table revocations enable trigger revocations_append_only`);
    const snapshot = await reader.find(
      ({ event, data: { seq } }) => event === 'snapshot' && seq === data.seq - 1,
    );
    expect(snapshot.data.revocations?.map(({ seq }) => seq)).not.toContain(data.seq);
    await reader.find((event) => isHeartbeat(event) && event.data.seq === data.seq - 1);
  });

  it(`holds ${String(MAX_CONNECTIONS_PER_SERVER)} connections of a server: one more ends the oldest`, async () => {
    const all: FeedReader[] = [];
    for (let count = 0; count <= MAX_CONNECTIONS_PER_SERVER; count++) all.push(await open());
    await all[0]!.ended;
    const jkt = await revokeKey();
    for (const reader of all.slice(1)) await reader.find(({ data }) => data.value === jkt);
  });

  it('cuts a reader that does not read, and lets nobody else wait for it', async () => {
    const stalled = await open();
    await stalled.find(isHeartbeat);
    stalled.stall();
    const other = await open();
    // Far more than the system holds for a socket.
    await insert(60_000);
    const jkt = await revokeKey();
    await other.find(({ data }) => data.value === jkt);
    const connections = async () =>
      /^usher_revocation_feed_connections (\d+)$/m.exec(
        await (await fetch(`${server.url}/metrics`)).text(),
      )?.[1];
    const before = Number(await connections());
    await expect.poll(connections, { timeout: 15_000, interval: 250 }).toBe(String(before - 1));
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  }, 60_000);
});

describe('the feed is refused', () => {
  const ask = async (init: RequestInit, query = '?after=-1') => {
    const response = await fetch(`${server.url}/v1/revocations${query}`, init);
    return { status: response.status, code: ((await response.json()) as { code: string }).code };
  };
  const bearer = (token: string): RequestInit => ({ headers: { authorization: `Bearer ${token}` } });
  const unsigned = () =>
    [
      { typ: 'revocations+jwt', alg: 'none', kid: 'x' },
      { iss: SERVER_ID, aud: PUBLIC_URL, after: -1 },
    ]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.') + '.';

  it.each<[string, () => Promise<string> | string, number, string]>([
    ['without a signature', unsigned, 400, 'request_malformed'],
    ['to a key that is not registered', () => feedToken(otherKey, -1), 401, 'server_untrusted'],
    [
      "to another key under the registered one's id",
      () => feedToken({ ...otherKey, kid: server.serverKey.kid }, -1),
      401,
      'server_untrusted',
    ],
    [
      'to a server that is not registered',
      () => feedToken(server.serverKey, -1, { iss: 'nobody' }),
      401,
      'server_untrusted',
    ],
    [
      'to a message for another order server',
      () => feedToken(server.serverKey, -1, { aud: 'https://other.example' }),
      401,
      'server_untrusted',
    ],
    [
      'to a message that is too old',
      () => feedToken(server.serverKey, -1, { clock: { nowMs: () => Date.now() - 66_000 } }),
      401,
      'server_untrusted',
    ],
    [
      'to a message of another kind',
      () => feedToken(server.serverKey, -1, { typ: 'receipts+jwt' }),
      400,
      'request_malformed',
    ],
    ['to a message that says something else', () => feedToken(server.serverKey, 7), 400, 'request_malformed'],
    [
      'to a message with more members',
      () => feedToken(server.serverKey, -1, { payload: { after: -1, extra: 1 } }),
      400,
      'request_malformed',
    ],
    ['to a message that is too long', () => 'a'.repeat(3000), 400, 'request_malformed'],
  ])('%s', async (_what, make, status, code) => {
    expect(await ask(bearer(await make()))).toEqual({ status, code });
  });

  it('to nobody, and to a session of a viewer', async () => {
    expect(await ask({})).toEqual({ status: 401, code: 'server_untrusted' });
    const viewer = bearer(await server.tokenOf('viewer'));
    expect(await ask(viewer)).toEqual({ status: 400, code: 'request_malformed' });
  });

  it('to the same message again', async () => {
    const token = await feedToken(server.serverKey, -1);
    readers.push(await openFeed(server.url, token, -1));
    expect(await ask(bearer(token))).toEqual({ status: 409, code: 'message_replayed' });
  });

  it.each(['x', '', '-2', '1.5', '1e3', '99999999999999999999', '01'])('after %j', async (text) => {
    const token = await feedToken(server.serverKey, 1);
    expect(await ask(bearer(token), `?after=${text}`)).toEqual({ status: 400, code: 'request_malformed' });
  });

  it.each(['POST', 'DELETE', 'HEAD'])('by %s', async (method) => {
    const response = await fetch(`${server.url}/v1/revocations`, { method });
    expect(response.status).toBe(405);
    await response.body?.cancel();
  });

  it('to a server whose registration is withdrawn, whatever is open', async () => {
    const reader = await open();
    await reader.find(isHeartbeat);
    const withdraw = (active: boolean) =>
      server.db.update(streamingServers).set({ active }).where(eq(streamingServers.id, SERVER_ID));
    await withdraw(false);
    expect((await ask(bearer(await feedToken(server.serverKey, -1)))).code).toBe('server_untrusted');
    const release = { op: 'release', session: randomUUID() };
    // Not after the 5 s for which its key is remembered: at once.
    expect((await server.send('/v1/redemptions', 'redemption+jwt', release)).status).toBe(401);
    await reader.ended;
    await withdraw(true);
  });
});
