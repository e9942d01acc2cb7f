/** The catalog: who sees what, filters, order, categories, and what changing an offer leaves alone. */
import { randomUUID } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { createCategory, deleteCategory, updateCategory } from '../../../admin/catalog/categories.ts';
import { createOffer, findOffersById, updateOffer } from '../../../admin/catalog/offers.ts';
import { catalogFilterSchema, listTitles, type CatalogOrder } from '../../../admin/catalog/search.ts';
import {
  createTitle,
  findTitle,
  titleSchema,
  updateTitle,
  type TitleInput,
} from '../../../admin/catalog/titles.ts';
import { orders, tickets, titles } from '../../../admin/db/schema.ts';
import { createTestOffer, orderOffer, START_MS, type World } from '../../support/databases.ts';

const now = new Date(START_MS);
const somewhere = { country: null, nowMs: START_MS };
const seconds = (offset: number): Date => new Date(START_MS + offset * 1000);

export function catalogSuite(world: () => World): void {
  /** Marks the titles of one test: the others are in the same database. */
  const newMark = (): string => `m${randomUUID().replaceAll('-', '')}`;

  function add(mark: string, title: Partial<TitleInput> = {}): Promise<string> {
    const input = {
      path: `/live/t-${randomUUID()}`,
      name: `Title ${mark}`,
      description: '',
      published: true,
      serverIds: [],
      ...title,
    };
    return world().db.transaction((tx) => createTitle(tx, titleSchema.parse(input), now));
  }

  async function list(
    mark: string,
    filter: object = {},
    seenFrom: Parameters<typeof listTitles>[1] = somewhere,
    order: CatalogOrder = 'OLDEST',
    page = {},
  ): Promise<string[]> {
    const wanted = catalogFilterSchema.parse({ search: mark, ...filter });
    const whole = { limit: 100, inverted: false, ...page };
    const found = await listTitles(world().db, seenFrom, wanted, order, whole, START_MS);
    return found.map(({ id }) => id);
  }

  describe('what the catalog shows', () => {
    let mark: string;
    const ids: Record<string, string> = {};
    beforeAll(async () => {
      mark = newMark();
      ids['plain'] = await add(mark);
      ids['hidden'] = await add(mark, { published: false });
      ids['early'] = await add(mark, { availableFrom: seconds(1) });
      ids['begun'] = await add(mark, { availableFrom: seconds(0), availableUntil: seconds(1) });
      ids['late'] = await add(mark, { availableUntil: seconds(0) });
      ids['german'] = await add(mark, { countries: ['DE', 'AT'] });
    });

    it.each([
      ['without a country', { country: null, nowMs: START_MS }, ['plain', 'begun', 'german']],
      ['from Austria', { country: 'AT', nowMs: START_MS }, ['plain', 'begun', 'german']],
      ['from France', { country: 'FR', nowMs: START_MS }, ['plain', 'begun']],
      ['a second later', { country: null, nowMs: START_MS + 1000 }, ['plain', 'early', 'german']],
      ['to staff', 'all' as const, ['plain', 'hidden', 'early', 'begun', 'late', 'german']],
    ])('%s is what is to be had there and then', async (_what, seenFrom, expected) => {
      expect(await list(mark, {}, seenFrom)).toEqual(expected.map((name) => ids[name]));
      for (const [name, id] of Object.entries(ids)) {
        const found = await findTitle(world().db, { id }, seenFrom);
        expect(found?.id ?? null).toBe(expected.includes(name) ? id : null);
      }
    });
  });

  describe('a filter', () => {
    let mark: string;
    let [film, channel, cheap]: string[] = [];
    beforeAll(async () => {
      mark = newMark();
      const { db } = world();
      const category = await createCategory(db, { slug: mark.slice(0, 20), name: 'Films' }, now);
      film = await add(mark, {
        kind: 'file',
        name: `Été à la Mer ${mark}`,
        languages: ['fr', 'pt-BR'],
        categoryIds: [category.id],
      });
      channel = await add(mark, { description: "Robert'); DROP TABLE titles;--", languages: ['de'] });
      cheap = await add(mark);
      const offer = { currency: 'EUR', active: true, name: 'x' };
      const duration = { kind: 'duration' as const, seconds: 3600 };
      await createOffer(db, { ...offer, titleId: cheap, priceMinor: 100, timeOption: duration }, now);
      await createOffer(db, { ...offer, titleId: channel, priceMinor: 300, timeOption: duration }, now);
      const preview = { kind: 'preview' as const, seconds: 30 };
      await createOffer(db, { ...offer, titleId: channel, priceMinor: 0, timeOption: preview }, now);
      const month = { kind: 'category' as const, seconds: 3600 };
      await createOffer(db, { ...offer, categoryId: category.id, priceMinor: 200, timeOption: month }, now);
    });

    it.each<[string, () => object, () => (string | undefined)[]]>([
      ['by kind', () => ({ kind: 'file' }), () => [film]],
      ['by language', () => ({ language: 'pt-BR' }), () => [film]],
      ['by category', () => ({ category: mark.slice(0, 20) }), () => [film]],
      ['by a word in another case', () => ({ search: `ÉTÉ ${mark}` }), () => [film]],
      ['by the beginnings of words', () => ({ search: `mer ${mark.slice(0, 20)}` }), () => [film]],
      ['by a word of the description', () => ({ search: `${mark} robert` }), () => [channel]],
      ['by price, previews apart', () => ({ maxPriceMinor: 199 }), () => [cheap]],
      ['by price, with offers of its category', () => ({ maxPriceMinor: 200 }), () => [film, cheap]],
      ['by currency', () => ({ currency: 'USD' }), () => []],
      ['by what is on the air', () => ({ live: true }), () => []],
      ['by what is off the air', () => ({ live: false }), () => [film, channel, cheap]],
      ['by two things at once', () => ({ kind: 'live', maxPriceMinor: 250 }), () => [cheap]],
    ])('%s', async (_what, filter, expected) => {
      expect(await list(mark, filter())).toEqual(expected());
    });

    it.each([
      "' OR 1=1 --",
      "'); DROP TABLE titles; --",
      'a & | ! <-> (',
      'x:* | y:*',
      "\\'\\",
      '%_%',
      '${1+1}',
      '" OR ""="',
      '日本語',
      '🎬',
    ])('takes %j for words, whatever they mean to a database', async (search) => {
      expect(await list(`${mark} ${search}`.slice(0, 100))).toEqual(expect.arrayContaining([]) as unknown[]);
      expect(await list(mark)).toHaveLength(3);
      expect(await list(search)).not.toContain(cheap);
    });

    it.each([
      ['search', ''],
      ['search', 'x'.repeat(101)],
      ['search', 'a\u0000b'],
      ['category', "films' OR '1'='1"],
      ['language', "de' --"],
      ['kind', 'live; drop'],
      ['maxPriceMinor', -1],
      ['maxPriceMinor', '1 OR 1=1'],
      ['currency', 'eur'],
      ['orderBy', 'name'],
    ])('refuses %s %j', (member, value) => {
      expect(catalogFilterSchema.safeParse({ [member]: value }).success).toBe(false);
    });
  });

  it.each<CatalogOrder>(['OLDEST', 'NEWEST', 'NAME'])(
    'pages through %s in both directions',
    async (order) => {
      const mark = newMark();
      const names = ['Delta', 'alpha', 'Bravo', 'Bravo', 'charlie'];
      for (const name of names) await add(mark, { name: `${name} ${mark}` });
      const all = await list(mark, {}, somewhere, order);
      expect(all).toHaveLength(5);
      const forth: string[] = [];
      for (let after: string | undefined; ; after = forth.at(-1)) {
        const page = await list(mark, {}, somewhere, order, { after, limit: 2 });
        forth.push(...page);
        if (page.length < 2) break;
      }
      expect(forth).toEqual(all);
      // Backwards from the last: an inverted page is read from its end.
      const before = await list(mark, {}, somewhere, order, { before: all[4], limit: 2, inverted: true });
      expect(before).toEqual([all[3], all[2]]);
    },
  );

  it.each([
    ['javascript:alert(1)', false],
    ['http://example.com/a.jpg', false],
    ['//evil.example/a.jpg', false],
    ['/\\evil.example/a.jpg', false],
    ['data:image/png;base64,AAAA', false],
    ['https://example.com/a.jpg"onerror="x', false],
    ['https://user:pass@example.com/a.jpg', false],
    ['https://cdn.example.com/art/one.jpg?w=640', true],
    ['/art/one.jpg', true],
  ])('artwork at %s is taken: %s', (artworkUrl, taken) => {
    expect(titleSchema.shape.artworkUrl.safeParse(artworkUrl).success).toBe(taken);
  });

  it('a title without a window, with an unknown category or server is refused by name', async () => {
    await expect(add('x', { availableFrom: seconds(5), availableUntil: seconds(5) })).rejects.toMatchObject({
      code: 'input_invalid',
      detail: expect.stringContaining('availableUntil') as unknown,
    });
    await expect(add('x', { categoryIds: [randomUUID()] })).rejects.toMatchObject({ detail: 'categoryIds' });
    await expect(add('x', { serverIds: ['nobody'] })).rejects.toMatchObject({ detail: 'serverIds' });
  });

  it('a change of a title leaves what it does not name', async () => {
    const id = await add(newMark(), { countries: ['DE'], languages: ['de'] });
    await world().db.transaction((tx) => updateTitle(tx, id, { countries: null }));
    const title = await findTitle(world().db, { id }, 'all');
    expect(title).toMatchObject({ countries: null, languages: ['de'], published: true });
  });

  it('a category is renamed, and goes when nothing sells it', async () => {
    const { db } = world();
    const category = await createCategory(db, { slug: `c-${newMark().slice(1, 20)}`, name: 'A' }, now);
    await expect(createCategory(db, category, now)).rejects.toMatchObject({ code: 'conflict' });
    expect(await updateCategory(db, category.id, { name: 'B' })).toEqual({ ...category, name: 'B' });
    const titleId = await add(newMark(), { categoryIds: [category.id] });
    const offer = await createOffer(
      db,
      {
        categoryId: category.id,
        name: 'Month',
        priceMinor: 999,
        currency: 'EUR',
        active: true,
        timeOption: { kind: 'category', seconds: 3600 },
      },
      now,
    );
    expect((await findTitle(db, { id: titleId }, 'all'))?.offers.map(({ id }) => id)).toEqual([offer.id]);
    await expect(deleteCategory(db, category.id)).rejects.toMatchObject({ code: 'conflict' });
    const empty = await createCategory(db, { slug: `e-${newMark().slice(1, 20)}`, name: 'E' }, now);
    await updateTitle(db, titleId, { categoryIds: [empty.id] });
    await deleteCategory(db, empty.id);
    expect((await findTitle(db, { id: titleId }, 'all'))?.categories).toEqual([]);
  });

  it('changing an offer changes neither tickets nor orders that were sold', async () => {
    const { db } = world();
    const offer = await createTestOffer(world(), { rights: { accesses: 3 } });
    const { order, issued } = await orderOffer(world(), offer.id);
    const sold = async () => [
      await db.select().from(orders).where(eq(orders.id, order.id)),
      await db.select().from(tickets).where(eq(tickets.jti, issued.jti)),
    ];
    const before = await sold();
    const changed = await db.transaction((tx) =>
      updateOffer(
        tx,
        offer.id,
        { timeOption: { kind: 'duration', seconds: 60 }, priceMinor: 500, name: 'Other', active: false },
        now,
      ),
    );
    expect(changed).toMatchObject({ validSeconds: 60, charging: 'prepaid', rights: { accesses: null } });
    expect(await sold()).toEqual(before);
    expect((await findOffersById(db, [offer.id]))[0]).toEqual(changed);
  });

  it.each<[string, Parameters<typeof updateOffer>[2], object]>([
    ['a price makes a free offer prepaid', { priceMinor: 5 }, { charging: 'prepaid' }],
    [
      'another name leaves the terms',
      { name: 'Y' },
      { name: 'Y', charging: 'free', rights: { accesses: 3 } },
    ],
    [
      'a meter replaces the price',
      { timeOption: { kind: 'metered', unit: 'minute', max: 9, validSeconds: 60 }, meterPriceMinor: 2 },
      { charging: 'metered', price: { amountMinor: 18 }, rights: { seconds: 540, accesses: null } },
    ],
    [
      'delivery needs its seconds',
      { priceMinor: 5, charging: 'on_delivery', captureAfterSeconds: 9 },
      { charging: 'on_delivery', captureAfterSeconds: 9 },
    ],
  ])('%s', async (_what, patch, expected) => {
    const { id } = await createTestOffer(world(), { rights: { accesses: 3 } });
    expect(await world().db.transaction((tx) => updateOffer(tx, id, patch, now))).toMatchObject(expected);
  });

  it('the most that a meter can cost is no price, and a price per minute none per gigabyte', async () => {
    const { db } = world();
    const { id } = await createTestOffer(world());
    const update = (patch: Parameters<typeof updateOffer>[2]) =>
      db.transaction((tx) => updateOffer(tx, id, patch, now));
    const by = (unit: 'minute' | 'gigabyte') =>
      ({ kind: 'metered', unit, max: 90, validSeconds: 3600 }) as const;
    await update({ timeOption: by('minute'), meterPriceMinor: 2 });
    await expect(update({ timeOption: { kind: 'duration', seconds: 60 } })).rejects.toMatchObject({
      detail: 'priceMinor: is missing',
    });
    await expect(update({ timeOption: by('gigabyte') })).rejects.toMatchObject({
      detail: 'meterPriceMinor: is missing',
    });
    expect(await update({ timeOption: { ...by('minute'), max: 30 } })).toMatchObject({
      price: { amountMinor: 60 },
      meterPrice: { amountMinor: 2 },
    });
    expect(await update({ timeOption: by('gigabyte'), meterPriceMinor: 9 })).toMatchObject({
      price: { amountMinor: 810 },
    });
    expect(await update({ timeOption: { kind: 'duration', seconds: 60 }, priceMinor: 299 })).toMatchObject({
      price: { amountMinor: 299 },
      meterPrice: null,
    });
  });

  it('an offer that would contradict itself stays as it was', async () => {
    const offer = await createTestOffer(world(), { priceMinor: 100 });
    const update = world().db.transaction((tx) =>
      updateOffer(tx, offer.id, { charging: 'on_delivery', captureAfterSeconds: 999_999 }, now),
    );
    await expect(update).rejects.toMatchObject({
      code: 'input_invalid',
      detail: expect.stringContaining('captureAfterSeconds') as unknown,
    });
    const [after] = await findOffersById(world().db, [offer.id]);
    expect(after).toMatchObject({ charging: 'prepaid', price: { amountMinor: 100 } });
  });

  it('the database lets no offer open two things, or nothing', async () => {
    const [{ id } = { id: '' }] = await world().db.select({ id: titles.id }).from(titles).limit(1);
    const offer = { name: 'x', priceMinor: 1, currency: 'EUR', active: true };
    const timeOption = { kind: 'duration' as const, seconds: 60 };
    await expect(
      createOffer(world().db, { ...offer, timeOption, titleId: id, categoryId: randomUUID() }, now),
    ).rejects.toThrow();
    await expect(createOffer(world().db, { ...offer, timeOption }, now)).rejects.toThrow();
  });
}
