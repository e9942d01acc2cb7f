/** What an order would cost and get, worked out from rows and changing none. */
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import { whyUnavailable } from '../catalog/availability.ts';
import { isOfCategory } from '../catalog/categories.ts';
import { findOffer, type Offer } from '../catalog/offers.ts';
import { findTitleRow, type TitleRow } from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { money, type Money } from '../ledger/money.ts';
import { validityOf } from './compile.ts';
import { discountOf, findApplicable, promotionCodeSchema } from './promotions.ts';
import { findOpenVoucher, voucherCodeSchema } from './vouchers.ts';

/** What of an order is priced; codes as people type them. */
export const quoteRequestSchema = z.strictObject({
  offerId: z.uuid(),
  /** Which title of a category, if one is wanted at once; that of a title's offer may be left out. */
  titleId: z.uuid().exactOptional(),
  promotionCode: z.string().max(60).exactOptional(),
  voucherCode: z.string().max(60).exactOptional(),
});

export interface QuoteRequest extends z.infer<typeof quoteRequestSchema> {
  /** The buyer, null for nobody. */
  readonly accountId: string | null;
  readonly country: string | null;
  readonly nowMs: number;
}

export interface Quote {
  readonly offer: Offer;
  /** What is to be watched; null for a category of which no title was named. */
  readonly title: TitleRow | null;
  /** When a ticket of this moment would begin and end, Unix seconds. */
  readonly validity: { readonly nbf: number; readonly exp: number };
  /** What the offer costs. */
  readonly list: Money;
  readonly discount: Money;
  /** What is left to pay; for a metered offer, the most. */
  readonly price: Money;
  /** What `usePromotion` counts. */
  readonly promotionId: string | null;
  /** What `redeemVoucher` takes. */
  readonly voucherId: string | null;
  /** Why it cannot be ordered; null when it can. */
  readonly refusal: Denial | null;
}

interface Discount {
  readonly offMinor: number;
  readonly promotionId: string | null;
  readonly voucherId: string | null;
  readonly refusal: Denial | null;
}

const NONE: Discount = { offMinor: 0, promotionId: null, voucherId: null, refusal: null };

const badCode = (field: 'promotionCode' | 'voucherCode', why: string): Discount => ({
  ...NONE,
  refusal: new Denial('code_invalid', { detail: `${field}: ${why}` }),
});

async function discountFor(
  tx: Executor,
  request: QuoteRequest,
  offer: Offer,
  titleId: string | null,
): Promise<Discount> {
  const { promotionCode, voucherCode, accountId, nowMs } = request;
  const priceMinor = offer.price.amountMinor;
  if (promotionCode !== undefined && voucherCode !== undefined)
    return badCode('promotionCode', 'a voucher pays for all of it');
  if (voucherCode !== undefined) {
    const code = voucherCodeSchema.safeParse(voucherCode);
    const voucher = code.success ? await findOpenVoucher(tx, code.data, nowMs) : null;
    if (voucher === null) return badCode('voucherCode', 'not valid');
    if (voucher.offerId === null) return badCode('voucherCode', 'it is for a balance: redeem it there');
    if (voucher.offerId !== offer.id) return badCode('voucherCode', 'it is for another offer');
    return { ...NONE, offMinor: priceMinor, voucherId: voucher.id };
  }
  if (promotionCode === undefined) return NONE;
  const code = promotionCodeSchema.safeParse(promotionCode);
  const found = code.success
    ? await findApplicable(tx, code.data, { offer, titleId, accountId, nowMs })
    : 'not known';
  if (typeof found === 'string') return badCode('promotionCode', found);
  return { ...NONE, offMinor: discountOf(found, priceMinor), promotionId: found.id };
}

/** The title that is meant. @throws Denial `not_found`, `input_invalid`. */
async function titleOf(tx: Executor, offer: Offer, titleId: string | undefined): Promise<TitleRow | null> {
  if (offer.titleId !== null && titleId !== undefined && titleId !== offer.titleId)
    throw new Denial('input_invalid', { detail: 'titleId: the offer is for another title' });
  const id = titleId ?? offer.titleId;
  if (id === null) return null;
  const title = await findTitleRow(tx, id);
  const isOpened =
    title?.published === true &&
    (offer.categoryId === null || (await isOfCategory(tx, title.id, offer.categoryId)));
  if (!isOpened) throw new Denial('not_found', { detail: 'title' });
  return title;
}

/**
 * Prices an order. It changes nothing: the order counts the promotion's use and redeems the voucher itself.
 * @throws Denial `not_found` when there is no such offer, it is not sold, or its title is not published;
 *   `input_invalid`. What else stands in the way is the answer's `refusal`.
 */
export async function quote(tx: Executor, request: QuoteRequest): Promise<Quote> {
  return quoteOffer(tx, await findOffer(tx, request.offerId), request);
}

/** The same, of the request's offer when it is read already; null when there is none. */
export async function quoteOffer(tx: Executor, offer: Offer | null, request: QuoteRequest): Promise<Quote> {
  const { titleId, accountId, country, nowMs } = request;
  if (offer?.active !== true) throw new Denial('not_found', { detail: 'offer' });
  const title = await titleOf(tx, offer, titleId);
  const { offMinor, promotionId, voucherId, refusal } = await discountFor(
    tx,
    request,
    offer,
    title?.id ?? null,
  );
  const { amountMinor, currency } = offer.price;
  const price = money(amountMinor - offMinor, currency);
  const validity = validityOf(offer, Math.floor(nowMs / 1000));
  const unavailable =
    validity.exp * 1000 <= nowMs
      ? 'what the offer is for is over'
      : title === null
        ? null
        : whyUnavailable(title, { country, nowMs });
  const stranger = accountId === null && amountMinor > 0 && voucherId === null;
  return {
    offer,
    title,
    validity,
    list: offer.price,
    discount: money(offMinor, currency),
    price,
    promotionId,
    voucherId,
    refusal:
      unavailable === null
        ? (refusal ?? (stranger ? new Denial('unauthenticated') : null))
        : new Denial('not_on_sale', { detail: unavailable }),
  };
}
