/** Placing an order: what is sold is priced, paid or held, and the ticket issued. */
import { sql } from 'drizzle-orm';
import { Denial } from '../../plugin/errors.ts';
import { isSealKey, thumbprint } from '../../plugin/ticket/index.ts';
import { reserveCapacity } from '../catalog/capacity.ts';
import type { Executor } from '../db/connect.ts';
import { sha256 } from '../ids.ts';
import { bookStep } from '../payments/books.ts';
import { findOpenOperation, findPayment, insertOperation, insertPayment } from '../payments/payments.ts';
import { countPreview } from '../pricing/previews.ts';
import { usePromotion } from '../pricing/promotions.ts';
import { quote, type Quote } from '../pricing/quote.ts';
import { redeemVoucher } from '../pricing/vouchers.ts';
import { findIssued, type IssuedTicket } from '../tickets/issue.ts';
import type { TicketAuthority } from '../trust/signing-keys.ts';
import { insertOrder, transition, type OrderActor } from './change.ts';
import { fulfil } from './fulfil.ts';
import { findRequested, type Order } from './orders.ts';
import { findRenewed, requireRenewable } from './renew.ts';
import type { Buyer, OrderRequest } from './request.ts';
import type { OrderTerms } from './terms.ts';

export interface PlacedOrder {
  readonly order: Order;
  /** Null until the payment is authorized. */
  readonly issued: IssuedTicket | null;
  /** True when this request had been answered before. */
  readonly replayed: boolean;
  /** What the payment provider is to be asked once the transaction is through; null for nothing. */
  readonly operationId: string | null;
}

const retrySoon = (detail: string) => new Denial('conflict', { detail, retryAfterSeconds: 1 });

/**
 * Takes the request for this transaction. Another one that runs with the same key is not waited for.
 * @throws Denial `conflict`.
 */
async function takeRequest(tx: Executor, buyer: string, key: string): Promise<void> {
  const [row] = await tx.execute<{ taken: boolean }>(
    sql`select pg_try_advisory_xact_lock(hashtextextended(${`${buyer} ${key}`}, 2)) as taken`,
  );
  if (row?.taken !== true) throw retrySoon('idempotencyKey: this request is being worked on');
}

async function findReplay(
  tx: Executor,
  buyer: string,
  key: string,
  requestHash: string,
  now: Date,
): Promise<PlacedOrder | null> {
  const found = await findRequested(tx, buyer, key);
  if (found === null) return null;
  if (found.requestHash !== requestHash) throw new Denial('idempotency_conflict');
  const { order } = found;
  if (order.state === 'placed') {
    const payment = await findPayment(tx, order.id);
    const open = payment === null ? null : await findOpenOperation(tx, payment.id);
    if (open?.state === 'sent' && open.dueAt !== null && open.dueAt > now)
      throw retrySoon('idempotencyKey: this request is being worked on');
  }
  return { order, issued: await findIssued(tx, order.id), replayed: true, operationId: null };
}

function termsOf({ offer }: Quote): OrderTerms {
  const { meterUnit, meterPrice } = offer;
  return {
    name: offer.name,
    categoryId: offer.categoryId,
    rights: offer.rights,
    validSeconds: offer.validSeconds,
    validFrom: offer.validFrom?.toISOString() ?? null,
    validUntil: offer.validUntil?.toISOString() ?? null,
    charging: offer.charging,
    unusedPolicy: offer.unusedPolicy,
    captureAfterSeconds: offer.captureAfterSeconds,
    meter:
      meterUnit === null || meterPrice === null
        ? null
        : { unit: meterUnit, priceMinor: meterPrice.amountMinor },
    transport: offer.transport,
    taxInclusive: offer.taxInclusive,
  };
}

/** What the order costs, whoever pays: a voucher pays the list price. */
function amountOf({ voucherId, list, price }: Quote): number {
  return voucherId === null ? price.amountMinor : list.amountMinor;
}

function providerFor(quoted: Quote, request: OrderRequest): 'balance' | 'voucher' | 'test_card' {
  if (quoted.voucherId !== null) return 'voucher';
  return request.cardToken === undefined ? 'balance' : 'test_card';
}

type TitledQuote = Quote & { readonly title: NonNullable<Quote['title']> };

async function quoted(
  tx: Executor,
  request: OrderRequest,
  { accountId, country }: Buyer,
  nowMs: number,
): Promise<TitledQuote> {
  const { offerId, titleId, promotionCode, voucherCode } = request;
  const answer = await quote(tx, {
    offerId,
    ...(titleId === undefined ? {} : { titleId }),
    ...(promotionCode === undefined ? {} : { promotionCode }),
    ...(voucherCode === undefined ? {} : { voucherCode }),
    accountId,
    country,
    nowMs,
  });
  if (answer.refusal !== null) throw answer.refusal;
  const { title } = answer;
  if (title === null) throw new Denial('input_invalid', { detail: 'titleId: which one to begin with' });
  return { ...answer, title };
}

/** Holds the money, or writes down what the provider is to be asked. */
async function pay(
  tx: Executor,
  order: Order,
  provider: 'balance' | 'voucher' | 'test_card',
  source: string | null,
  now: Date,
): Promise<string | null> {
  const { amountMinor, currency } = order.price;
  const isLocal = provider !== 'test_card';
  const payment = await insertPayment(
    tx,
    {
      orderId: order.id,
      accountId: order.accountId,
      titleId: order.titleId,
      provider,
      state: isLocal ? 'authorized' : 'pending',
      amountMinor,
      currency,
      source,
    },
    now,
  );
  if (!isLocal)
    return insertOperation(tx, { paymentId: payment.id, kind: 'authorize', amountMinor, state: 'sent' }, now);
  await bookStep(tx, 'hold', payment, amountMinor, now);
  return null;
}

/**
 * Sells an offer: counts and holds what it costs, keeps a place, issues the ticket. All of it or, when it throws,
 * nothing; run it in a transaction of its own. An order by card is only placed: its ticket comes when the operation
 * that the answer names has been run. The same buyer, idempotency key and input get the same answer again, without a
 * charge.
 * @throws Denial `not_found`, `not_on_sale`, `unauthenticated`, `forbidden` (the account or the proof key is revoked),
 *   `idempotency_conflict`, `conflict` (the same request is being worked on), `code_invalid`, `funds_insufficient`,
 *   `input_invalid` (the seal key), `overloaded` (no streaming server has room); for a renewal as `requireRenewable`.
 * @param renews the ticket (`jti`) that this order's one may take the place of; the request is `orderOfRenewal`'s
 */
export async function placeOrder(
  tx: Executor,
  authority: TicketAuthority,
  request: OrderRequest,
  buyer: Buyer,
  nowMs: number,
  renews?: string,
): Promise<PlacedOrder> {
  const now = new Date(nowMs);
  const { accountId } = buyer;
  const jkt = thumbprint(request.proofKey);
  const who = accountId === null ? `key:${jkt}` : `account:${accountId}`;
  const { offerId, titleId, promotionCode, voucherCode, cardToken, idempotencyKey } = request;
  const requestHash = sha256(
    JSON.stringify([
      ...[offerId, titleId ?? null, promotionCode ?? null, voucherCode ?? null, cardToken ?? null],
      ...[jkt, thumbprint(request.sealKey)],
      ...(renews === undefined ? [] : [renews]),
    ]),
  );
  await takeRequest(tx, who, idempotencyKey);
  const before = await findReplay(tx, who, idempotencyKey, requestHash, now);
  if (before !== null) return before;
  if (!isSealKey(request.sealKey)) throw new Denial('input_invalid', { detail: 'sealKey: not a valid key' });

  const sold = await quoted(tx, request, buyer, nowMs);
  if (renews !== undefined)
    requireRenewable(await findRenewed(tx, renews, true), sold.offer, sold.validity, sold.title.id, nowMs);
  const provider = providerFor(sold, request);
  const amountMinor = amountOf(sold);
  const isByCard = amountMinor > 0 && provider === 'test_card';
  const placed = await insertOrder(tx, {
    accountId,
    offerId,
    titleId: sold.title.id,
    priceMinor: amountMinor,
    listPriceMinor: sold.list.amountMinor,
    currency: sold.list.currency,
    terms: termsOf(sold),
    buyer: who,
    idempotencyKey,
    requestHash,
    clientKeys: isByCard
      ? { jkt, sealKey: request.sealKey, ...(renews === undefined ? {} : { renews }) }
      : null,
    createdAt: now,
  });
  if (placed === null) throw new Denial('conflict', { detail: 'idempotencyKey' });
  if (sold.voucherId !== null) await redeemVoucher(tx, sold.voucherId, { orderId: placed.id }, nowMs);
  if (sold.promotionId !== null)
    await usePromotion(tx, { promotionId: sold.promotionId, orderId: placed.id, accountId, nowMs });
  await countPreview(tx, sold.offer, sold.title.id, buyer.address, nowMs);
  const operationId = amountMinor > 0 ? await pay(tx, placed, provider, cardToken ?? null, now) : null;
  const isForAnybody = accountId === null && amountMinor === 0;
  // Who renews has his place already.
  const where =
    renews === undefined
      ? { servers: await reserveCapacity(tx, sold.title.id, isForAnybody ? null : placed.id, nowMs) }
      : { renews };
  const actor: OrderActor = { kind: 'buyer', id: accountId };
  if (operationId !== null) {
    const order = await transition(tx, placed, [], { actor, now, isNew: true });
    return { order, issued: null, replayed: false, operationId };
  }
  const { issued, changes } = await fulfil(tx, authority, {
    order: placed,
    path: sold.title.path,
    jkt,
    sealKey: request.sealKey,
    nowMs,
    ...where,
  });
  const steps = [{ to: 'authorized' as const }, { to: 'ticketed' as const }];
  const order = await transition(tx, placed, steps, { actor, now, changes, isNew: true });
  return { order, issued, replayed: false, operationId: null };
}
