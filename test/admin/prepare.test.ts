import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/postgres-js';
import type { Sql } from 'postgres';
import { expect, it } from 'vitest';
import { builtForEach, builtOnce, placeholdersOf, preparing, writtenOnce } from '../../admin/db/prepare.ts';
import * as schema from '../../admin/db/schema.ts';

interface Sent {
  readonly by: string;
  readonly text: string;
  readonly values: unknown;
  readonly isPrepared: unknown;
}

/** A client that answers nothing, and remembers what it was asked in which scope. */
function recorder() {
  const sent: Sent[] = [];
  const scope = (by: string): object => ({
    options: { parsers: {}, serializers: {} },
    unsafe: (text: string, values: unknown, options?: { prepare?: boolean }) => {
      sent.push({ by, text, values, isPrepared: options?.prepare });
      return Object.assign(Promise.resolve([]), { values: () => Promise.resolve([]) });
    },
    begin: (work: (inner: object) => unknown) => work(scope('transaction')),
    savepoint: (work: (inner: object) => unknown) => work(scope('savepoint')),
  });
  return { sent, client: preparing(scope('client') as unknown as Sql) };
}

it('everything is prepared, in a transaction and in a part of one too', async () => {
  const { sent, client } = recorder();
  const db = drizzle(client, { schema });
  await db.execute(sql`select 1`);
  await db.transaction(async (tx) => {
    await tx.execute(sql`select 2`);
    await tx.transaction((inner) => inner.execute(sql`select 3`));
  });
  expect(sent).toEqual([
    { by: 'client', text: 'select 1', values: [], isPrepared: true },
    { by: 'transaction', text: 'select 2', values: [], isPrepared: true },
    { by: 'savepoint', text: 'select 3', values: [], isPrepared: true },
  ]);
});

it('long lists and what comes after the first 250 statements are not: a connection keeps all of it', async () => {
  const { sent, client } = recorder();
  const list = (length: number) => `a in (${Array.from({ length }, (_, at) => `$${at + 1}`).join(', ')})`;
  const texts = [list(8), list(9), list(100), ...Array.from({ length: 249 }, (_, at) => `select ${at}`)];
  for (const text of [...texts, 'one more', 'select 7']) await client.unsafe(text);
  const refused = sent.filter(({ isPrepared }) => isPrepared !== true).map(({ text }) => text);
  expect(refused).toEqual([list(9), list(100), 'one more']);
});

it('inserts of many rows are not, each number of which is another statement; those of a few rows are', async () => {
  const { sent, client } = recorder();
  const insert = (rows: number, first: string) =>
    `insert into a values ${Array.from({ length: rows }, (_, at) => `(${first}, $${at + 1})`).join(', ')}`;
  const numbered = (rows: number) => insert(rows, '$1');
  const defaulted = (rows: number) => insert(rows, 'default');
  for (let rows = 9; rows < 300; rows++)
    await client.unsafe(rows % 2 === 0 ? numbered(rows) : defaulted(rows));
  const isPrepared = () => sent.splice(0).map((one) => one.isPrepared);
  expect(new Set(isPrepared())).toEqual(new Set([false]));
  for (const text of [numbered(1), numbered(2), defaulted(8), 'select 1']) await client.unsafe(text);
  expect(isPrepared()).toEqual([true, true, true, true]);
});

it('what is built once runs where it is asked to, with the values of each time', async () => {
  const { titles } = schema;
  const byPath = builtOnce((db) =>
    db
      .select({ id: titles.id })
      .from(titles)
      .where(sql`${titles.path} = ${sql.placeholder('path')}`)
      .prepare('by_path'),
  );
  const [one, other] = [recorder(), recorder()];
  await byPath(drizzle(one.client, { schema })).execute({ path: '/a' });
  await drizzle(other.client, { schema }).transaction((tx) => byPath(tx).execute({ path: '/b' }));
  expect(one.sent).toMatchObject([{ by: 'client', values: ['/a'] }]);
  expect(other.sent).toMatchObject([{ by: 'transaction', values: ['/b'] }]);
});

it('rows are built once for each number of them, and any column of theirs may be null', async () => {
  const { orderEvents } = schema;
  let built = 0;
  const inserting = builtForEach((db, rows: number) => {
    built++;
    const row = (at: number) => placeholdersOf(orderEvents, ['id', 'amountMinor', 'createdAt'], at);
    return db
      .insert(orderEvents)
      .values(Array.from({ length: rows }, (_, at) => row(at)) as never)
      .prepare('events');
  });
  const { sent, client } = recorder();
  const db = drizzle(client, { schema });
  const createdAt0 = new Date('2026-05-01T12:00:00Z');
  await inserting(db, 1).execute({ id0: 'a', amountMinor0: 7, createdAt0 });
  await inserting(db, 2).execute({
    ...{ id0: 'a', amountMinor0: null, createdAt0 },
    ...{ id1: 'b', amountMinor1: 8, createdAt1: null },
  });
  await inserting(db, 1).execute({ id0: 'c', amountMinor0: null, createdAt0: null });
  const moment = createdAt0.toISOString();
  expect(sent.map(({ values }) => values)).toEqual([
    ['a', 7, moment],
    ['a', null, moment, 'b', 8, null],
    ['c', null, null],
  ]);
  expect(built).toBe(2);
});

it('what is written by hand is sent as it is, with the values of each time', async () => {
  const query = writtenOnce<{ is: boolean }>(
    sql`select ${sql.placeholder('a')}::text = ${sql.placeholder('b')} as is`,
  );
  const { sent, client } = recorder();
  await query(drizzle(client, { schema })).execute({ a: null, b: 'x' });
  expect(sent).toMatchObject([{ text: 'select $1::text = $2 as is', values: [null, 'x'] }]);
});
