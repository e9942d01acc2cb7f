/** Accesses of counted tickets: taken before anything is played, given back when nothing was. */
import type { Grant, Redeemed } from './contract.ts';
import { asDenial, Denial } from './errors.ts';
import type { Log, Redemptions, Viewing } from './ports.ts';
import { isCounted } from './rights/index.ts';
import type { TicketClaims } from './ticket/index.ts';

/** What an access is taken of. */
interface Presented {
  readonly ticket: string;
  readonly claims: Pick<TicketClaims, 'rights'>;
  readonly attempt: string | null;
}

export interface Accesses {
  /**
   * Takes an access for a session; `null` when nothing is counted, and then the order server may be away.
   * @throws Denial
   */
  reserve(sessionId: string, presented: Presented): Promise<Redeemed | null>;
  /**
   * The access and the media, at the same time: until the answer leaves, the viewer lacks the ICE password without
   * which nothing can be sent. Both or neither.
   * @throws Denial
   */
  take<V extends Viewing>(
    grant: Grant,
    presented: Presented,
    open: (grant: Grant) => Promise<V>,
  ): Promise<{ redeemed: Redeemed | null; viewing: V }>;
  /** Gives it back. Never rejects: one that cannot be given back lapses by itself, but for what it was leased. */
  release(sessionId: string): Promise<void>;
}

/** Makes the counter of one gate. */
export function createAccesses({
  redemptions,
  log,
}: {
  readonly redemptions: Redemptions;
  readonly log: Log;
}): Accesses {
  async function release(sessionId: string): Promise<void> {
    try {
      await redemptions.release(sessionId);
    } catch (error) {
      log.warn({ session: sessionId, code: asDenial(error).code }, 'the access could not be released');
    }
  }

  async function reserve(sessionId: string, { ticket, claims, attempt }: Presented) {
    if (!isCounted(claims.rights)) return null;
    const redeemed = await redemptions.reserve(sessionId, attempt, ticket).catch((error: unknown) => {
      // The answer may have been lost after the access was taken: give it back, so that a new try finds it.
      if (asDenial(error).code === 'order_server_unreachable') void release(sessionId);
      throw error;
    });
    // The attempt already has a session elsewhere (or had one here): it must not get a second for one access.
    if (redeemed.session !== sessionId) throw new Denial('proof_replayed', { detail: 'attempt' });
    return redeemed;
  }

  return {
    reserve,
    async take(grant, presented, open) {
      // The order server first: its answer takes longer, and preparing media keeps this thread busy.
      const reserving = reserve(grant.sessionId, presented);
      const opening = open(grant);
      // It may fail while the order server is still asked, and a rejection that nobody awaits would end the process.
      opening.catch(() => undefined);
      let redeemed: Redeemed | null;
      try {
        redeemed = await reserving;
      } catch (error) {
        opening.then(
          (viewing) => viewing.close('completed'),
          () => undefined,
        );
        throw error;
      }
      try {
        return { redeemed, viewing: await opening };
      } catch (error) {
        if (redeemed !== null) await release(grant.sessionId);
        throw error;
      }
    },
    release,
  };
}
