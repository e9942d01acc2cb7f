import type { Clock, Log } from '../plugin/ports.ts';
import type { Account } from './accounts/accounts.ts';
import type { Database } from './db/connect.ts';
import type { Metrics } from './http/metrics.ts';
import type { Throttle } from './http/throttle.ts';
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
  readonly log: Log;
  readonly metrics: Metrics;
  /** Money for nothing: the demo's top-up. */
  readonly demo: boolean;
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
    /** Orders, by account. */
    readonly orders: Throttle;
    /** What streaming servers report of tickets, by server. */
    readonly reports: Throttle;
    /** Orders without an account, by client address. */
    readonly anonymousOrders: Throttle;
    /** Streaming servers that enrol, by address. */
    readonly enrolments: Throttle;
  };
}

/** What a GraphQL operation sees of its request. */
export interface RequestContext {
  readonly services: Services;
  /** Client address. */
  readonly peer: string;
  /** Who is signed in, `null` for nobody. */
  readonly account: Account | null;
  /** The token that signed them in. */
  readonly sessionToken: string | null;
  /** Adds a Set-Cookie header to the answer. */
  setSessionCookie(token: string | null): void;
}
