/** The states of an order, and the changes between them that there are. Pure. */

export const ORDER_STATES = [
  /** Asked for; nothing is paid. */
  'placed',
  /** The money is held, or needs not be. */
  'authorized',
  /** The ticket is issued. */
  'ticketed',
  /** A picture has left. */
  'delivered',
  /** Charged: all that is due. */
  'captured',
  /** Over, and nothing was charged. */
  'released',
  /** Charged, and all of it given back. */
  'refunded',
  /** Taken back before the first picture, and nothing was charged. */
  'cancelled',
  /** The payment was declined, or could not be taken. */
  'failed',
] as const;
export type OrderState = (typeof ORDER_STATES)[number];

/** What each state may become. `captured` follows itself when a part is refunded. */
const NEXT: Readonly<Record<OrderState, readonly OrderState[]>> = {
  placed: ['authorized', 'failed', 'cancelled'],
  authorized: ['ticketed', 'released'],
  // Unused until the end, it is charged or not as the offer's policy says.
  ticketed: ['delivered', 'captured', 'released', 'cancelled', 'failed'],
  delivered: ['captured', 'released', 'failed'],
  captured: ['captured', 'refunded'],
  released: [],
  refunded: [],
  cancelled: [],
  failed: [],
};

/** True if an order in `from` may become `to`. */
export function mayBecome(from: OrderState, to: OrderState): boolean {
  return NEXT[from].includes(to);
}
