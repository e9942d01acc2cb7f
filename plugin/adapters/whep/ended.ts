/** Why sessions have ended, for clients who ask afterwards; for a while, and so many. */
import type { EndReason } from '../../contract.ts';
import type { Clock } from '../../ports.ts';

export interface EndedSessions {
  note(token: string, reason: EndReason): void;
  /** `undefined` for a session that has not ended, that is forgotten, or that there never was. */
  find(token: string): EndReason | undefined;
}

export interface EndedSessionsOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Default 10 minutes. */
  readonly rememberMs?: number;
  /** About 150 bytes each; of more the oldest are forgotten. Default 10,000. */
  readonly max?: number;
}

export function createEndedSessions(options: EndedSessionsOptions): EndedSessions {
  const { clock, rememberMs = 600_000, max = 10_000 } = options;
  /** In the order in which they have ended. */
  const ended = new Map<string, { readonly reason: EndReason; readonly atMs: number }>();

  function forgetOld(): void {
    const oldestMs = clock.monotonicMs() - rememberMs;
    for (const [token, { atMs }] of ended) {
      if (atMs > oldestMs && ended.size <= max) return;
      ended.delete(token);
    }
  }

  return {
    note(token, reason) {
      ended.set(token, { reason, atMs: clock.monotonicMs() });
      forgetOld();
    },
    find(token) {
      forgetOld();
      return ended.get(token)?.reason;
    },
  };
}
