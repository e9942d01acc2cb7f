import type { JSONWebKeySet, JWK } from 'jose';

export interface Money {
  /** Integer count of the currency's minor unit. */
  readonly amountMinor: number;
  /** ISO 4217. */
  readonly currency: string;
}

export interface Rights {
  readonly action: string;
  readonly accesses: number | null;
  readonly seconds: number | null;
  readonly bytes: number | null;
  readonly concurrent: number | null;
  readonly window: number | null;
  readonly onExcess: string;
  readonly controls: readonly string[];
  readonly tier: {
    readonly maxHeight?: number;
    readonly maxBitrate?: number;
    readonly audioBitrate?: number;
  };
}

export interface Offer {
  readonly id: string;
  /** Set when it opens every title of a category. */
  readonly categoryId: string | null;
  readonly name: string;
  /** What is sold, in one line. */
  readonly summary: string;
  /** For a metered offer, the most that can be charged. */
  readonly price: Money;
  /** Of each unit that is begun; `null` where nothing is metered. */
  readonly meterPrice: Money | null;
  readonly meterUnit: string | null;
  /** From the order; `null` where `validUntil` says it. */
  readonly validSeconds: number | null;
  /** ISO 8601. */
  readonly validUntil: string | null;
  /** What the quality is called. */
  readonly tierName: string | null;
  /** A free taste, which cannot be renewed. */
  readonly preview: boolean;
  readonly rights: Rights;
}

export interface Category {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
}

/** Which titles; all that is given must hold. */
export interface CatalogFilter {
  /** Words, or their beginnings. */
  readonly search?: string;
  /** Slug. */
  readonly category?: string;
}

/** What a shop gives out to make something cheaper, or to pay for it. */
export type Code = { readonly promotionCode: string } | { readonly voucherCode: string };

/** What an order is sent with beside the offer: a code, a card's token, or a promotion's code and a card. */
export interface Means {
  readonly promotionCode?: string;
  readonly voucherCode?: string;
  readonly cardToken?: string;
}

/** A card that moves no money. */
export interface TestCard {
  readonly token: string;
  readonly name: string;
  /** Such as "is declined at once". */
  readonly does: string;
}

export interface Title {
  readonly id: string;
  /** Stream path. */
  readonly path: string;
  readonly name: string;
  readonly description: string;
  /** A picture of it; `null` where one is drawn. */
  readonly artworkUrl: string | null;
  /** BCP 47. */
  readonly languages: readonly string[];
  readonly categories: readonly Category[];
  readonly onAir: boolean;
  readonly offers: readonly Offer[];
}

export interface Account {
  readonly email: string;
  readonly name: string;
  readonly balances: readonly Money[];
}

/** One order and what has been watched with it. */
export interface UsedOrder {
  readonly id: string;
  readonly titleName: string;
  readonly offerName: string;
  readonly state: string;
  /** What is charged, or held at most. */
  readonly price: Money;
  /** What was charged, and what of it was given back. */
  readonly captured: Money;
  readonly refunded: Money;
  readonly createdAt: string;
  readonly sessions: readonly UsedSession[];
}

export interface UsedSession {
  readonly id: string;
  readonly startedAt: string;
  readonly mediaMs: number;
  readonly bytes: number;
  /** Why it ended, `null` while it runs. */
  readonly reason: string | null;
}

export interface PlaceOrderInput extends Means {
  readonly offerId: string;
  readonly titleId: string;
  readonly proofKey: JWK;
  readonly sealKey: JWK;
  readonly idempotencyKey: string;
}

/** An order of a category that still gives tickets for its titles. */
export interface OpenOrder {
  readonly id: string;
  /** Its name and rights as they were sold: the shop may have changed it, or taken it off sale. */
  readonly offer: Offer;
  /** ISO 8601. */
  readonly expiresAt: string;
}

export type FurtherTicketInput = Pick<
  PlaceOrderInput,
  'titleId' | 'proofKey' | 'sealKey' | 'idempotencyKey'
> & { readonly orderId: string };

/** Another ticket for the key of one that is in use. */
export type RenewTicketInput = Pick<
  PlaceOrderInput,
  'offerId' | 'proofKey' | 'sealKey' | 'idempotencyKey'
> & {
  /** The claim `jti`. */
  readonly ticketId: string;
};

export interface PlacedOrder {
  readonly orderId: string;
  readonly ticket: string;
  readonly clientPart: string;
  readonly whep: string;
}

/** The order server, as far as a viewer needs it. Every call throws Problem. */
export interface Api {
  catalog(filter?: CatalogFilter): Promise<readonly Title[]>;
  categories(): Promise<readonly Category[]>;
  title(id: string): Promise<Title | null>;
  me(): Promise<Account | null>;
  used(): Promise<readonly UsedOrder[]>;
  signIn(email: string, password: string): Promise<void>;
  signUp(name: string, email: string, password: string): Promise<void>;
  signOut(): Promise<void>;
  /** Has a link mailed to choose a new password, if there is such an account. */
  forgot(email: string): Promise<void>;
  /** Chooses a new password by the token of a mail. */
  resetPassword(token: string, newPassword: string): Promise<void>;
  /** Play money; the shop refuses it (`forbidden`) outside its demo. */
  topUp(amount: Money, idempotencyKey: string): Promise<void>;
  /** Test cards to pay with; none where there are none. */
  testCards(): Promise<readonly TestCard[]>;
  placeOrder(input: PlaceOrderInput): Promise<PlacedOrder>;
  /** Orders of categories that are good for further titles. */
  openOrders(): Promise<readonly OpenOrder[]>;
  /** A ticket for a further title of such an order. */
  orderTicket(input: FurtherTicketInput): Promise<PlacedOrder>;
  /** Buys a ticket that may take the place of another one in its running session. */
  renewTicket(input: RenewTicketInput): Promise<PlacedOrder>;
  keySet(): Promise<JSONWebKeySet>;
}
