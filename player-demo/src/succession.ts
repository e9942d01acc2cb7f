/** One ticket in several tabs of a browser: one of them buys the next one, the others go on with what it has bought. */
import type { StoredTicket, TicketStore } from './store.ts';

export interface SuccessionOptions {
  readonly first: StoredTicket;
  readonly store: Pick<TicketStore, 'findTickets'>;
  readonly locks: Pick<LockManager, 'request'>;
  /** Buys and stores the ticket that follows one. @throws Problem, TicketMismatch */
  readonly order: (held: StoredTicket) => Promise<StoredTicket>;
  /** Hands the next one in. @throws Problem */
  readonly use: (next: StoredTicket) => Promise<void>;
}

export interface Succession {
  /** Goes on with the next ticket, which is bought if that has not been done yet. @throws what `order` and `use` throw */
  renew(): Promise<void>;
  /**
   * Goes on with the next ticket if another tab has it in use; answers whether it does. Not with one that counts its
   * accesses: that would take one away.
   * @throws what `use` throws
   */
  takeOver(): Promise<boolean>;
}

export function createSuccession({ first, store, locks, order, use }: SuccessionOptions): Succession {
  let held = first;

  /** Bought by this tab or another one; the shop sells no second. */
  async function findNext(): Promise<StoredTicket | undefined> {
    const { account, titleId, offerId, expiresAtSeconds, keys } = held;
    const tickets = await store.findTickets(account, titleId);
    return tickets.find(
      (ticket) =>
        ticket.offerId === offerId &&
        ticket.expiresAtSeconds > expiresAtSeconds &&
        ticket.keys.proofJwk.x === keys.proofJwk.x,
    );
  }

  async function goOn(next: StoredTicket): Promise<void> {
    await use(next);
    held = next;
  }

  // The lock is kept until the ticket is in use: where it has one access only, that belongs to who has bought it.
  const alone = <T>(options: LockOptions, work: (lock: Lock | null) => Promise<T>): Promise<T> =>
    locks.request(`renewal of ${held.orderId}`, options, work);

  return {
    renew: () => alone({}, async () => goOn((await findNext()) ?? (await order(held)))),
    takeOver: () =>
      alone({ ifAvailable: true }, async (lock) => {
        const next = lock === null ? undefined : await findNext();
        if (next === undefined || next.countsAccesses) return false;
        await goOn(next);
        return true;
      }),
  };
}
