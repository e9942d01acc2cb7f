/** Catalog, pricing and vouchers over GraphQL: who sees what, what is refused, what the audit log keeps. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditLog } from '../../admin/db/schema.ts';
import { startOrderServer, type Json, type TestOrderServer } from '../support/order-server.ts';

let server: TestOrderServer;
let staff: string;
beforeAll(async () => {
  server = await startOrderServer({ trustedProxies: 1, countryHeader: 'X-Country' });
  staff = await server.tokenOf('staff');
});
afterAll(() => server.close());

/** Rows of an answer, as they come. */
const rows = (json: Json | undefined) => json as unknown as Record<string, unknown>[];

async function createTitle(input: object = {}): Promise<string> {
  const { data, codes } = await server.graphql(
    'mutation ($input: TitleInput!) { createTitle(input: $input) { id } }',
    { input: { path: `/live/${randomUUID()}`, name: 'New', ...input } },
    staff,
  );
  if (codes.length > 0) throw new Error(codes.join());
  return String(data!['createTitle']!['id']);
}

const CREATE_OFFER = `mutation ($input: OfferInput!) { createOffer(input: $input) {
  id summary charging validSeconds validFrom validUntil price { amountMinor } meterPrice { amountMinor }
  timeOption { kind seconds max unit } tierName rights { accesses seconds window tier { maxHeight } } } }`;
const createOffer = async (input: object, token = staff) =>
  server.graphql(CREATE_OFFER, { input: { name: 'A', currency: 'EUR', ...input } }, token);

describe('offers', () => {
  it.each<[string, object, object]>([
    [
      'hours from first view in HD',
      {
        timeOption: { fromFirstView: { seconds: 86_400, validSeconds: 2_592_000 } },
        priceMinor: 299,
        tier: { name: 'HD', maxHeight: 1080 },
      },
      {
        summary: '24 hours from first view, to begin within 30 days',
        charging: 'prepaid',
        tierName: 'HD',
        rights: { window: 86_400, tier: { maxHeight: 1080 } },
      },
    ],
    [
      'views',
      { timeOption: { views: { views: 3, validSeconds: 86_400 } }, priceMinor: 500 },
      { summary: '3 views within 24 hours', rights: { accesses: 3 } },
    ],
    [
      'minutes',
      { timeOption: { metered: { unit: 'minute', max: 90, validSeconds: 3600 } }, meterPriceMinor: 2 },
      {
        summary: 'Per minute, up to 90 minutes within 1 hour',
        charging: 'metered',
        price: { amountMinor: 180 },
        meterPrice: { amountMinor: 2 },
        rights: { seconds: 5400 },
      },
    ],
  ])('of %s say what they sell', async (_what, input, expected) => {
    const { data } = await createOffer({ titleId: await createTitle(), ...input });
    expect(data).toMatchObject({ createOffer: expected });
  });

  it.each<[string, object, string]>([
    [
      'two time options at once',
      { timeOption: { views: { views: 1, validSeconds: 60 }, duration: { seconds: 60 } } },
      'request_malformed',
    ],
    ['no time option', { timeOption: {} }, 'request_malformed'],
    [
      'rights beside a time option',
      { timeOption: { duration: { seconds: 60 } }, rights: {} },
      'input_invalid',
    ],
    ['nothing that is sold', {}, 'input_invalid'],
    [
      'compiled fields',
      { timeOption: { duration: { seconds: 60 } }, transport: 'clear' },
      'request_malformed',
    ],
    [
      'an id of its own',
      { timeOption: { duration: { seconds: 60 } }, id: randomUUID() },
      'request_malformed',
    ],
  ])('with %s cannot be made', async (_what, input, code) => {
    const { codes } = await createOffer({ titleId: randomUUID(), priceMinor: 5, ...input });
    expect(new Set(codes)).toEqual(new Set([code]));
  });

  it('of raw rights are changed in part', async () => {
    const made = await createOffer({
      titleId: await createTitle(),
      priceMinor: 5,
      validSeconds: 60,
      rights: { accesses: 3 },
    });
    const { data } = await server.graphql(
      `mutation ($id: ID!) { updateOffer(id: $id, input: { validSeconds: 90 }) { validSeconds rights { accesses } } }`,
      { id: made.data!['createOffer']!['id'] },
      staff,
    );
    expect(data).toEqual({ updateOffer: { validSeconds: 90, rights: { accesses: 3 } } });
  });

  it('lose by null what limits them, and nothing else', async () => {
    const update = async (offer: object, fields: string, ...patches: object[]) => {
      const made = await createOffer({ titleId: await createTitle(), priceMinor: 0, ...offer });
      const query = `mutation ($id: ID!, $input: OfferPatch!) { updateOffer(id: $id, input: $input) { ${fields} } }`;
      const answers = [];
      for (const input of patches) {
        const { data } = await server.graphql(query, { id: made.data!['createOffer']!['id'], input }, staff);
        answers.push(data!['updateOffer']);
      }
      return answers;
    };
    const timeOption = { preview: { seconds: 30 } };
    const offer = { timeOption, concurrent: 1, previewsPerAddress: 2, previewsPerTitle: 9 };
    const none = { concurrent: null, previewsPerAddress: null, previewsPerTitle: null };
    const fields = 'name previewsPerAddress previewsPerTitle rights { concurrent }';
    expect(await update(offer, fields, { name: null }, { previewsPerAddress: null }, none)).toEqual([
      { name: 'A', previewsPerAddress: 2, previewsPerTitle: 9, rights: { concurrent: 1 } },
      { name: 'A', previewsPerAddress: null, previewsPerTitle: 9, rights: { concurrent: 1 } },
      { name: 'A', previewsPerAddress: null, previewsPerTitle: null, rights: { concurrent: null } },
    ]);
    const raw = { validSeconds: 60, rights: { concurrent: 2 } };
    expect(await update(raw, 'validSeconds rights { concurrent }', { ...none, validSeconds: 90 })).toEqual([
      { validSeconds: 90, rights: { concurrent: 2 } },
    ]);
  });
});

describe('titles', () => {
  const CATALOG = `query ($filter: CatalogFilter) { catalog(filter: $filter) { edges { node { name servers { id free } } } } }`;

  it('show their servers, with room and health, to staff only', async () => {
    const set = 'mutation { setServerCapacity(id: "ss-1", capacity: 7) { capacity free } }';
    expect((await server.graphql(set, {}, staff)).data).toEqual({
      setServerCapacity: { capacity: 7, free: 7 },
    });
    const one = '{ title(path: "/live/demo") { servers { id onAir capacity taken free warnings } } }';
    expect((await server.graphql(one, {}, staff)).data).toMatchObject({
      title: { servers: [{ id: 'ss-1', onAir: false, capacity: 7, taken: 0, free: 7, warnings: [] }] },
    });
    expect((await server.graphql(one)).data).toEqual({ title: { servers: null } });
    const viewer = await server.tokenOf('viewer');
    expect((await server.graphql(one, {}, viewer)).data).toEqual({ title: { servers: null } });
    await server.graphql('mutation { setServerCapacity(id: "ss-1") { capacity } }', {}, staff);
  });

  it.each([
    { search: "' OR 1=1; DROP TABLE titles; --" },
    { search: 'x', category: "a' OR 'a'='a" },
    { language: '../../etc' },
    { maxPriceMinor: -1 },
    { currency: "EUR' --" },
  ])('are not had by %j', async (filter) => {
    const { data, codes } = await server.graphql(CATALOG, { filter });
    if (codes.length > 0) expect(codes).toEqual(['input_invalid']);
    else expect(data).toEqual({ catalog: { edges: [] } });
    expect((await server.graphql(CATALOG, { filter: { search: 'usher one' } })).data).toMatchObject({
      catalog: { edges: [{ node: { name: 'Usher One', servers: null } }] },
    });
  });

  it('are hidden from countries where they are not sold, as the proxy names them', async () => {
    const id = await createTitle({ countries: ['DE'] });
    const seenFrom = async (country: string | null) => {
      const response = await fetch(`${server.url}/graphql`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(country === null ? {} : { 'x-country': country }),
        },
        body: JSON.stringify({ query: `{ title(id: "${id}") { id } }` }),
      });
      return ((await response.json()) as { data: { title: unknown } }).data.title !== null;
    };
    expect(await seenFrom('DE')).toBe(true);
    expect(await seenFrom('FR')).toBe(false);
    for (const unknown of [null, 'XX', 'Germany', "D'"]) expect(await seenFrom(unknown)).toBe(true);
  });

  it('are changed one thing at a time, and the audit log tells', async () => {
    const id = await createTitle({ countries: ['DE'], languages: ['de'] });
    const change = (mutation: string) => server.graphql(`mutation ($id: ID!) { ${mutation} }`, { id }, staff);
    expect(
      (await change('updateTitle(id: $id, input: { countries: null }) { countries languages }')).data,
    ).toEqual({
      updateTitle: { countries: null, languages: ['de'] },
    });
    expect((await change('publishTitle(id: $id, published: false) { published }')).data).toEqual({
      publishTitle: { published: false },
    });
    expect((await change('setTitleServers(id: $id, serverIds: ["ss-1"]) { servers { id } }')).data).toEqual({
      setTitleServers: { servers: [{ id: 'ss-1' }] },
    });
    expect((await change('setTitleServers(id: $id, serverIds: ["nobody"]) { id }')).codes).toEqual([
      'input_invalid',
    ]);
    const log = (await server.db.select().from(auditLog)).filter(({ objectId }) => objectId === id);
    expect(log.map(({ action }) => action)).toEqual([
      'title.create',
      'title.update',
      'title.unpublish',
      'title.servers',
    ]);
    expect(log[1]).toMatchObject({ before: { countries: ['DE'] }, after: { countries: null } });
  });

  it('keep a category that is renamed and lose one that is deleted', async () => {
    const slug = `c-${randomUUID().slice(0, 8)}`;
    const made = await server.graphql(
      `mutation { createCategory(slug: "${slug}", name: "Old") { id } }`,
      {},
      staff,
    );
    const categoryId = made.data!['createCategory']!['id'];
    const id = await createTitle({ categoryIds: [categoryId] });
    const change = (mutation: string) =>
      server.graphql(`mutation ($id: ID!) { ${mutation} }`, { id: categoryId }, staff);
    await change('updateCategory(id: $id, name: "New") { name }');
    const read = () => server.graphql(`{ title(id: "${id}") { categories { name } } }`);
    expect((await read()).data).toEqual({ title: { categories: [{ name: 'New' }] } });
    expect((await change('deleteCategory(id: $id)')).data).toEqual({ deleteCategory: true });
    expect((await read()).data).toEqual({ title: { categories: [] } });
    expect((await change('deleteCategory(id: $id)')).codes).toEqual(['not_found']);
  });
});

describe('codes', () => {
  const QUOTE = `query ($input: QuoteInput!) { quote(input: $input) {
    list { amountMinor } discount { amountMinor } price { amountMinor } refusal { code detail } } }`;

  async function offerOf(name: string): Promise<string> {
    const { data } = await server.graphql('{ title(path: "/live/demo") { offers { id name } } }');
    return String(rows(data!['title']!['offers']).find((offer) => offer['name'] === name)!['id']);
  }

  it('make a quote cheaper, and say why they do not', async () => {
    const [offerId, token] = [await offerOf('24 hours'), await server.tokenOf('viewer')];
    const ask = async (input: object) =>
      (await server.graphql(QUOTE, { input: { offerId, ...input } }, token)).data!['quote'];
    expect(await ask({})).toMatchObject({ price: { amountMinor: 299 }, refusal: null });
    expect(await ask({ promotionCode: 'usher20' })).toEqual({
      list: { amountMinor: 299 },
      discount: { amountMinor: 60 },
      price: { amountMinor: 239 },
      refusal: null,
    });
    expect(await ask({ promotionCode: 'NONE' })).toMatchObject({
      refusal: { code: 'code_invalid', detail: 'promotionCode: not known' },
    });
  });

  it('of promotions end with them, and not more than staff say', async () => {
    const code = `T-${randomUUID().slice(0, 8)}`;
    const made = await server.graphql(
      `mutation { createPromotion(input: { code: "${code}", name: "T", percent: 50, maxUses: 1 }) { id code uses } }`,
      {},
      staff,
    );
    expect(made.data).toMatchObject({ createPromotion: { code: code.toUpperCase(), uses: 0 } });
    const id = made.data!['createPromotion']!['id'];
    const patch = (input: string) =>
      server.graphql(
        `mutation ($id: ID!) { updatePromotion(id: $id, input: ${input}) { maxUses active } }`,
        { id },
        staff,
      );
    expect((await patch('{ maxUses: null }')).data).toEqual({
      updatePromotion: { maxUses: null, active: true },
    });
    expect((await patch('{ percent: 99 }')).codes).toEqual(['request_malformed']);
    expect((await patch('{ active: false }')).data).toMatchObject({ updatePromotion: { active: false } });
    for (const input of ['percent: 0', 'percent: 5, amountMinor: 5, currency: "EUR"', 'amountMinor: 5']) {
      const mutation = `mutation { createPromotion(input: { code: "${code}X", name: "T", ${input} }) { id } }`;
      expect((await server.graphql(mutation, {}, staff)).codes).toEqual(['input_invalid']);
    }
  });

  it('of vouchers are shown once, and fill one balance once', async () => {
    const issued = await server.graphql(
      `mutation { issueVouchers(input: { name: "Gift", count: 2, amountMinor: 500, currency: "EUR",
        expiresAt: "2099-01-01T00:00:00Z" }) { codes batch { id count redeemed } } }`,
      {},
      staff,
    );
    const codes = issued.data!['issueVouchers']!['codes'] as unknown as string[];
    expect(codes).toHaveLength(2);
    const redeem = async (who: 'viewer' | 'second') =>
      server.graphql(
        'mutation ($code: String!) { redeemVoucher(code: $code) { amount { amountMinor } replayed } }',
        { code: codes[0] },
        await server.tokenOf(who),
      );
    expect((await redeem('viewer')).data).toEqual({
      redeemVoucher: { amount: { amountMinor: 500 }, replayed: false },
    });
    expect((await redeem('viewer')).data).toMatchObject({ redeemVoucher: { replayed: true } });
    expect((await redeem('second')).codes).toEqual(['code_invalid']);
    const list = `{ voucherBatches { edges { node { count redeemed vouchers { edges { node { redeemedAt } } } } } } }`;
    const { data } = await server.graphql(list, {}, staff);
    expect(data).toMatchObject({ voucherBatches: { edges: [{ node: { count: 2, redeemed: 1 } }] } });
    const kept = JSON.stringify([data, await server.db.select().from(auditLog), server.logged]);
    for (const code of codes) expect(kept).not.toContain(code);
    const cancel = `mutation ($id: ID!) { cancelVouchers(id: $id) { cancelledAt } }`;
    const batch = issued.data!['issueVouchers']!['batch']!['id'];
    await server.graphql(cancel, { id: batch }, staff);
    const late = await server.graphql(
      'mutation ($code: String!) { redeemVoucher(code: $code) { replayed } }',
      { code: codes[1] },
      await server.tokenOf('second'),
    );
    expect(late.codes).toEqual(['code_invalid']);
  });

  it('cannot be guessed: an address has few tries, right or wrong', async () => {
    const offerId = await offerOf('24 hours');
    const guess = (promotionCode: string) => server.graphql(QUOTE, { input: { offerId, promotionCode } });
    let tries = 0;
    while ((await guess(`GUESS-${tries}`)).status !== 429) tries++;
    expect(tries).toBeLessThan(20);
    expect((await guess('USHER20')).codes).toEqual(['rate_limited']);
    // Without a code nobody waits.
    expect((await server.graphql(QUOTE, { input: { offerId } })).status).toBe(200);
    server.advance(30_000);
    expect((await guess('USHER20')).status).toBe(200);
    expect((await guess('USHER20')).status).toBe(429);
  });
});
