/** What an order took goes back when it comes to nothing. */
import { returnPlaces } from '../catalog/capacity.ts';
import type { Executor } from '../db/connect.ts';
import { returnPromotion } from '../pricing/promotions.ts';
import { returnVoucher } from '../pricing/vouchers.ts';

/**
 * Gives back the voucher and the promotion's use of an order, then what `money` gives back, then its place: in the order
 * in which placing takes them, so that neither waits for the other in a ring. Idempotent as far as `money` is.
 */
export async function giveBack<T>(tx: Executor, orderId: string, money: () => Promise<T>): Promise<T> {
  await returnVoucher(tx, orderId);
  await returnPromotion(tx, orderId);
  const given = await money();
  await returnPlaces(tx, orderId);
  return given;
}
