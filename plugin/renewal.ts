/** Renewal: another ticket in the place of a running session's, with the media untouched. Decisions only. */
import type { Accesses } from './accesses.ts';
import type { Grant } from './contract.ts';
import { Denial } from './errors.ts';
import type { Clock } from './ports.ts';
import { requireAsMuch } from './rights/index.ts';
import type { Session } from './session.ts';
import type { TicketClaims } from './ticket/index.ts';

/** A ticket that has been checked by itself. */
export interface PresentedRenewal {
  readonly ticket: string;
  readonly claims: TicketClaims;
  readonly attempt: string | null;
}

/**
 * Renewals of one session that may come at once, and the seconds after which one more may: each leaves receipts that are
 * kept, and two tickets could take each other's place for ever.
 */
const RENEWALS_AT_ONCE = 30;
const SECONDS_FOR_ANOTHER = 10;

export interface RenewalsOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly accesses: Accesses;
  /** True when the session runs on this very ticket already. */
  readonly isHeld: (session: Session, ticket: string) => boolean;
  /** @throws Denial */
  readonly requireUnrevoked: (claims: TicketClaims) => void;
  /** The session has gone over from one grant to another. */
  readonly onRenewed: (session: Session, before: Grant, ticket: string) => void;
}

export interface Renewals {
  /**
   * Puts a session under another grant: all of it or, when it throws, nothing, and the old grant goes on. Those of one
   * session take turns; the same ticket again changes nothing.
   * @throws Denial
   */
  renew(session: Session, presented: PresentedRenewal, next: Grant): Promise<void>;
}

/**
 * What a ticket must have in common with the one that it takes the place of: issuer, key, stream; and it may not take
 * away what the viewer has on the screen. For how long and how much it is good is its own affair.
 * @throws Denial `ticket_untrusted`, `proof_invalid`, `ticket_wrong_uri`, `rights_insufficient`; the detail is the claim
 */
function requireRenewal(grant: Grant, { iss, cnf, uri, rights }: TicketClaims): void {
  if (iss !== grant.issuer) throw new Denial('ticket_untrusted', { detail: 'iss' });
  if ((cnf?.jkt ?? null) !== grant.jkt) throw new Denial('proof_invalid', { detail: 'cnf' });
  if (uri !== grant.uri) throw new Denial('ticket_wrong_uri', { detail: 'uri' });
  requireAsMuch(rights, grant.rights);
}

/** Makes the renewals of one gate. */
export function createRenewals(options: RenewalsOptions): Renewals {
  const { accesses, clock, isHeld, requireUnrevoked, onRenewed } = options;
  /** The latest of each session. */
  const turns = new Map<Session, Promise<void>>();

  /** How many more each may have, and since when that is so. */
  const allowances = new WeakMap<Session, { readonly left: number; readonly atMs: number }>();

  /** @throws Denial `rate_limited` */
  function requireAllowance(session: Session): void {
    const nowMs = clock.monotonicMs();
    const before = allowances.get(session) ?? { left: RENEWALS_AT_ONCE, atMs: nowMs };
    const grown = before.left + (nowMs - before.atMs) / 1000 / SECONDS_FOR_ANOTHER;
    const left = Math.min(RENEWALS_AT_ONCE, grown) - 1;
    if (left < 0) throw new Denial('rate_limited', { retryAfterSeconds: SECONDS_FOR_ANOTHER });
    allowances.set(session, { left, atMs: nowMs });
  }

  async function goOver(session: Session, presented: PresentedRenewal, next: Grant): Promise<void> {
    const { ticket, claims } = presented;
    // The same request may have come before, and its reply was lost.
    if (isHeld(session, ticket)) return;
    if (session.isEnded()) throw new Denial('session_ended');
    requireRenewal(session.grant, claims);
    requireAllowance(session);
    const redeemed = await accesses.reserve(next.sessionId, presented);
    try {
      // It may have been revoked while the order server was asked.
      requireUnrevoked(claims);
      const before = session.grant;
      if (!(await session.renew(next, redeemed))) throw new Denial('session_ended');
      onRenewed(session, before, ticket);
    } catch (error) {
      if (redeemed !== null) await accesses.release(next.sessionId);
      throw error;
    }
  }

  return {
    async renew(session, presented, next) {
      const before = turns.get(session) ?? Promise.resolve();
      const turn = before.catch(() => undefined).then(() => goOver(session, presented, next));
      turns.set(session, turn);
      try {
        await turn;
      } finally {
        if (turns.get(session) === turn) turns.delete(session);
      }
    },
  };
}
