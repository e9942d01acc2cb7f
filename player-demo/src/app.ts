import type { AccountApi } from './account-api.ts';
import type { Account, Api } from './api.ts';
import type { Signal } from './dom.ts';
import type { TicketStore } from './store.ts';
import type { Watch } from './watch.ts';

/** What every view gets. */
export interface App {
  readonly api: Api & AccountApi;
  readonly store: TicketStore;
  /** `null`: signed out. */
  readonly account: Signal<Account | null>;
  /** What is playing, or about to; at most one at a time. */
  readonly watching: Signal<Watch | null>;
  /** Asks the shop anew who is signed in and what the balance is. */
  refreshAccount(): Promise<void>;
  /** Tells screen readers; politely, once. */
  announce(text: string): void;
}

/** A page that is shown; `dispose` ends whatever it has running. */
export interface View {
  readonly title: string;
  readonly element: HTMLElement;
  dispose?(): void;
}

/** Whose tickets these are; free tickets need no account. */
export function accountKey(account: Account | null): string {
  return account?.email ?? '';
}
