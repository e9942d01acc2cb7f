import type { Clock, Log } from '../plugin/ports.ts';
import type { Account } from './accounts/accounts.ts';
import type { Database } from './db/connect.ts';
import type { Metrics } from './http/metrics.ts';
import type { Throttle } from './http/throttle.ts';
import type { MessageReader } from './trust/messages.ts';
import type { TicketAuthority } from './trust/signing-keys.ts';

/** What lives as long as the server. */
export interface Services {
  readonly db: Database;
  readonly authority: TicketAuthority;
  readonly clock: Clock;
  /** What streaming servers send. */
  readonly messages: MessageReader;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Money for nothing: the demo's top-up. */
  readonly demo: boolean;
  /** Sessions of browsers go over TLS only. */
  readonly secureCookies: boolean;
  readonly throttles: {
    /** Sign-in and sign-up, by client address. */
    readonly logins: Throttle;
    /** Sign-in, by client address and email. */
    readonly login: Throttle;
    /** Orders without an account, by client address. */
    readonly anonymousOrders: Throttle;
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
