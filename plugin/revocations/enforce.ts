/** Ends running sessions when what they rest on is taken back, at a cost of those that it concerns and not of all. */
import type { EndReason } from '../contract.ts';
import type { Revocable, Revocations } from '../ports.ts';
import { keyOf, keysOf, reasonOf } from './keys.ts';

/** A session, as far as it can be revoked. */
export interface RevocableSession {
  readonly grant: Revocable;
  readonly ended: Promise<unknown>;
  end(reason: EndReason): Promise<void>;
}

export interface Enforcer {
  /**
   * Ends the session when it is revoked, now or later, for as long as it runs. To be called again when it goes on under
   * another grant: then only that one counts.
   */
  watch(session: RevocableSession): void;
}

/** Makes the enforcer of one gate. */
export function createEnforcer(revocations: Revocations): Enforcer {
  const byKey = new Map<string, Set<RevocableSession>>();
  /** Every session, and the names by which it can be revoked. */
  const all = new Map<RevocableSession, readonly string[]>();

  function check(session: RevocableSession): void {
    const reason = revocations.find(session.grant);
    if (reason !== null) void session.end(reason);
  }

  function forget(session: RevocableSession): void {
    const keys = all.get(session) ?? [];
    all.delete(session);
    for (const key of keys) {
      const sessions = byKey.get(key);
      sessions?.delete(session);
      if (sessions?.size === 0) byKey.delete(key);
    }
  }

  revocations.onChange((entry) => {
    if (entry === null) {
      for (const session of all.keys()) check(session);
      return;
    }
    const { kind, value } = entry;
    for (const session of byKey.get(keyOf(kind, value)) ?? []) void session.end(reasonOf(kind));
  });

  return {
    watch(session) {
      const isNew = !all.has(session);
      forget(session);
      const keys = keysOf(session.grant);
      all.set(session, keys);
      for (const key of keys) {
        const sessions = byKey.get(key) ?? new Set();
        byKey.set(key, sessions.add(session));
      }
      if (isNew) void session.ended.then(() => forget(session));
      // It may have been revoked while it was being opened.
      check(session);
    },
  };
}
