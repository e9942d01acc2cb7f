/** What the page of one's own account asks of the order server. */
import type { Money } from './api.ts';

/** One page of a list, and where the next one begins; `null` at the end. */
export interface Paged<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

export interface OrderStep {
  readonly id: string;
  readonly from: string | null;
  readonly to: string;
  /** "buyer", "staff", "provider" or "system". */
  readonly by: string;
  /** ISO 8601. */
  readonly at: string;
  /** What it charged or gave back, in the order's currency. */
  readonly amountMinor: number | null;
}

export interface OwnOrder {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly createdAt: string;
  readonly price: Money;
  readonly captured: Money;
  readonly refunded: Money;
  readonly title: { readonly id: string; readonly name: string };
  /** `null` when it was free. */
  readonly payment: { readonly provider: string; readonly state: string } | null;
  readonly history: readonly OrderStep[];
}

/** A transaction of the ledger; amounts are what was added or, below zero, taken. */
export interface StatementLine {
  readonly id: string;
  readonly kind: string;
  readonly at: string;
  readonly balance: Money;
  readonly held: Money;
}

/** Where somebody is signed in. */
export interface OwnSession {
  readonly id: string;
  readonly userAgent: string | null;
  readonly current: boolean;
  readonly createdAt: string;
  readonly lastUsedAt: string;
}

/** Every call throws Problem. */
export interface AccountApi {
  /** Newest first, as the two that follow. */
  orders(after: string | null): Promise<Paged<OwnOrder>>;
  statement(after: string | null): Promise<Paged<StatementLine>>;
  sessions(): Promise<readonly OwnSession[]>;
  /** What of the balance is held for orders. */
  held(): Promise<readonly Money[]>;
  /** Takes an order back before its first picture. */
  cancelOrder(orderId: string): Promise<void>;
  endSession(id: string): Promise<void>;
  /** Ends all other sessions as well. */
  changePassword(currentPassword: string, newPassword: string): Promise<void>;
}

const MONEY = '{ amountMinor currency }';
const PAGE = 'pageInfo { hasNextPage endCursor }';
const ORDERS = `query Orders($after: String) { me { orders(first: 10, after: $after) { ${PAGE} edges { node {
  id name state createdAt price ${MONEY} captured ${MONEY} refunded ${MONEY} title { id name }
  payment { provider state } history { id from to by at amountMinor } } } } } }`;
const STATEMENT = `query Statement($after: String) { statement(first: 10, after: $after) { ${PAGE} edges { node {
  id kind at balance ${MONEY} held ${MONEY} } } } }`;
const SESSIONS = `query Sessions { mySessions { id userAgent current createdAt lastUsedAt } }`;
const HELD = `query Held { held ${MONEY} }`;
const CANCEL = `mutation Cancel($orderId: ID!) { cancelOrder(orderId: $orderId) { id } }`;
const END_SESSION = `mutation EndSession($id: ID!) { endMySession(id: $id) }`;
const CHANGE_PASSWORD = `mutation ChangePassword($currentPassword: String!, $newPassword: String!) {
  changePassword(currentPassword: $currentPassword, newPassword: $newPassword) }`;

interface Connection<T> {
  readonly edges: readonly { readonly node: T }[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

function pageOf<T>({ edges, pageInfo }: Connection<T>): Paged<T> {
  return { items: edges.map(({ node }) => node), next: pageInfo.hasNextPage ? pageInfo.endCursor : null };
}

/** @param ask answers what one GraphQL operation does; `T` is what the operation asks for */
export function createAccountApi(ask: <T>(query: string, variables?: object) => Promise<T>): AccountApi {
  return {
    async orders(after) {
      const { me } = await ask<{ me: { orders: Connection<OwnOrder> } | null }>(ORDERS, { after });
      return me === null ? { items: [], next: null } : pageOf(me.orders);
    },
    async statement(after) {
      return pageOf((await ask<{ statement: Connection<StatementLine> }>(STATEMENT, { after })).statement);
    },
    async sessions() {
      return (await ask<{ mySessions: readonly OwnSession[] }>(SESSIONS)).mySessions;
    },
    async held() {
      return (await ask<{ held: readonly Money[] }>(HELD)).held;
    },
    async cancelOrder(orderId) {
      await ask(CANCEL, { orderId });
    },
    async endSession(id) {
      await ask(END_SESSION, { id });
    },
    async changePassword(currentPassword, newPassword) {
      await ask(CHANGE_PASSWORD, { currentPassword, newPassword });
    },
  };
}
