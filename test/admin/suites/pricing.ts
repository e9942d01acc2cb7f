/** Quotes, promotions, vouchers, and their limits when many come at once. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createCategory } from '../../../admin/catalog/categories.ts';
import { createOffer, type OfferInput } from '../../../admin/catalog/offers.ts';
import { createTitle, updateTitle, type TitlePatch } from '../../../admin/catalog/titles.ts';
import { balancesOf } from '../../../admin/ledger/ledger.ts';
import { promotionUses, vouchers } from '../../../admin/db/schema.ts';
import {
  createPromotion,
  discountOf,
  promotionSchema,
  returnPromotion,
  updatePromotion,
  usePromotion,
  type PromotionInput,
} from '../../../admin/pricing/promotions.ts';
import { quote, type QuoteRequest } from '../../../admin/pricing/quote.ts';
import {
  cancelVouchers,
  createVouchers,
  creditVoucher,
  findOpenVoucher,
  redeemVoucher,
  returnVoucher,
  voucherCodeSchema,
  type VoucherBatchInput,
} from '../../../admin/pricing/vouchers.ts';
import { Denial } from '../../../plugin/errors.ts';
import {
  codesOf,
  createCustomer,
  createOrderRequest,
  createTestOffer,
  orderOffer,
  place,
  START_MS,
  type World,
} from '../../support/databases.ts';

const now = new Date(START_MS);
const seconds = (offset: number): Date => new Date(START_MS + offset * 1000);
const AT_ONCE = 12;

export function pricingSuite(world: () => World): void {
  const ask = (request: Partial<QuoteRequest> & { offerId: string }) =>
    quote(world().db, { accountId: null, country: null, nowMs: START_MS, ...request });

  function promote(changes: Partial<PromotionInput> = {}) {
    const code = `P${randomUUID().slice(0, 18)}`;
    const input = promotionSchema.parse({
      code,
      name: 'Test',
      ...('amountMinor' in changes ? {} : { percent: 20 }),
      ...changes,
    });
    return createPromotion(world().db, input, now);
  }

  async function issue(changes: Partial<VoucherBatchInput>) {
    const input = { name: 'Test', count: 1, expiresAt: seconds(3600), ...changes };
    const { batch, codes } = await world().db.transaction((tx) => createVouchers(tx, input, now));
    return { batch, codes, code: codes[0]! };
  }

  describe('a promotion', () => {
    it.each([
      [20, null, 299, 60],
      [1, null, 1, 1],
      [100, null, 299, 299],
      [33, null, 100, 33],
      [null, 100, 299, 100],
      [null, 500, 299, 299],
    ])('of %s percent or %s takes off %s: %s', (percent, amountMinor, price, off) => {
      expect(discountOf({ percent, amountMinor }, price)).toBe(off);
    });

    it('makes an offer cheaper, in whatever letters it is typed', async () => {
      const [{ code, id }, offer] = [await promote(), await createTestOffer(world(), { priceMinor: 299 })];
      const { id: accountId } = await createCustomer(world());
      const typed = ` ${code.toLowerCase()} `;
      expect(await ask({ offerId: offer.id, promotionCode: typed, accountId })).toMatchObject({
        list: { amountMinor: 299 },
        discount: { amountMinor: 60 },
        price: { amountMinor: 239, currency: 'EUR' },
        promotionId: id,
        refusal: null,
      });
    });

    it.each([
      ['7K3M9QRTXW2PABCD', false],
      ['7k3m-9qrt-xw2p-abcd', false],
      ['BLACK-FRIDAY-2027', true],
      ['7K3M-9QRT-XW2P-ABC-DE', true],
    ])('is not called as vouchers are: %s', (code, isPromotion) => {
      const { success } = promotionSchema.safeParse({ code, name: 'Test', percent: 20 });
      expect(success).toBe(isPromotion);
    });

    it.each<[string, Partial<PromotionInput>, string]>([
      ['switched off', { active: false }, 'not known'],
      ['not begun', { startsAt: seconds(1) }, 'not valid yet'],
      ['over', { endsAt: seconds(0) }, 'no longer valid'],
      ['of another currency', { amountMinor: 5, currency: 'USD' }, 'not for this currency'],
      ['for the signed in', { maxUsesPerAccount: 1 }, 'only for who is signed in'],
    ])('that is %s is refused', async (_what, changes, why) => {
      const [{ code }, offer] = [await promote(changes), await createTestOffer(world(), { priceMinor: 299 })];
      const { refusal, price } = await ask({ offerId: offer.id, promotionCode: code });
      expect(refusal).toMatchObject({ code: 'code_invalid', detail: `promotionCode: ${why}` });
      expect(price.amountMinor).toBe(299);
    });

    it('applies to the offers and titles that it names', async () => {
      const [one, other] = [
        await createTestOffer(world(), { priceMinor: 299 }),
        await createTestOffer(world(), { priceMinor: 299 }),
      ];
      const byOffer = await promote({ offerIds: [one.id] });
      const byTitle = await promote({ titleIds: [one.titleId] });
      for (const { code } of [byOffer, byTitle]) {
        expect((await ask({ offerId: one.id, promotionCode: code })).discount.amountMinor).toBe(60);
        expect((await ask({ offerId: other.id, promotionCode: code })).refusal?.code).toBe('code_invalid');
      }
      await expect(promote({ offerIds: [randomUUID()] })).rejects.toMatchObject({ detail: 'offerIds' });
    });

    it.each(["' OR '1'='1", 'A%', 'ÄÖÜ', '', 'a'.repeat(60), 'X\u0000Y'])(
      'is not found by %j',
      async (promotionCode) => {
        const offer = await createTestOffer(world(), { priceMinor: 299 });
        const { refusal } = await ask({ offerId: offer.id, promotionCode });
        expect(refusal).toMatchObject({ code: 'code_invalid', detail: 'promotionCode: not known' });
      },
    );

    it('is used no more often than it allows, however many orders come at once', async () => {
      const { db } = world();
      const { id: promotionId } = await promote({ maxUses: 5 });
      const offer = await createTestOffer(world());
      const orderIds = await Promise.all(
        Array.from({ length: AT_ONCE }, async () => (await orderOffer(world(), offer.id)).order.id),
      );
      const uses = await codesOf(
        orderIds.map((orderId) =>
          db.transaction((tx) =>
            usePromotion(tx, { promotionId, orderId, accountId: null, nowMs: START_MS }),
          ),
        ),
      );
      expect(uses.filter((code) => code === null)).toHaveLength(5);
      expect(uses.filter((code) => code === 'code_invalid')).toHaveLength(AT_ONCE - 5);
      // What comes to nothing gives its use back, once.
      const used = orderIds[uses.indexOf(null)]!;
      await db.transaction((tx) => returnPromotion(tx, used));
      await db.transaction((tx) => returnPromotion(tx, used));
      const free = orderIds[uses.indexOf('code_invalid')]!;
      const again = [free, used].map((orderId) =>
        db.transaction((tx) => usePromotion(tx, { promotionId, orderId, accountId: null, nowMs: START_MS })),
      );
      expect((await codesOf(again)).sort()).toEqual(['code_invalid', null]);
    });

    it('is used by one account no more often than it allows, whoever else uses it', async () => {
      const { db } = world();
      const { id: promotionId, code } = await promote({ maxUsesPerAccount: 2 });
      const offer = await createTestOffer(world(), { priceMinor: 100 });
      const [one, other] = [await createCustomer(world(), 10_000), await createCustomer(world(), 10_000)];
      const tries = [one, one, one, one, one, other].map(async ({ id }) => {
        const request = { ...(await createOrderRequest(offer.id)), promotionCode: code };
        return place(world(), request, id);
      });
      const codes = await codesOf(tries);
      expect(codes.filter((result) => result === null)).toHaveLength(3);
      const rows = await db.select().from(promotionUses);
      const own = rows.filter((row) => row.promotionId === promotionId);
      expect(own.filter(({ accountId }) => accountId === one.id)).toHaveLength(2);
      expect((await balancesOf(db, one.id))[0]?.amountMinor).toBe(10_000 - 2 * 80);
      expect(
        (await ask({ offerId: offer.id, promotionCode: code, accountId: one.id })).refusal,
      ).toMatchObject({ detail: 'promotionCode: used up by this account' });
    });

    it('cannot be limited below what it was used', async () => {
      const { id, code } = await promote();
      const { id: accountId } = await createCustomer(world(), 1000);
      const offer = await createTestOffer(world(), { priceMinor: 100 });
      for (let times = 0; times < 2; times++)
        await place(world(), { ...(await createOrderRequest(offer.id)), promotionCode: code }, accountId);
      await expect(updatePromotion(world().db, id, { maxUses: 1 })).rejects.toMatchObject({
        code: 'input_invalid',
      });
      expect(await updatePromotion(world().db, id, { maxUses: 2 })).toMatchObject({ maxUses: 2, uses: 2 });
      expect((await ask({ offerId: offer.id, promotionCode: code, accountId })).refusal?.detail).toBe(
        'promotionCode: used up',
      );
    });
  });

  describe('a voucher', () => {
    it('is kept as a hash, and read as people type it', async () => {
      const { codes } = await issue({ count: 600, amountMinor: 5, currency: 'EUR' });
      expect(new Set(codes).size).toBe(600);
      const stored = JSON.stringify(await world().db.select().from(vouchers));
      for (const code of codes) {
        expect(code).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$/);
        expect(stored).not.toContain(code.replaceAll('-', ''));
      }
      const typed = codes[0]!.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l');
      expect(await findOpenVoucher(world().db, voucherCodeSchema.parse(typed), START_MS)).not.toBeNull();
    });

    it('pays for its offer without an account, once, however many try', async () => {
      const offer = await createTestOffer(world(), { priceMinor: 299 });
      const { code } = await issue({ offerId: offer.id });
      expect(await ask({ offerId: offer.id, voucherCode: code })).toMatchObject({
        price: { amountMinor: 0 },
        refusal: null,
      });
      const tries = Array.from({ length: AT_ONCE }, async () =>
        place(world(), { ...(await createOrderRequest(offer.id)), voucherCode: code }),
      );
      const codes = await codesOf(tries);
      expect(codes.filter((result) => result === null)).toHaveLength(1);
      expect(codes.filter((result) => result === 'code_invalid')).toHaveLength(AT_ONCE - 1);
    });

    it('goes to one balance, once, however many try; its owner sees the same answer again', async () => {
      const { db } = world();
      const { code } = await issue({ amountMinor: 1000, currency: 'EUR' });
      const parsed = voucherCodeSchema.parse(code);
      const customers = await Promise.all(Array.from({ length: AT_ONCE }, () => createCustomer(world())));
      const codes = await codesOf(
        customers.map(({ id }) => db.transaction((tx) => creditVoucher(tx, parsed, id, START_MS))),
      );
      expect(codes.filter((result) => result === null)).toHaveLength(1);
      const winner = customers[codes.indexOf(null)]!.id;
      expect(await db.transaction((tx) => creditVoucher(tx, parsed, winner, START_MS))).toMatchObject({
        replayed: true,
        amount: { amountMinor: 1000, currency: 'EUR' },
      });
      const balances = await Promise.all(customers.map(({ id }) => balancesOf(db, id)));
      expect(balances.flat()).toEqual([{ amountMinor: 1000, currency: 'EUR' }]);
    });

    it('that an account redeems several times at once is on its balance once, and every answer says so', async () => {
      const { db } = world();
      const parsed = voucherCodeSchema.parse((await issue({ amountMinor: 1000, currency: 'EUR' })).code);
      const { id } = await createCustomer(world());
      const answers = await Promise.all(
        Array.from({ length: AT_ONCE }, () =>
          db.transaction((tx) => creditVoucher(tx, parsed, id, START_MS)),
        ),
      );
      expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
      expect(answers.map(({ amount }) => amount.amountMinor)).toEqual(answers.map(() => 1000));
      expect(await balancesOf(db, id)).toEqual([{ amountMinor: 1000, currency: 'EUR' }]);
    });

    it('that is over, cancelled, unknown or for something else is refused', async () => {
      const { db } = world();
      const offer = await createTestOffer(world(), { priceMinor: 299 });
      const other = await createTestOffer(world(), { priceMinor: 1 });
      const cancelled = await issue({ offerId: offer.id });
      await cancelVouchers(db, cancelled.batch.id, now);
      const open = await issue({ offerId: offer.id });
      const refusalOf = async (voucherCode: string, nowMs = START_MS) =>
        (await ask({ offerId: offer.id, voucherCode, nowMs })).refusal;
      expect(await refusalOf(open.code)).toBeNull();
      expect(await refusalOf(open.code, START_MS + 3_600_000)).toMatchObject({ code: 'code_invalid' });
      expect(await refusalOf(cancelled.code)).toMatchObject({ detail: 'voucherCode: not valid' });
      expect(await refusalOf('0000-0000-0000-0000')).toMatchObject({ detail: 'voucherCode: not valid' });
      expect(await refusalOf("' OR 1=1 --")).toMatchObject({ detail: 'voucherCode: not valid' });
      expect(await refusalOf((await issue({ offerId: other.id })).code)).toMatchObject({
        detail: 'voucherCode: it is for another offer',
      });
      const { code } = await issue({ amountMinor: 5, currency: 'EUR' });
      expect(await refusalOf(code)).toMatchObject({ code: 'code_invalid' });
      const { id } = await createCustomer(world());
      await expect(creditVoucher(db, voucherCodeSchema.parse(open.code), id, START_MS)).rejects.toMatchObject(
        {
          code: 'code_invalid',
        },
      );
      await expect(issue({ offerId: offer.id, expiresAt: now })).rejects.toMatchObject({
        code: 'input_invalid',
      });
    });

    it('is good again when its order comes to nothing', async () => {
      const { db } = world();
      const offer = await createTestOffer(world(), { priceMinor: 299 });
      const parsed = voucherCodeSchema.parse((await issue({ offerId: offer.id })).code);
      const free = await createTestOffer(world());
      const orderId = (await orderOffer(world(), free.id)).order.id;
      const open = (await findOpenVoucher(db, parsed, START_MS))!;
      await redeemVoucher(db, open.id, { orderId }, START_MS);
      expect(await findOpenVoucher(db, parsed, START_MS)).toBeNull();
      await expect(redeemVoucher(db, open.id, { orderId }, START_MS)).rejects.toBeInstanceOf(Denial);
      await returnVoucher(db, orderId);
      expect(await findOpenVoucher(db, parsed, START_MS)).toEqual(open);
    });
  });

  describe('a quote', () => {
    it.each<[string, TitlePatch, Partial<QuoteRequest>, string | null]>([
      ['here', { countries: ['DE'] }, { country: 'DE' }, null],
      ['abroad', { countries: ['DE'] }, { country: 'FR' }, 'the title is not sold in your country'],
      [
        'from nowhere',
        { countries: ['DE'] },
        {},
        'the title is sold in some countries only, and yours is not known',
      ],
      [
        'too early',
        { availableFrom: seconds(60) },
        {},
        'the title is available from 2026-05-01T12:01:00.000Z',
      ],
      ['too late', { availableUntil: seconds(0) }, {}, 'the title is no longer available'],
    ])('of a title that is asked for %s', async (_what, patch, request, detail) => {
      const offer = await createTestOffer(world());
      await updateTitle(world().db, offer.titleId, patch);
      const { refusal } = await ask({ offerId: offer.id, ...request });
      if (detail === null) expect(refusal).toBeNull();
      else expect(refusal).toMatchObject({ code: 'not_on_sale', detail });
    });

    it('of what is not published or not sold finds nothing', async () => {
      const offer = await createTestOffer(world());
      await updateTitle(world().db, offer.titleId, { published: false });
      await expect(ask({ offerId: offer.id })).rejects.toMatchObject({ code: 'not_found', detail: 'title' });
      await expect(ask({ offerId: randomUUID() })).rejects.toMatchObject({ detail: 'offer' });
    });

    it('of a price wants an account', async () => {
      const offer = await createTestOffer(world(), { priceMinor: 5 });
      expect((await ask({ offerId: offer.id })).refusal?.code).toBe('unauthenticated');
    });

    it('of an event says when its ticket begins and ends, and is refused when it is over', async () => {
      const { titleId } = await createTestOffer(world());
      const timeOption = {
        kind: 'event' as const,
        from: seconds(60).toISOString(),
        until: seconds(120).toISOString(),
      };
      const input: OfferInput = {
        titleId,
        name: 'x',
        priceMinor: 0,
        currency: 'EUR',
        active: true,
        timeOption,
      };
      const { id } = await createOffer(world().db, input, now);
      expect(await ask({ offerId: id })).toMatchObject({
        refusal: null,
        validity: { nbf: START_MS / 1000 + 60, exp: START_MS / 1000 + 120 },
      });
      expect((await ask({ offerId: id, nowMs: START_MS + 120_000 })).refusal?.code).toBe('not_on_sale');
    });

    it('of a category is for the titles in it', async () => {
      const { db } = world();
      const category = await createCategory(db, { slug: `q-${randomUUID().slice(0, 8)}`, name: 'Q' }, now);
      const timeOption = { kind: 'category' as const, seconds: 3600 };
      const offer = await createOffer(
        db,
        { categoryId: category.id, name: 'x', priceMinor: 0, currency: 'EUR', active: true, timeOption },
        now,
      );
      const input = {
        path: `/live/${randomUUID()}`,
        name: 'x',
        description: '',
        published: true,
        serverIds: [],
      };
      const titleId = await createTitle(db, { ...input, categoryIds: [category.id] }, now);
      const { titleId: elsewhere } = await createTestOffer(world());
      expect((await ask({ offerId: offer.id })).title).toBeNull();
      expect((await ask({ offerId: offer.id, titleId })).title?.id).toBe(titleId);
      await expect(ask({ offerId: offer.id, titleId: elsewhere })).rejects.toMatchObject({
        code: 'not_found',
      });
    });
  });
}
