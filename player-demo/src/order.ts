import { decodeJwt } from 'jose';
import type { Api, Code, Offer, OpenOrder, PlacedOrder, PlaceOrderInput, Title } from './api.ts';
import { createOrderKeys, type OrderKeys } from './keys.ts';
import { Problem } from './problems.ts';
import type { StoredTicket, TicketStore } from './store.ts';
import { checkTicket, TicketMismatch } from './ticket.ts';

export interface Ordering {
  readonly api: Pick<Api, 'placeOrder' | 'orderTicket' | 'renewTicket' | 'keySet'>;
  readonly store: Pick<TicketStore, 'putTicket' | 'putPending' | 'findPending' | 'removePending'>;
  /** Whom the ticket must come from: `issuerOf` this page. */
  readonly issuer: string;
  readonly nowMs: () => number;
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
  /** The order of a category whose further title it is: nothing is paid. */
  readonly within?: OpenOrder | null;
}

/**
 * Orders a ticket, checks it, and only then stores it. An order that got no answer is repeated with the same keys
 * and the same idempotency key, now or after a reload, so that nothing is charged twice.
 * @throws Problem when the shop refuses or cannot be reached; TicketMismatch when the ticket is not what was ordered.
 */
export function orderTicket(
  ordering: Ordering,
  account: string,
  title: Title,
  offer: Offer,
  { code = null, within = null }: How = {},
): Promise<StoredTicket> {
  const { api } = ordering;
  return obtain(ordering, { account, title, offer, within, of: within?.id ?? offer.id }, null, (input) =>
    within === null
      ? api.placeOrder({ ...input, titleId: title.id, offerId: offer.id, ...code })
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
  return obtain(ordering, what, keys, (input) =>
    ordering.api.renewTicket({ ...input, ticketId, offerId: offer.id }),
  );
}

interface What {
  readonly account: string;
  readonly title: Title;
  readonly offer: Offer;
  readonly within: OpenOrder | null;
  /** What the order is repeated by, beside account and title. */
  readonly of: string;
}

/** @param proof whose proof key the ticket is for; `null`: a fresh one */
async function obtain(
  { api, store, issuer, nowMs, onEndpoint }: Ordering,
  { account, title, offer, within, of }: What,
  proof: OrderKeys | null,
  place: (input: Pick<PlaceOrderInput, 'proofKey' | 'sealKey' | 'idempotencyKey'>) => Promise<PlacedOrder>,
): Promise<StoredTicket> {
  const id = `${account} ${of} ${title.id}`;
  const order = (await store.findPending(id)) ?? {
    id,
    idempotencyKey: crypto.randomUUID(),
    keys: withProofOf(await createOrderKeys(), proof),
  };
  await store.putPending(order);
  const { keys, idempotencyKey } = order;
  try {
    const input = { idempotencyKey, proofKey: keys.proofJwk, sealKey: keys.sealJwk };
    const [placed, keySet] = await Promise.all([
      withRetry(() => place(input)).then((answer) => {
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

/** A renewed ticket's client part has a key of its own; its proof key is the one that the session is known by. */
function withProofOf(fresh: OrderKeys, proof: OrderKeys | null): OrderKeys {
  if (proof === null) return fresh;
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
const TRIES = 3;

async function withRetry(place: () => Promise<PlacedOrder>): Promise<PlacedOrder> {
  for (let tries = 1; ; tries++) {
    try {
      return await place();
    } catch (error) {
      const unanswered = error instanceof Problem && error.code === 'shop_unreachable';
      if (!unanswered || tries === TRIES) throw error;
    }
  }
}
