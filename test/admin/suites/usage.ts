import { randomUUID } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { expect, it } from 'vitest';
import { accounts, titles, usagePeriods } from '../../../admin/db/schema.ts';
import { storeReceipts } from '../../../admin/receipts/store.ts';
import { usageCsv, usageRows } from '../../../admin/usage/csv.ts';
import { listUsageReport, type UsageRequest, type UsageRow } from '../../../admin/usage/report.ts';
import { createReceiptChain } from '../../../plugin/receipts/chain.ts';
import {
  createCustomer,
  createTestOffer,
  orderOffer,
  START_MS,
  type World,
} from '../../support/databases.ts';

const HOUR = 3600;
/** The tests' orders are placed at this second, on 2026-05-01 at noon. */
const START = START_MS / 1000;

interface Watched {
  readonly titleId: string;
  readonly accountId: string;
}

/** Somebody watches from a second on, for so many seconds, with a receipt every so often and 1000 bytes a second. */
async function watch(
  world: World,
  {
    from,
    seconds,
    every = 5,
    serverId = 'ss-1',
  }: { from: number; seconds: number; every?: number; serverId?: string },
): Promise<Watched> {
  const { db } = world;
  const account = await createCustomer(world);
  const offer = await createTestOffer(world, { validSeconds: 30 * 24 * HOUR });
  const { issued } = await orderOffer(world, offer.id, account.id);
  if (issued === null) throw new Error('no ticket');
  const chain = createReceiptChain({
    session: randomUUID(),
    ticket: issued.jti,
    uri: offer.path,
    startedAt: from,
  });
  const list = Array.from({ length: Math.ceil(seconds / every) }, (_, index) => {
    const at = Math.min(every * (index + 1), seconds);
    return chain.next({ at: from + at, mediaMs: at * 1000, bytes: at * 1000 });
  });
  await world.db.execute(`update tickets set audience = '{ss-1,${serverId}}' where jti = '${issued.jti}'`);
  for (let start = 0; start < list.length; start += 500) {
    const { answer } = await db.transaction((tx) =>
      storeReceipts(
        tx,
        { serverId, receipts: list.slice(start, start + 500), jws: 'a.b.c' },
        (from + seconds + 1) * 1000,
      ),
    );
    expect(answer.refused).toEqual([]);
  }
  const [title] = await db.select({ id: titles.id }).from(titles).where(eq(titles.path, offer.path));
  return { titleId: title!.id, accountId: account.id };
}

const ALL = { limit: 100, inverted: false };
const request = (changes: Partial<UsageRequest>): UsageRequest => ({
  groupBy: 'day',
  from: new Date('2026-05-01T00:00:00Z'),
  until: new Date('2026-06-01T00:00:00Z'),
  timeZone: 'UTC',
  ...changes,
});
const days = (rows: readonly UsageRow[]) =>
  rows.map(({ key, mediaMs, bytes, sessions }) => [key, mediaMs / 1000, bytes, sessions]);

export function usageSuite(world: () => World): void {
  it('a session over midnight is on both days, in UTC and elsewhere', async () => {
    // From 22:30 to 0:30 in Berlin, which is 20:30 to 22:30 in UTC.
    const from = START + 8.5 * HOUR;
    const { titleId } = await watch(world(), { from, seconds: 2 * HOUR });
    const ask = (timeZone: string) =>
      listUsageReport(
        world().db,
        request({ titleId, timeZone, until: new Date('2026-05-03T00:00:00Z') }),
        ALL,
      );
    expect(days(await ask('UTC'))).toEqual([['2026-05-01', 2 * HOUR, 2_000 * HOUR, 1]]);
    expect(days(await ask('Europe/Berlin'))).toEqual([
      ['2026-05-01', 1.5 * HOUR, 1_500 * HOUR, 1],
      ['2026-05-02', 0.5 * HOUR, 500 * HOUR, 1],
    ]);
    // In Kathmandu (UTC + 5:45) it began at 2:15 of the next day.
    expect(days(await ask('Asia/Kathmandu'))).toEqual([['2026-05-02', 2 * HOUR, 2_000 * HOUR, 1]]);
  });

  it('a receipt that spans midnight is shared out', async () => {
    const from = START + 12 * HOUR - 7;
    const { titleId } = await watch(world(), { from, seconds: 14 });
    expect(days(await listUsageReport(world().db, request({ titleId }), ALL))).toEqual([
      ['2026-05-01', 7, 7000, 1],
      ['2026-05-02', 7, 7000, 1],
    ]);
  });

  it('the day on which clocks go back has 25 hours', async () => {
    // The order server takes what was used after the order: the clocks go back on 2026-10-25 at 01:00 UTC.
    const from = Date.parse('2026-10-24T21:45:00Z') / 1000;
    const { titleId } = await watch(world(), { from, seconds: 26 * HOUR, every: 60 });
    const rows = await listUsageReport(
      world().db,
      request({
        titleId,
        timeZone: 'Europe/Berlin',
        from: new Date('2026-10-24T00:00:00Z'),
        until: new Date('2026-10-27T00:00:00Z'),
      }),
      ALL,
    );
    expect(days(rows).map(([key, seconds]) => [key, seconds])).toEqual([
      ['2026-10-24', 0.25 * HOUR],
      ['2026-10-25', 25 * HOUR],
      ['2026-10-26', 0.75 * HOUR],
    ]);
  });

  it('groups by title, account and server, with names, and counts only what was in the time', async () => {
    const serverId = `ss-${randomUUID().slice(0, 8)}`;
    const long = await watch(world(), { from: START, seconds: 100, serverId });
    const short = await watch(world(), { from: START, seconds: 40, serverId });
    await watch(world(), { from: START + 30 * 24 * HOUR, seconds: 40, serverId });
    const by = (groupBy: UsageRequest['groupBy']) =>
      listUsageReport(
        world().db,
        request({ groupBy, serverId, until: new Date('2026-05-20T00:00:00Z') }),
        ALL,
      );
    const [account] = await world().db.select().from(accounts).where(eq(accounts.id, long.accountId));
    expect(await by('title')).toMatchObject([
      { key: long.titleId, label: 'Test', mediaMs: 100_000, bytes: 100_000, sessions: 1 },
      { key: short.titleId, label: 'Test', mediaMs: 40_000, sessions: 1 },
    ]);
    expect(await by('account')).toMatchObject([
      { key: long.accountId, label: account!.email, mediaMs: 100_000 },
      { key: short.accountId, mediaMs: 40_000 },
    ]);
    expect(await by('server')).toMatchObject([{ key: serverId, label: null, mediaMs: 140_000, sessions: 2 }]);
    expect(await by('total')).toMatchObject([{ key: null, mediaMs: 140_000, bytes: 140_000, sessions: 2 }]);
  });

  it('pages forwards and backwards without loss or repetition', async () => {
    const serverId = `ss-${randomUUID().slice(0, 8)}`;
    for (const seconds of [10, 20, 20, 30, 40]) await watch(world(), { from: START, seconds, serverId });
    const ask = (page: { after?: string; before?: string; inverted?: boolean }) =>
      listUsageReport(world().db, request({ groupBy: 'title', serverId }), {
        limit: 2,
        inverted: false,
        ...page,
      });
    const first = await ask({});
    const second = await ask({ after: first[1]!.id });
    const third = await ask({ after: second[1]!.id });
    const pages = [...first, ...second, ...third];
    expect(pages.map(({ mediaMs }) => mediaMs / 1000)).toEqual([40, 30, 20, 20, 10]);
    expect(new Set(pages.map(({ key }) => key)).size).toBe(5);
    const back = await ask({ before: third[0]!.id, inverted: true });
    expect(back.map(({ key }) => key)).toEqual([second[1]!.key, second[0]!.key]);
  });

  it('every row is read once, though what goes on being watched becomes the most watched', async () => {
    const { db } = world();
    const serverId = `ss-${randomUUID().slice(0, 8)}`;
    const watched = [];
    for (const seconds of [10, 20, 30, 40, 50])
      watched.push((await watch(world(), { from: START, seconds, serverId })).titleId);
    const keys: (string | null)[] = [];
    for await (const rows of usageRows(db, request({ groupBy: 'title', serverId }), 2)) {
      keys.push(...rows.map(({ key }) => key));
      // The title that has not come yet gets ahead of those that have.
      const left = watched.find((titleId) => !keys.includes(titleId));
      if (left !== undefined)
        await db.update(usagePeriods).set({ mediaMs: 1_000_000 }).where(eq(usagePeriods.titleId, left));
    }
    expect(keys.toSorted()).toEqual(watched.toSorted());
  });

  it('the same receipts again change nothing', async () => {
    const { db } = world();
    const offer = await createTestOffer(world());
    const { issued } = await orderOffer(world(), offer.id);
    const chain = createReceiptChain({
      session: randomUUID(),
      ticket: issued.jti,
      uri: offer.path,
      startedAt: START,
    });
    const receipts = [1, 2, 3].map((n) => chain.next({ at: START + 5 * n, mediaMs: 5000 * n, bytes: 9 * n }));
    const serverId = world().server.id;
    for (let times = 0; times < 3; times++)
      await db.transaction((tx) =>
        storeReceipts(tx, { serverId, receipts, jws: 'a.b.c' }, START_MS + 60_000),
      );
    const [title] = await db.select({ id: titles.id }).from(titles).where(eq(titles.path, offer.path));
    const rows = await listUsageReport(db, request({ groupBy: 'total', titleId: title!.id }), ALL);
    expect(rows).toMatchObject([{ mediaMs: 15_000, bytes: 27, sessions: 1 }]);
  });

  it('CSV has a line per row, and a formula in a name stays text', async () => {
    const { titleId } = await watch(world(), { from: START, seconds: 12.5 * 2 });
    await world().db.update(titles).set({ name: '=1+2,"x"' }).where(eq(titles.id, titleId));
    let text = '';
    for await (const part of usageCsv(world().db, request({ groupBy: 'title', titleId }))) text += part;
    const [names, row, ...rest] = text.split('\r\n');
    expect(names).toMatch(/^title,name,seconds,bytes,sessions/);
    expect(row).toMatch(new RegExp(`^${titleId},"'=1\\+2,""x""",25,25000,1`));
    expect(rest).toEqual(['']);
  });
}
