/** What an order took beside money goes back when it comes to nothing. */
import { returnPlaces } from '../catalog/capacity.ts';
import type { Executor } from '../db/connect.ts';
import { returnPromotion } from '../pricing/promotions.ts';
import { returnVoucher } from '../pricing/vouchers.ts';

/** Gives back the place, the promotion's use and the voucher of an order. Idempotent. */
export async function returnTaken(tx: Executor, orderId: string): Promise<void> {
  await returnPlaces(tx, orderId);
  await returnPromotion(tx, orderId);
  await returnVoucher(tx, orderId);
}
