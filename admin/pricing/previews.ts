/** The quota of previews. A client address is kept as an HMAC under a key of the day, which is deleted with it. */
import { and, eq, lt, sql } from 'drizzle-orm';
import { createHmac, randomBytes } from 'node:crypto';
import { Denial } from '../../plugin/errors.ts';
import { network } from '../../plugin/peer.ts';
import type { Offer } from '../catalog/offers.ts';
import type { Executor } from '../db/connect.ts';
import { previewCounts, previewDays } from '../db/schema.ts';

/** Stands for the title in all. */
const EVERYBODY = '';

const dayOf = (nowMs: number): string => new Date(nowMs).toISOString().slice(0, 10);

async function keyOf(tx: Executor, day: string): Promise<string> {
  await tx
    .insert(previewDays)
    .values({ day, key: randomBytes(32).toString('base64url') })
    .onConflictDoNothing();
  const [row] = await tx.select({ key: previewDays.key }).from(previewDays).where(eq(previewDays.day, day));
  if (row === undefined) throw new Error('the day has no key');
  return row.key;
}

async function takeOne(
  tx: Executor,
  day: string,
  titleId: string,
  who: string,
  most: number,
): Promise<boolean> {
  const [row] = await tx
    .insert(previewCounts)
    .values({ day, titleId, who, taken: 1 })
    .onConflictDoUpdate({
      target: [previewCounts.day, previewCounts.titleId, previewCounts.who],
      set: { taken: sql`${previewCounts.taken} + 1` },
      setWhere: lt(previewCounts.taken, most),
    })
    .returning({ taken: previewCounts.taken });
  return row !== undefined;
}

/**
 * Counts a preview against the quotas of its offer, in the order's transaction. Of an offer that is no preview, or has
 * no quota, it counts nothing.
 * @param peer the client's address.
 * @throws Denial `not_on_sale` when a quota of the day is used up.
 */
export async function countPreview(
  tx: Executor,
  offer: Pick<Offer, 'preview' | 'previewsPerAddress' | 'previewsPerTitle'>,
  titleId: string,
  peer: string,
  nowMs: number,
): Promise<void> {
  if (!offer.preview) return;
  const { previewsPerAddress, previewsPerTitle } = offer;
  if (previewsPerAddress === null && previewsPerTitle === null) return;
  const day = dayOf(nowMs);
  const key = await keyOf(tx, day);
  const who = createHmac('sha256', Buffer.from(key, 'base64url')).update(network(peer)).digest('base64url');
  // The address first: the title's row is the one that others wait for.
  if (previewsPerAddress !== null && !(await takeOne(tx, day, titleId, who, previewsPerAddress)))
    throw new Denial('not_on_sale', { detail: 'you have had your previews of this title for today' });
  if (previewsPerTitle !== null && !(await takeOne(tx, day, titleId, EVERYBODY, previewsPerTitle)))
    throw new Denial('not_on_sale', { detail: "today's previews of this title are all taken" });
}

/** Forgets the days before today: counts and keys. */
export async function prunePreviews(db: Executor, nowMs: number): Promise<void> {
  await db.delete(previewDays).where(and(lt(previewDays.day, dayOf(nowMs))));
}
