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
   * another grant: then only that one counts, and of those before it the session's ids, by which it may still be kicked.
   */
  watch(session: RevocableSession): void;
}

/** Ids that a session had before it was renewed, by which it is found: so many as it may be renewed at once. */
const MAX_FORMER_IDS = 30;

interface Watched {
  /** Names by which it can be revoked. */
  readonly keys: readonly string[];
  /** Its ids: the present one, if it has any, and then the former ones, the latest first. */
  readonly ids: readonly string[];
}

/** Makes the enforcer of one gate. */
export function createEnforcer(revocations: Revocations): Enforcer {
  const byKey = new Map<string, Set<RevocableSession>>();
  const all = new Map<RevocableSession, Watched>();

  function check(session: RevocableSession, { ids }: Watched): void {
    const { grant } = session;
    const former = ids.filter((id) => id !== grant.sessionId).map((sessionId) => ({ ...grant, sessionId }));
    for (const target of [grant, ...former]) {
      const reason = revocations.find(target);
      if (reason !== null) return void session.end(reason);
    }
  }

  function forget(session: RevocableSession): void {
    const { keys } = all.get(session) ?? { keys: [] };
    all.delete(session);
    for (const key of keys) {
      const sessions = byKey.get(key);
      sessions?.delete(session);
      if (sessions?.size === 0) byKey.delete(key);
    }
  }

  revocations.onChange((entry) => {
    if (entry === null) {
      for (const [session, watched] of all) check(session, watched);
      return;
    }
    const { kind, value } = entry;
    for (const session of byKey.get(keyOf(kind, value)) ?? []) void session.end(reasonOf(kind));
  });

  return {
    watch(session) {
      const before = all.get(session);
      forget(session);
      const { sessionId } = session.grant;
      const former = before?.ids.filter((id) => id !== sessionId).slice(0, MAX_FORMER_IDS) ?? [];
      const keys = [...keysOf(session.grant), ...former.map((id) => keyOf('session', id))];
      const watched = { keys, ids: sessionId === null ? former : [sessionId, ...former] };
      all.set(session, watched);
      for (const key of keys) {
        const sessions = byKey.get(key) ?? new Set();
        byKey.set(key, sessions.add(session));
      }
      if (before === undefined) void session.ended.then(() => forget(session));
      // It may have been revoked while it was being opened.
      check(session, watched);
    },
  };
}
