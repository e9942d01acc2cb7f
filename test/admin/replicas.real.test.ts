import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDatabase } from '../../admin/db/connect.ts';
import { createEventPort, type ServerEvent } from '../../admin/events/port.ts';
import { startOrderServer, type TestOrderServer } from '../support/order-server.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { buy, createOffer, offersOf } from '../support/shop.ts';

let postgres: TestPostgres;
let one: TestOrderServer;
let other: TestOrderServer;
beforeAll(async () => {
  postgres = await startPostgres();
  // At once: one of them migrates, the others wait for it.
  const location = { kind: 'postgres', url: postgres.url } as const;
  const opened = await Promise.all([openDatabase(location), openDatabase(location), openDatabase(location)]);
  for (const database of opened) await database.close();
  one = await startOrderServer({ databaseUrl: postgres.url });
  other = await startOrderServer({ databaseUrl: postgres.url });
});
afterAll(async () => {
  await Promise.all([one.close(), other.close()]);
  await postgres.stop();
});

const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

it('who signs in at one order server orders at the other, and is signed out at both', async () => {
  const { data } = await one.graphql(
    'mutation { signIn(email: "viewer@example.com", password: "demo-viewer-1") { token } }',
  );
  const token = String(data!['signIn']!['token']);
  const offer = [...(await offersOf(other.url, '/live/demo')).values()].find(
    ({ price }) => price.amountMinor > 0,
  )!;
  await buy(other.url, offer.id, token);
  const orders = '{ me { orders(first: 1) { edges { node { price { amountMinor } } } } } }';
  const paid = { me: { orders: { edges: [{ node: { price: offer.price } }] } } };
  expect((await one.graphql(orders, {}, token)).data).toMatchObject(paid);
  await other.graphql('mutation { signOut }', {}, token);
  expect((await one.graphql('{ me { id } }', {}, token)).data).toEqual({ me: null });
});

it('a version that is older than the database does not start', async () => {
  await one.db.execute(
    sql`insert into drizzle.__drizzle_migrations (hash, created_at) values ('later', 9999999999999)`,
  );
  await expect(openDatabase({ kind: 'postgres', url: postgres.url })).rejects.toThrow(
    'the database belongs to a newer version of usher',
  );
  await one.db.execute(sql`delete from drizzle.__drizzle_migrations where hash = 'later'`);
});

it('events come again after their connection was lost, and the gap is told', async () => {
  const database = await openDatabase({ kind: 'postgres', url: postgres.url });
  try {
    const events = await createEventPort(database.channel, silent);
    const id = '01900000-0000-7000-8000-000000000001';
    const seen: ServerEvent[] = [];
    let onSeen = (): void => undefined;
    const gap = Promise.withResolvers<undefined>();
    events.subscribe({
      onEvents: (list) => {
        seen.push(...list);
        onSeen();
      },
      onGap: () => {
        gap.resolve(undefined);
      },
    });
    const arrival = () => new Promise<void>((resolve) => (onSeen = resolve));
    let arrived = arrival();
    events.publish([{ kind: 'order', id }]);
    await arrived;
    await one.db.execute(
      sql`select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%' and pid <> pg_backend_pid()`,
    );
    await gap.promise;
    arrived = arrival();
    events.publish([{ kind: 'session', id }]);
    await arrived;
    expect(seen).toContainEqual({ kind: 'session', id });
  } finally {
    await database.close();
  }
});

it('a thousand events at once come in as few texts as they fit in, each of them once', async () => {
  const database = await openDatabase({ kind: 'postgres', url: postgres.url });
  try {
    const texts: string[] = [];
    const { channel } = database;
    if (channel === null) throw new Error('no channel');
    const counted = { ...channel, notify: (text: string) => channel.notify((texts.push(text), text)) };
    const events = await createEventPort(counted, silent);
    const wanted = Array.from({ length: 1000 }, (_, n) => ({
      kind: 'session' as const,
      id: `01900000-0000-7000-8000-${String(n).padStart(12, '0')}`,
    }));
    const ids = new Set<string>();
    const all = new Promise<void>((resolve) => {
      events.subscribe({
        onEvents: (list) => {
          for (const { id } of list) ids.add(id);
          if (ids.size === 1000) resolve();
        },
        onGap: () => undefined,
      });
    });
    events.publish([...wanted, ...wanted]);
    await all;
    expect(texts.length).toBeLessThan(10);
    expect(Math.max(...texts.map(({ length }) => length))).toBeLessThan(8000);
  } finally {
    await database.close();
  }
});

it('two changes of an offer at once are both kept, though each names only its own', async () => {
  const staff = await one.tokenOf('staff');
  const { data } = await one.graphql('{ title(path: "/live/demo") { id } }');
  const titleId = String(data!['title']!['id']);
  const offerId = await createOffer(one.url, staff, titleId, { validSeconds: 60, rights: { accesses: 3 } });
  const update = (at: TestOrderServer, input: string) =>
    at.graphql(
      `mutation { updateOffer(id: "${offerId}", input: ${input}) { validSeconds rights { accesses } } }`,
      {},
      staff,
    );
  const blocked = async () => {
    const rows = await one.db.execute<{ n: string }>(
      sql`select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and query like '%"offers"%'`,
    );
    return Number(rows[0]?.n);
  };
  let changes: Promise<unknown> = Promise.resolve();
  await one.db.transaction(async (tx) => {
    await tx.execute(sql`select 1 from offers where id = ${offerId} for update`);
    changes = Promise.all([
      update(one, '{ validSeconds: 90 }'),
      update(other, '{ rights: { accesses: 5 } }'),
    ]);
    await expect.poll(blocked, { timeout: 10_000 }).toBe(2);
  });
  await changes;
  const after = await one.graphql(
    `{ offers(of: "${titleId}") { id validSeconds rights { accesses } } }`,
    {},
    staff,
  );
  expect(after.data!['offers']).toContainEqual({ id: offerId, validSeconds: 90, rights: { accesses: 5 } });
});
