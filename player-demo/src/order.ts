import { decodeJwt } from 'jose';
import type { Api, Code, Means, Offer, OpenOrder, PlacedOrder, PlaceOrderInput, Title } from './api.ts';
import { createOrderKeys, type OrderKeys } from './keys.ts';
import { Problem } from './problems.ts';
import type { PendingOrder, StoredTicket, TicketStore } from './store.ts';
import { checkTicket, TicketMismatch } from './ticket.ts';

export interface Ordering {
  readonly api: Pick<Api, 'placeOrder' | 'orderTicket' | 'renewTicket' | 'keySet'>;
  readonly store: Pick<TicketStore, 'putTicket' | 'putPending' | 'findPending' | 'removePending'>;
  /** Whom the ticket must come from: `issuerOf` this page. */
  readonly issuer: string;
  readonly nowMs: () => number;
  readonly wait: (ms: number) => Promise<void>;
  /** Told when the payment is being decided on, and the shop will be asked again. */
  readonly onPending?: () => void;
  /** Told where the stream will be as soon as the shop says it, before the ticket is checked. */
  readonly onEndpoint?: (url: string) => void;
}

/** The shop that a page of the player belongs to, by its URL: where its files are, without a trailing slash. */
export function issuerOf(pageUrl: string): string {
  return new URL('.', pageUrl).href.replace(/\/+$/, '');
}

/** How a ticket is had. */
export interface How {
  /** Makes it cheaper, or pays for it. */
  readonly code?: Code | null;
  /** The payment provider's token of the card that pays; `null`: the balance does. */
  readonly cardToken?: string | null;
  /** The order of a category whose further title it is: nothing is paid. */
  readonly within?: OpenOrder | null;
}

/**
 * Orders a ticket, checks it, and only then stores it. An order that got no answer is repeated with the same keys
 * and the same idempotency key, now or after a reload, so that nothing is charged twice; so is one whose payment is not
 * decided on yet, by itself for a while.
 * @throws Problem when the shop refuses or cannot be reached; TicketMismatch when the ticket is not what was ordered.
 */
export function orderTicket(
  ordering: Ordering,
  account: string,
  title: Title,
  offer: Offer,
  { code = null, cardToken = null, within = null }: How = {},
): Promise<StoredTicket> {
  const { api } = ordering;
  const what = { account, title, offer: within?.offer ?? offer, within, of: within?.id ?? offer.id };
  return obtain(ordering, what, { code, cardToken }, (input, means) =>
    within === null
      ? api.placeOrder({ ...input, titleId: title.id, offerId: offer.id, ...means })
      : api.orderTicket({ ...input, titleId: title.id, orderId: within.id }),
  );
}

/**
 * Buys a ticket that may take the place of another one in its running session: for the same proof key. Checked, stored
 * and repeated as `orderTicket` does.
 * @throws Problem, TicketMismatch
 */
export function renewTicket(
  ordering: Ordering,
  { account, orderId, ticket, keys }: StoredTicket,
  title: Title,
  offer: Offer,
): Promise<StoredTicket> {
  const { jti: ticketId = '' } = decodeJwt(ticket);
  const what = { account, title, offer, within: null, of: `${orderId} ${offer.id}` };
  return obtain(ordering, what, { proof: keys }, (input) =>
    ordering.api.renewTicket({ ...input, ticketId, offerId: offer.id }),
  );
}

interface What {
  readonly account: string;
  readonly title: Title;
  /** As it was, or will be, sold. */
  readonly offer: Offer;
  readonly within: OpenOrder | null;
  /** What the order is repeated by, beside account and title. */
  readonly of: string;
}

interface By extends Pick<How, 'code' | 'cardToken'> {
  /** Whose proof key the ticket is for; default: a fresh one. */
  readonly proof?: OrderKeys;
}

type Input = Pick<PlaceOrderInput, 'proofKey' | 'sealKey' | 'idempotencyKey'>;

async function obtain(
  { api, store, issuer, nowMs, wait, onPending, onEndpoint }: Ordering,
  { account, title, offer, within, of }: What,
  { code = null, cardToken = null, proof }: By,
  place: (input: Input, means: Means | null) => Promise<PlacedOrder>,
): Promise<StoredTicket> {
  const id = `${account} ${of} ${title.id}`;
  const before = await store.findPending(id);
  const codes = meansToTry(code, cardToken, before);
  const order = {
    ...(before ?? {
      id,
      idempotencyKey: crypto.randomUUID(),
      keys: withProofOf(await createOrderKeys(), proof),
    }),
    codes,
  };
  await store.putPending(order);
  const { keys, idempotencyKey } = order;
  try {
    const input = { idempotencyKey, proofKey: keys.proofJwk, sealKey: keys.sealJwk };
    const tryAll = () => withAnyMeans(codes, (means) => place(input, means));
    const [placed, keySet] = await Promise.all([
      decided(
        () =>
          withRetry(tryAll, async ({ code: answer }) => {
            if (before === null && TURNED_AWAY.has(answer)) await store.removePending(id);
          }),
        wait,
        onPending,
      ).then((answer) => {
        onEndpoint?.(answer.whep);
        return answer;
      }),
      api.keySet(),
    ]);
    const checked = await checkTicket(
      placed,
      { issuer, uri: title.path, rights: offer.rights, ...validityOf(offer, within), keys },
      keySet,
      nowMs(),
    );
    const ticket: StoredTicket = {
      orderId: placed.orderId,
      account,
      titleId: title.id,
      offerId: offer.id,
      offerName: offer.name,
      uri: title.path,
      ticket: placed.ticket,
      endpoint: placed.whep,
      expiresAtSeconds: checked.expiresAtSeconds,
      countsAccesses: checked.countsAccesses,
      allowedSeconds: checked.allowedSeconds,
      keys,
    };
    await store.putTicket(ticket);
    await store.removePending(id);
    return ticket;
  } catch (error) {
    if (isFinal(error)) await store.removePending(id);
    throw error;
  }
}

/**
 * What was chosen, and what an order that got no answer was sent with: its code need not be typed again. A voucher pays
 * alone.
 */
function meansToTry(
  typed: Code | null,
  cardToken: string | null,
  before: PendingOrder | null,
): readonly (Means | null)[] {
  const sent = before === null ? [] : (before.codes ?? [null]);
  const code = typed ?? codeOf(sent[0] ?? null);
  const isByCard = cardToken !== null && !(code !== null && 'voucherCode' in code);
  const chosen = isByCard ? { ...code, cardToken } : code;
  return [chosen, ...sent.filter((means) => JSON.stringify(means) !== JSON.stringify(chosen))];
}

function codeOf(means: Means | null): Code | null {
  if (means?.voucherCode !== undefined) return { voucherCode: means.voucherCode };
  return means?.promotionCode === undefined ? null : { promotionCode: means.promotionCode };
}

/** The shop knows the order by its key: had it come through by other means, `idempotency_conflict` says so. */
async function withAnyMeans(
  all: readonly (Means | null)[],
  place: (means: Means | null) => Promise<PlacedOrder>,
): Promise<PlacedOrder> {
  const [first = null, ...others] = all;
  try {
    return await place(first);
  } catch (error) {
    const isOther = error instanceof Problem && error.code === 'idempotency_conflict';
    if (!isOther || others.length === 0) throw error;
    return withAnyMeans(others, place);
  }
}

/** A renewed ticket's client part has a key of its own; its proof key is the one that the session is known by. */
function withProofOf(fresh: OrderKeys, proof: OrderKeys | undefined): OrderKeys {
  if (proof === undefined) return fresh;
  const { proofAlg, proofPrivateKey, proofJwk } = proof;
  return { ...fresh, proofAlg, proofPrivateKey, proofJwk };
}

function validityOf({ validSeconds, validUntil }: Offer, within: OpenOrder | null) {
  const until = within?.expiresAt ?? validUntil;
  if (until === null) return { validSeconds };
  return { validSeconds: null, validUntilSeconds: Math.floor(Date.parse(until) / 1000) };
}

/** True if repeating the very same order makes no sense: it was refused, or what it bought is over. */
function isFinal(error: unknown): boolean {
  if (error instanceof TicketMismatch) return error.part === 'exp';
  return error instanceof Problem && !UNANSWERED.has(error.code);
}

/** `conflict`: the same order is being worked on, for a request whose answer was lost. */
const UNANSWERED = new Set([
  ...['shop_unreachable', 'internal', 'overloaded', 'rate_limited', 'unexpected', 'conflict'],
  'payment_pending',
]);
/** To the very first try they say that nothing was written; to a repetition they say nothing of the first. */
const TURNED_AWAY = new Set(['overloaded', 'rate_limited']);
const TRIES = 3;

/** Between two questions about a payment: seldom, since each counts as a try of a code; a minute and a half in all. */
const PAUSES_MS = [1000, 2000, 2000, 5000, 10_000, 10_000, 10_000, 10_000, 20_000, 20_000];

/** Asks again while the payment is being decided on, or the same order is being worked on for an earlier request. */
async function decided(
  place: () => Promise<PlacedOrder>,
  wait: (ms: number) => Promise<void>,
  onPending: () => void = () => undefined,
): Promise<PlacedOrder> {
  for (const pauseMs of PAUSES_MS) {
    try {
      return await place();
    } catch (error) {
      if (!(error instanceof Problem) || !isUndecided(error)) throw error;
      onPending();
      await wait(Math.max(pauseMs, (error.retryAfterSeconds ?? 0) * 1000));
    }
  }
  return place();
}

/** A `conflict` that says when to come again is none for ever. */
function isUndecided({ code, retryAfterSeconds }: Problem): boolean {
  return code === 'payment_pending' || (code === 'conflict' && retryAfterSeconds !== null);
}

/** @param onFirst told what came of the first try, if that was a problem. */
async function withRetry(
  place: () => Promise<PlacedOrder>,
  onFirst: (problem: Problem) => Promise<void>,
): Promise<PlacedOrder> {
  for (let tries = 1; ; tries++) {
    try {
      return await place();
    } catch (error) {
      if (tries === 1 && error instanceof Problem) await onFirst(error);
      const unanswered = error instanceof Problem && error.code === 'shop_unreachable';
      if (!unanswered || tries === TRIES) throw error;
    }
  }
}
