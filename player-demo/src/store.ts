import type { Means } from './api.ts';
import type { OrderKeys } from './keys.ts';

/** A ticket that passed every check, with the keys that go with it. */
export interface StoredTicket {
  readonly orderId: string;
  /** Whose it is on this browser: a shared machine shows each account only its own. */
  readonly account: string;
  readonly titleId: string;
  readonly offerId: string;
  readonly offerName: string;
  /** Stream path. */
  readonly uri: string;
  readonly ticket: string;
  readonly endpoint: string;
  readonly expiresAtSeconds: number;
  /** Every admission costs something that was counted out, so the player must not reconnect by itself. */
  readonly countsAccesses: boolean;
  /** How much may be watched with it, `null` for any; not there in tickets of earlier versions. */
  readonly allowedSeconds?: number | null;
  readonly keys: OrderKeys;
}

/** An order on its way: repeated with the same key pairs and the same idempotency key until it is answered. */
export interface PendingOrder {
  readonly id: string;
  readonly idempotencyKey: string;
  readonly keys: OrderKeys;
  /** What it was sent with (`null`: nothing), the last first; not there in orders of earlier versions. */
  readonly codes?: readonly (Means | null)[];
}

/** The token store: IndexedDB, which keeps non-extractable CryptoKeys as they are. */
export interface TicketStore {
  putTicket(ticket: StoredTicket): Promise<void>;
  /** Tickets of an account for a title that have not expired, the one that lasts longest first. */
  findTickets(account: string, titleId: string): Promise<StoredTicket[]>;
  removeTicket(orderId: string): Promise<void>;
  putPending(order: PendingOrder): Promise<void>;
  findPending(id: string): Promise<PendingOrder | null>;
  removePending(id: string): Promise<void>;
}

const DATABASE = 'usher-player';
const VERSION = 1;

export async function openTicketStore(nowMs: () => number): Promise<TicketStore> {
  const opening = indexedDB.open(DATABASE, VERSION);
  opening.addEventListener('upgradeneeded', () => {
    opening.result.createObjectStore('tickets', { keyPath: 'orderId' });
    opening.result.createObjectStore('pending', { keyPath: 'id' });
  });
  const database = await settled(opening);

  function store(name: 'tickets' | 'pending', mode: IDBTransactionMode): IDBObjectStore {
    return database.transaction(name, mode, { durability: 'strict' }).objectStore(name);
  }

  const result: TicketStore = {
    async putTicket(ticket) {
      await settled(store('tickets', 'readwrite').put(ticket));
    },
    async findTickets(account, titleId) {
      const all = (await settled(store('tickets', 'readonly').getAll())) as StoredTicket[];
      const nowSeconds = nowMs() / 1000;
      for (const old of all.filter((ticket) => ticket.expiresAtSeconds <= nowSeconds)) {
        await result.removeTicket(old.orderId);
      }
      return all
        .filter((t) => t.account === account && t.titleId === titleId && t.expiresAtSeconds > nowSeconds)
        .sort((a, b) => b.expiresAtSeconds - a.expiresAtSeconds);
    },
    async removeTicket(orderId) {
      await settled(store('tickets', 'readwrite').delete(orderId));
    },
    async putPending(order) {
      await settled(store('pending', 'readwrite').put(order));
    },
    async findPending(id) {
      const found: unknown = await settled(store('pending', 'readonly').get(id));
      return (found as PendingOrder | undefined) ?? null;
    },
    async removePending(id) {
      await settled(store('pending', 'readwrite').delete(id));
    },
  };
  return result;
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result));
    request.addEventListener('error', () => reject(request.error ?? new Error('IndexedDB failed')));
  });
}
