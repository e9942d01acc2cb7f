import type { JSONWebKeySet } from 'jose';
import { createAccountApi, type AccountApi } from './account-api.ts';
import type {
  Account,
  Api,
  Category,
  Offer,
  PlacedOrder,
  Rights,
  TestCard,
  Title,
  UsedOrder,
} from './api.ts';
import { Problem, readProblem } from './problems.ts';

const RIGHTS = `rights {
  action accesses seconds bytes concurrent window onExcess controls tier { maxHeight maxBitrate audioBitrate } }`;
const OFFER = `id categoryId name summary price { amountMinor currency } meterPrice { amountMinor currency }
  meterUnit validSeconds validUntil tierName preview`;
const TITLE = `id path name description artworkUrl languages onAir categories { id slug name }
  offers { ${OFFER} ${RIGHTS} }`;

const CATALOG = `query Catalog($after: String, $filter: CatalogFilter) {
  catalog(first: 50, after: $after, filter: $filter) {
  edges { node { ${TITLE} } } pageInfo { hasNextPage endCursor } } }`;
const TITLE_BY_ID = `query Title($id: ID!) { title(id: $id) { ${TITLE} } }`;
const CATEGORIES = `query Categories { categories { id slug name } }`;
const ME = `query Me { me { email name balances { amountMinor currency } } }`;
const USED = `query Used { me { orders(first: 50) { edges { node {
  id state createdAt price { amountMinor currency } captured { amountMinor currency }
  refunded { amountMinor currency } offer { name } title { name }
  sessions { id startedAt mediaMs bytes reason } } } } } }`;
const SIGN_IN = `mutation SignIn($email: String!, $password: String!) {
  signIn(email: $email, password: $password) { account { email } } }`;
const SIGN_UP = `mutation SignUp($email: String!, $name: String!, $password: String!) {
  signUp(email: $email, name: $name, password: $password) { account { email } } }`;
const SIGN_OUT = `mutation SignOut { signOut }`;
const FORGOT = `mutation Forgot($email: String!) { requestPasswordReset(email: $email) }`;
const RESET = `mutation Reset($token: String!, $newPassword: String!) {
  resetPassword(token: $token, newPassword: $newPassword) }`;
const TOP_UP = `mutation TopUp($amountMinor: SafeInt!, $currency: String!, $idempotencyKey: String!) {
  topUp(amountMinor: $amountMinor, currency: $currency, idempotencyKey: $idempotencyKey) { email } }`;
const TEST_CARDS = `query TestCards { testCards { token name does } }`;
const PLACED = 'order { id } ticket clientPart endpoints { whep }';
const PLACE_ORDER = `mutation PlaceOrder($input: PlaceOrderInput!) { placeOrder(input: $input) { ${PLACED} } }`;
const ORDER_TICKET = `mutation OrderTicket($input: OrderTicketInput!) { orderTicket(input: $input) { ${PLACED} } }`;
const RENEW_TICKET = `mutation RenewTicket($input: RenewTicketInput!) { renewTicket(input: $input) { ${PLACED} } }`;
const OPEN_ORDERS = `query OpenOrders { me { orders(first: 50) { edges { node {
  id state name expiresAt ${RIGHTS} offer { ${OFFER} } } } } } }`;

interface Connection<T> {
  readonly edges: readonly { readonly node: T }[];
}

/**
 * The order server's GraphQL over the page's own origin; the session cookie goes along by itself. URLs are relative to
 * the page, which a reverse proxy may have put under a path.
 */
export function createApi(fetcher: typeof fetch): Api & AccountApi {
  /** `T` is what the query asks for; the server's schema stands for it. */
  async function ask<T>(query: string, variables: object = {}): Promise<T> {
    const response = await request('graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    // What comes before GraphQL, such as a limit of the rate, is no GraphQL answer.
    if (response.headers.get('content-type')?.startsWith('application/problem+json') === true) {
      throw await readProblem(response);
    }
    const body = (await response.json().catch(() => null)) as GraphqlAnswer | null;
    const error = body?.errors?.[0];
    if (error !== undefined) {
      const { code = 'internal', retryAfterSeconds = null } = error.extensions ?? {};
      throw new Problem(code, { retryAfterSeconds });
    }
    if (body?.data === undefined || body.data === null) throw new Problem('shop_unreachable');
    return body.data as T;
  }

  async function request(path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetcher(path, { ...init, credentials: 'same-origin', cache: 'no-store' });
    } catch (cause) {
      throw new Problem('shop_unreachable', { cause });
    }
  }

  return {
    ...createAccountApi(ask),
    async catalog(filter = {}) {
      const titles: Title[] = [];
      let after: string | null = null;
      do {
        const page: CatalogPage = await ask(CATALOG, { after, filter });
        titles.push(...page.catalog.edges.map(({ node }) => titleOf(node)));
        after = page.catalog.pageInfo.hasNextPage ? page.catalog.pageInfo.endCursor : null;
      } while (after !== null);
      return titles;
    },
    async categories() {
      return (await ask<{ categories: readonly Category[] }>(CATEGORIES)).categories;
    },
    async title(id) {
      const { title } = await ask<{ title: TitleNode | null }>(TITLE_BY_ID, { id });
      return title === null ? null : titleOf(title);
    },
    async me() {
      return (await ask<{ me: Account | null }>(ME)).me;
    },
    async used() {
      const { me } = await ask<{ me: { orders: Connection<OrderNode> } | null }>(USED);
      return me?.orders.edges.map(({ node }) => usedOrder(node)) ?? [];
    },
    async signIn(email, password) {
      await ask(SIGN_IN, { email, password });
    },
    async signUp(name, email, password) {
      await ask(SIGN_UP, { name, email, password });
    },
    async signOut() {
      await ask(SIGN_OUT);
    },
    async forgot(email) {
      await ask(FORGOT, { email });
    },
    async resetPassword(token, newPassword) {
      await ask(RESET, { token, newPassword });
    },
    async topUp(amount, idempotencyKey) {
      await ask(TOP_UP, { ...amount, idempotencyKey });
    },
    async testCards() {
      return (await ask<{ testCards: readonly TestCard[] }>(TEST_CARDS)).testCards;
    },
    async placeOrder(input) {
      return placedOrder((await ask<{ placeOrder: PlacedNode }>(PLACE_ORDER, { input })).placeOrder);
    },
    async openOrders() {
      const { me } = await ask<{ me: { orders: Connection<OpenNode> } | null }>(OPEN_ORDERS);
      return (me?.orders.edges ?? []).flatMap(({ node: { id, state, name, expiresAt, rights, offer } }) =>
        expiresAt !== null && offer.categoryId !== null && OPEN_STATES.has(state)
          ? [{ id, offer: { ...offer, name, rights: withoutNullLimits(rights) }, expiresAt }]
          : [],
      );
    },
    async orderTicket(input) {
      return placedOrder((await ask<{ orderTicket: PlacedNode }>(ORDER_TICKET, { input })).orderTicket);
    },
    async renewTicket(input) {
      return placedOrder((await ask<{ renewTicket: PlacedNode }>(RENEW_TICKET, { input })).renewTicket);
    },
    async keySet() {
      const response = await request('.well-known/jwks.json', {});
      if (!response.ok) throw new Problem('shop_unreachable');
      return (await response.json()) as JSONWebKeySet;
    },
  };
}

interface GraphqlAnswer {
  readonly data?: unknown;
  readonly errors?: readonly {
    readonly extensions?: { readonly code?: string; readonly retryAfterSeconds?: number };
  }[];
}

interface CatalogPage {
  readonly catalog: Connection<TitleNode> & {
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
  };
}

type Nullable<T> = { readonly [K in keyof T]?: T[K] | null };

type RightsNode = Omit<Rights, 'tier'> & { readonly tier: Nullable<Rights['tier']> };

interface TitleNode extends Omit<Title, 'offers'> {
  readonly offers: readonly (Omit<Offer, 'rights'> & { readonly rights: RightsNode })[];
}

/** GraphQL writes a limit that is absent as null; the ticket leaves it out. */
function withoutNullLimits(rights: RightsNode): Rights {
  const limits = Object.entries(rights.tier).filter(([, limit]) => limit !== null);
  return { ...rights, tier: Object.fromEntries(limits) };
}

function titleOf(title: TitleNode): Title {
  const offers = title.offers.map((offer) => ({ ...offer, rights: withoutNullLimits(offer.rights) }));
  return { ...title, offers };
}

interface OrderNode extends Omit<UsedOrder, 'offerName' | 'titleName'> {
  readonly offer: { readonly name: string };
  readonly title: { readonly name: string };
}

interface PlacedNode {
  readonly order: { readonly id: string };
  /** Null until the payment is authorized. */
  readonly ticket: string | null;
  readonly clientPart: string | null;
  readonly endpoints: readonly { readonly whep: string }[];
}

function placedOrder({ order, ticket, clientPart, endpoints }: PlacedNode): PlacedOrder {
  if (ticket === null) throw new Problem('payment_pending');
  return { orderId: order.id, ticket, clientPart: clientPart ?? '', whep: endpoints[0]?.whep ?? '' };
}

/** Those in which an order gives tickets. */
const OPEN_STATES: ReadonlySet<string> = new Set(['ticketed', 'delivered', 'captured']);

interface OpenNode {
  readonly id: string;
  readonly state: string;
  readonly name: string;
  readonly expiresAt: string | null;
  readonly rights: RightsNode;
  readonly offer: Omit<Offer, 'rights'>;
}

function usedOrder({ offer, title, ...order }: OrderNode): UsedOrder {
  return { ...order, offerName: offer.name, titleName: title.name };
}
