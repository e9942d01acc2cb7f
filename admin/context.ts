import type { Clock, Log } from '../plugin/ports.ts';
import type { Account } from './accounts/accounts.ts';
import type { Permission } from './accounts/permissions.ts';
import type { Database } from './db/connect.ts';
import type { Outbox } from './mail/outbox.ts';
import type { Seats } from './events/follow.ts';
import type { EventPort } from './events/port.ts';
import type { Metrics } from './http/metrics.ts';
import type { Throttle } from './http/throttle.ts';
import type { OrderDesk } from './orders/desk.ts';
import type { RevocationFeed } from './revocations/feed.ts';
import type { MessageReader } from './trust/messages.ts';
import type { TicketAuthority } from './trust/signing-keys.ts';

/** What lives as long as the server. */
export interface Services {
  readonly db: Database;
  readonly authority: TicketAuthority;
  readonly clock: Clock;
  /** What streaming servers send. */
  readonly messages: MessageReader;
  /** What streaming servers are told to end. */
  readonly feed: RevocationFeed;
  /** What has changed, for those who look on. */
  readonly events: EventPort;
  /** Places of GraphQL subscriptions. */
  readonly seats: Seats;
  /** Aborted when no new requests should come, and when those without an end of their own are ended. */
  readonly draining: AbortSignal;
  readonly closing: AbortSignal;
  readonly log: Log;
  readonly metrics: Metrics;
  /** The issuer, without a trailing slash: what links in mails begin with. */
  readonly publicUrl: string;
  /** What is done about orders. */
  readonly desk: OrderDesk;
  /** What leaves by mail. */
  readonly outbox: Outbox;
  /** Where trusted proxies name the client's country; `null`: nobody does. */
  readonly countryHeader: string | null;
  /** Money for nothing: the demo's top-up. */
  readonly demo: boolean;
  /** Orders can be paid by cards that move no money. */
  readonly testCards: boolean;
  /** Sessions of browsers go over TLS only. */
  readonly secureCookies: boolean;
  /** Holds the refusal of bad credentials back for a random while. */
  readonly delayRefusal: () => Promise<void>;
  readonly throttles: {
    /** GraphQL requests, by client address. */
    readonly requests: Throttle;
    /** GraphQL requests of somebody who is signed in, by account. */
    readonly accountRequests: Throttle;
    /** Sign-in and sign-up, by client address. */
    readonly logins: Throttle;
    /** Sign-in, by client address and email. */
    readonly login: Throttle;
    /** Sign-in by email, from all addresses together; known or not. */
    readonly loginTarget: Throttle;
    /** Mails to somebody who has forgotten a password, by email; known or not. */
    readonly resets: Throttle;
    /** Orders, by account. */
    readonly orders: Throttle;
    /** What buyers add to the revocation feed by what they cancel, or order after another, by account. */
    readonly ownRevocations: Throttle;
    /** Codes of promotions and vouchers that are tried, by client address. */
    readonly codes: Throttle;
    /** What streaming servers report of tickets, by server. */
    readonly reports: Throttle;
    /** Orders without an account, by client address. */
    readonly anonymousOrders: Throttle;
    /** Streaming servers that enrol, by address. */
    readonly enrolments: Throttle;
  };
}

/** Who asks: a person, or a program that one has given a key. */
export type Principal =
  | { readonly kind: 'account'; readonly account: Account }
  | {
      readonly kind: 'api_key';
      readonly id: string;
      readonly name: string;
      readonly permissions: readonly Permission[];
      /** The account that answers for it. */
      readonly createdBy: string;
    };

/** Id of the account or of the API key. */
export function principalId(principal: Principal): string {
  return principal.kind === 'account' ? principal.account.id : principal.id;
}

/** What a GraphQL operation sees of its request. */
export interface RequestContext {
  readonly services: Services;
  /** Client address; of an IPv6 one its network (see `network`). */
  readonly peer: string;
  /** The client's country, ISO 3166-1 alpha-2, as trusted proxies say it; `null` when nobody does. */
  readonly country: string | null;
  /** Names the request in log and audit log. */
  readonly requestId: string;
  /** Who asks, `null` for nobody. */
  readonly principal: Principal | null;
  /** Who is signed in; `null` for nobody, and for API keys. */
  readonly account: Account | null;
  /** The session that signed them in. */
  readonly session: { readonly id: string; readonly byCookie: boolean } | null;
  /** What the client calls itself. */
  readonly userAgent: string | null;
  /** True while it is answered with events, for as long as the client likes. */
  readonly isSubscription: boolean;
  /** Aborted when the client is gone, or the server ends. */
  readonly signal: AbortSignal;
  /** Who asks, by what is known now: what was signed in may have been signed out. */
  refreshPrincipal(): Promise<Principal | null>;
  /** Adds a Set-Cookie header to the answer. */
  setSessionCookie(token: string | null): void;
}
