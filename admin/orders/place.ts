/** Placing an order: what is sold is priced, paid or held, and the ticket issued. */
import { sql } from 'drizzle-orm';
import { Denial } from '../../plugin/errors.ts';
import { isSealKey, thumbprint } from '../../plugin/ticket/index.ts';
import { reserveCapacity } from '../catalog/capacity.ts';
import { findOffer, type Offer } from '../catalog/offers.ts';
import type { Executor } from '../db/connect.ts';
import { writtenOnce } from '../db/prepare.ts';
import { together } from '../db/together.ts';
import { newId, sha256 } from '../ids.ts';
import { money } from '../ledger/money.ts';
import { bookStep } from '../payments/books.ts';
import {
  findOpenOperation,
  findPayment,
  insertOperation,
  insertPayment,
  type Payment,
} from '../payments/payments.ts';
import { countPreview } from '../pricing/previews.ts';
import { usePromotion } from '../pricing/promotions.ts';
import { quoteOffer, type Quote } from '../pricing/quote.ts';
import { redeemVoucher } from '../pricing/vouchers.ts';
import { findIssued, type IssuedTicket } from '../tickets/issue.ts';
import { serversOf } from '../trust/servers.ts';
import type { TicketAuthority } from '../trust/signing-keys.ts';
import { insertOrder, transition, type OrderActor } from './change.ts';
import { fulfil, refusalOf } from './fulfil.ts';
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

const lockingRequest = writtenOnce<{ taken: boolean }>(
  sql`select pg_try_advisory_xact_lock(hashtextextended(${sql.placeholder('request')}, 2)) as taken`,
);

/**
 * Takes the request for this transaction. Another one that runs with the same key is not waited for.
 * @throws Denial `conflict`.
 */
async function takeRequest(tx: Executor, buyer: string, key: string): Promise<void> {
  const [row] = await lockingRequest(tx).execute({ request: `${buyer} ${key}` });
  if (row?.taken !== true) throw retrySoon('idempotencyKey: this request is being worked on');
}

/** The answer to a request that was made before. */
async function replay(tx: Executor, order: Order, now: Date): Promise<PlacedOrder> {
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
  offer: Offer | null,
  request: OrderRequest,
  { accountId, country }: Buyer,
  nowMs: number,
): Promise<TitledQuote> {
  const { offerId, titleId, promotionCode, voucherCode } = request;
  const answer = await quoteOffer(tx, offer, {
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
  const payment: Payment = {
    id: newId(),
    orderId: order.id,
    accountId: order.accountId,
    titleId: order.titleId,
    provider,
    state: isLocal ? 'authorized' : 'pending',
    amountMinor,
    capturedMinor: 0,
    refundedMinor: 0,
    currency,
    source,
  };
  const operation = { paymentId: payment.id, kind: 'authorize', amountMinor, state: 'sent' } as const;
  const [, operationId] = await together([
    insertPayment(tx, payment, now),
    isLocal ? bookStep(tx, 'hold', payment, amountMinor, now) : insertOperation(tx, operation, now),
  ]);
  return operationId ?? null;
}

/**
 * Uses up codes and quotas of an order, and then holds its money: always in this order, so that none waits for another in
 * a ring. What it begins with may be sent behind the order itself.
 * @returns what the payment provider is to be asked; null for nothing.
 */
async function takeWhatItCosts(
  tx: Executor,
  order: Order,
  sold: TitledQuote,
  request: OrderRequest,
  { accountId, address }: Buyer,
  now: Date,
): Promise<string | null> {
  const nowMs = now.getTime();
  if (sold.voucherId !== null) await redeemVoucher(tx, sold.voucherId, { orderId: order.id }, nowMs);
  if (sold.promotionId !== null)
    await usePromotion(tx, { promotionId: sold.promotionId, orderId: order.id, accountId, nowMs });
  await countPreview(tx, sold.offer, order.titleId, address, nowMs);
  if (order.price.amountMinor === 0) return null;
  return pay(tx, order, providerFor(sold, request), request.cardToken ?? null, now);
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
  const [, before, offer] = await together([
    takeRequest(tx, who, idempotencyKey),
    findRequested(tx, who, idempotencyKey),
    findOffer(tx, offerId),
  ]);
  if (before !== null) {
    if (before.requestHash !== requestHash) throw new Denial('idempotency_conflict');
    return replay(tx, before.order, now);
  }
  if (!isSealKey(request.sealKey)) throw new Denial('input_invalid', { detail: 'sealKey: not a valid key' });

  const wanted = titleId ?? offer?.titleId ?? null;
  const [sold, refusal, carrying] = await together([
    quoted(tx, offer, request, buyer, nowMs),
    refusalOf(tx, accountId, jkt),
    wanted === null ? [] : serversOf(tx, wanted),
  ]);
  if (refusal !== null) throw refusal;
  if (renews !== undefined)
    requireRenewable(await findRenewed(tx, renews, true), sold.offer, sold.validity, sold.title.id, nowMs);
  const amountMinor = amountOf(sold);
  const isByCard = amountMinor > 0 && providerFor(sold, request) === 'test_card';
  const { currency } = sold.list;
  const placed: Order = {
    id: newId(),
    accountId,
    offerId,
    titleId: sold.title.id,
    price: money(amountMinor, currency),
    listPrice: sold.list,
    captured: money(0, currency),
    refunded: money(0, currency),
    state: 'placed',
    terms: termsOf(sold),
    createdAt: now,
    expiresAt: null,
    deliveredAt: null,
  };
  const clientKeys = isByCard
    ? { jkt, sealKey: request.sealKey, ...(renews === undefined ? {} : { renews }) }
    : null;
  const [, operationId] = await together([
    insertOrder(tx, placed, { buyer: who, idempotencyKey, requestHash, clientKeys }),
    takeWhatItCosts(tx, placed, sold, request, buyer, now),
  ]);
  const actor: OrderActor = { kind: 'buyer', id: accountId };
  const isForAnybody = accountId === null && amountMinor === 0;
  // Who renews has his place already.
  const where =
    renews === undefined
      ? { servers: await reserveCapacity(tx, carrying, isForAnybody ? null : placed.id, nowMs) }
      : { renews };
  if (operationId !== null) {
    const order = await transition(tx, placed, [], { actor, now, isNew: true });
    return { order, issued: null, replayed: false, operationId };
  }
  const { order, issued } = await fulfil(tx, authority, {
    order: placed,
    actor,
    isNew: true,
    path: sold.title.path,
    jkt,
    sealKey: request.sealKey,
    nowMs,
    ...where,
  });
  return { order, issued, replayed: false, operationId: null };
}
