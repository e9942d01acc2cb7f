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
  readonly name: string;
  readonly price: Money;
  readonly validSeconds: number;
  readonly rights: Rights;
}

export interface Title {
  readonly id: string;
  /** Stream path. */
  readonly path: string;
  readonly name: string;
  readonly description: string;
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
  readonly price: Money;
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

export interface PlaceOrderInput {
  readonly offerId: string;
  readonly proofKey: JWK;
  readonly sealKey: JWK;
  readonly idempotencyKey: string;
}

export interface PlacedOrder {
  readonly orderId: string;
  readonly ticket: string;
  readonly clientPart: string;
  readonly whep: string;
}

/** The order server, as far as a viewer needs it. Every call throws Problem. */
export interface Api {
  catalog(): Promise<readonly Title[]>;
  title(id: string): Promise<Title | null>;
  me(): Promise<Account | null>;
  used(): Promise<readonly UsedOrder[]>;
  signIn(email: string, password: string): Promise<void>;
  signUp(name: string, email: string, password: string): Promise<void>;
  signOut(): Promise<void>;
  /** Play money; the shop refuses it (`forbidden`) outside its demo. */
  topUp(amount: Money, idempotencyKey: string): Promise<void>;
  placeOrder(input: PlaceOrderInput): Promise<PlacedOrder>;
  keySet(): Promise<JSONWebKeySet>;
}
