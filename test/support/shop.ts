/** A viewer in Node: orders over GraphQL as the player does, and speaks WHEP with proofs. */
import { randomUUID } from 'node:crypto';
import type { JWK } from 'jose';
import {
  createProof,
  generateSealingKey,
  generateSigningKey,
  type ProofOptions,
  type SealingKeyPair,
  type SigningKeyPair,
} from '../../plugin/ticket/index.ts';

/** One GraphQL operation; throws with the codes of its errors. */
export async function graphql<T>(
  orderUrl: string,
  query: string,
  variables: Record<string, unknown> = {},
  token?: string,
): Promise<T> {
  const response = await fetch(`${orderUrl}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = (await response.json()) as { data?: T; errors?: unknown };
  if (errors !== undefined || data === undefined) throw new Error(`GraphQL: ${JSON.stringify(errors)}`);
  return data;
}

export async function signIn(orderUrl: string, login: { email: string; password: string }): Promise<string> {
  const { signIn: signedIn } = await graphql<{ signIn: { token: string } }>(
    orderUrl,
    'mutation ($email: String!, $password: String!) { signIn(email: $email, password: $password) { token } }',
    { email: login.email, password: login.password },
  );
  return signedIn.token;
}

export interface Purchase {
  readonly orderId: string;
  readonly ticket: string;
  readonly clientPart: string;
  readonly whepUrl: string;
  readonly proofKey: SigningKeyPair;
  readonly sealKey: SealingKeyPair;
}

const publicMembers = ({ kty, crv, x, y }: JWK): JWK => ({
  ...(kty === undefined ? {} : { kty }),
  ...(crv === undefined ? {} : { crv }),
  ...(x === undefined ? {} : { x }),
  ...(y === undefined ? {} : { y }),
});

/** What an order is asked for with: again and again the same, until there is an answer. */
export interface OrderDraft extends Pick<Purchase, 'proofKey' | 'sealKey'> {
  readonly offerId: string;
  readonly idempotencyKey: string;
}

/** An order of an offer with fresh keys, not placed yet. */
export async function draftOrder(offerId: string): Promise<OrderDraft> {
  const [proofKey, sealKey] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  return { offerId, idempotencyKey: randomUUID(), proofKey, sealKey };
}

export async function placeDraft(
  orderUrl: string,
  { offerId, idempotencyKey, proofKey, sealKey }: OrderDraft,
  token?: string,
  cardToken?: string,
): Promise<Purchase> {
  const { placeOrder } = await graphql<{
    placeOrder: { order: { id: string }; ticket: string; clientPart: string; endpoints: { whep: string }[] };
  }>(
    orderUrl,
    'mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } ticket clientPart endpoints { whep } } }',
    {
      input: {
        offerId,
        proofKey: publicMembers(proofKey.publicJwk),
        sealKey: publicMembers(sealKey.publicJwk),
        idempotencyKey,
        ...(cardToken === undefined ? {} : { cardToken }),
      },
    },
    token,
  );
  const whepUrl = placeOrder.endpoints[0]?.whep;
  if (whepUrl === undefined) throw new Error('no endpoint');
  const { order, ticket, clientPart } = placeOrder;
  return { orderId: order.id, ticket, clientPart, whepUrl, proofKey, sealKey };
}

/** Orders an offer with fresh keys; paid by card where there is a token of one. */
export async function buy(
  orderUrl: string,
  offerId: string,
  token?: string,
  cardToken?: string,
): Promise<Purchase> {
  return placeDraft(orderUrl, await draftOrder(offerId), token, cardToken);
}

export interface Offer {
  readonly id: string;
  readonly name: string;
  readonly price: { readonly amountMinor: number };
}

/** Offers of a title, by name. */
export async function offersOf(orderUrl: string, path: string): Promise<Map<string, Offer>> {
  const { title } = await graphql<{ title: { offers: Offer[] } }>(
    orderUrl,
    'query ($path: String) { title(path: $path) { offers { id name price { amountMinor } } } }',
    { path },
  );
  return new Map(title.offers.map((offer) => [offer.name, offer]));
}

export interface StaffOffer {
  readonly validSeconds?: number;
  readonly priceMinor?: number;
  readonly rights?: Record<string, unknown>;
  readonly allowClearTransport?: boolean;
}

/** An offer of a title; free and not limited but by what is given. */
export async function createOffer(
  orderUrl: string,
  staffToken: string,
  titleId: string,
  { validSeconds = 3600, priceMinor = 0, rights = {}, allowClearTransport = false }: StaffOffer,
): Promise<string> {
  const made = await graphql<{ createOffer: { id: string } }>(
    orderUrl,
    'mutation ($input: OfferInput!) { createOffer(input: $input) { id } }',
    {
      input: {
        titleId,
        name: 'Test',
        priceMinor,
        currency: 'EUR',
        validSeconds,
        rights,
        allowClearTransport,
      },
    },
    staffToken,
  );
  return made.createOffer.id;
}

/** A title of its own for a test, with one offer. */
export async function createTitleWithOffer(
  orderUrl: string,
  staffToken: string,
  path: string,
  offer: StaffOffer = {},
): Promise<{ titleId: string; offerId: string }> {
  const { createTitle } = await graphql<{ createTitle: { id: string } }>(
    orderUrl,
    'mutation ($input: TitleInput!) { createTitle(input: $input) { id } }',
    { input: { path, name: `Test ${path}` } },
    staffToken,
  );
  const titleId = createTitle.id;
  return { titleId, offerId: await createOffer(orderUrl, staffToken, titleId, offer) };
}

export async function createStreamKeyFor(
  orderUrl: string,
  staffToken: string,
  titleId: string,
): Promise<string> {
  const { createStreamKey } = await graphql<{ createStreamKey: string }>(
    orderUrl,
    'mutation ($titleId: ID!) { createStreamKey(titleId: $titleId) }',
    { titleId },
    staffToken,
  );
  return createStreamKey;
}

/** A nonce of the server: every reply carries one. */
export async function fetchNonce(url: string): Promise<string> {
  const response = await fetch(url, { method: 'OPTIONS' });
  const nonce = response.headers.get('dpop-nonce');
  if (nonce === null) throw new Error('no DPoP-Nonce');
  return nonce;
}

/** A proof by the buyer for one request; `overrides` make it wrong. */
export function proofFor(
  purchase: Purchase,
  request: { method: string; url: string; nonce: string },
  overrides: Partial<ProofOptions> = {},
): Promise<string> {
  const { privateKey, publicJwk, alg } = purchase.proofKey;
  return createProof({ privateKey, publicJwk, alg, ticket: purchase.ticket, ...request, ...overrides });
}

/** The DTLS fingerprint of an SDP as proofs carry it. */
export function fingerprintOf(sdp: string): string {
  const match = /^a=fingerprint:(\S+) (\S+)/m.exec(sdp);
  if (match?.[1] === undefined || match[2] === undefined) throw new Error('no fingerprint');
  return `${match[1].toLowerCase()} ${match[2].toUpperCase()}`;
}
