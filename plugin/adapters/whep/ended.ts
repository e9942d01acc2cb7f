/** What is known of sessions that have ended, for clients who ask afterwards; for a while, and of so many. */
import type { Clock } from '../../ports.ts';

export interface EndedSessions<T> {
  note(token: string, known: T): void;
  /** `undefined` for a session that has not ended, that is forgotten, or that there never was. */
  find(token: string): T | undefined;
}

export interface EndedSessionsOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly rememberMs: number;
  /** Of more the oldest are forgotten. */
  readonly max: number;
}

export function createEndedSessions<T>({ clock, rememberMs, max }: EndedSessionsOptions): EndedSessions<T> {
  /** In the order in which they have ended. */
  const ended = new Map<string, { readonly known: T; readonly atMs: number }>();

  function forgetOld(): void {
    const oldestMs = clock.monotonicMs() - rememberMs;
    for (const [token, { atMs }] of ended) {
      if (atMs > oldestMs && ended.size <= max) return;
      ended.delete(token);
    }
  }

  return {
    note(token, known) {
      ended.set(token, { known, atMs: clock.monotonicMs() });
      forgetOld();
    },
    find(token) {
      forgetOld();
      return ended.get(token)?.known;
    },
  };
}
