/** Codes that make offers cheaper. */
import { and, eq, inArray, sql } from 'drizzle-orm';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import type { Offer } from '../catalog/offers.ts';
import type { Page } from '../catalog/titles.ts';
import { isSqlState, type Executor } from '../db/connect.ts';
import { inPage, newestFirst } from '../db/keyset.ts';
import { offers, promotions, promotionUses, titles } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { currencySchema, MAX_AMOUNT_MINOR } from '../ledger/money.ts';
import { lineSchema } from '../text.ts';

/** What people type: capitals or not. */
export const promotionCodeSchema = z
  .string()
  .trim()
  .toUpperCase()
  .regex(/^[A-Z0-9][A-Z0-9-]{2,31}$/, '3 to 32 letters, digits and hyphens');

const uses = z.int().min(1).max(1_000_000_000);
const targets = z.array(z.uuid()).min(1).max(100);

const fields = {
  name: lineSchema(1, 100),
  /** Either of the two discounts. */
  percent: z.int().min(1).max(100).exactOptional(),
  amountMinor: z.int().min(1).max(MAX_AMOUNT_MINOR).exactOptional(),
  /** Of the amount. */
  currency: currencySchema.exactOptional(),
  startsAt: z.date().nullable().exactOptional(),
  endsAt: z.date().nullable().exactOptional(),
  maxUses: uses.nullable().exactOptional(),
  maxUsesPerAccount: uses.nullable().exactOptional(),
  offerIds: targets.nullable().exactOptional(),
  titleIds: targets.nullable().exactOptional(),
  active: z.boolean().exactOptional(),
};

/** 16 letters and digits, however they are grouped: where either kind is typed, that is a voucher's. */
const looksLikeVoucher = (code: string): boolean => code.replaceAll('-', '').length === 16;

export const promotionSchema = z
  .strictObject({
    code: promotionCodeSchema.refine(
      (code) => !looksLikeVoucher(code),
      '16 letters and digits are a voucher',
    ),
    ...fields,
  })
  .refine(({ percent, amountMinor }) => (percent === undefined) !== (amountMinor === undefined), {
    message: 'either percent or amountMinor',
    path: ['percent'],
  })
  .refine(({ amountMinor, currency }) => (amountMinor === undefined) === (currency === undefined), {
    message: 'belongs to amountMinor',
    path: ['currency'],
  });
export type PromotionInput = z.infer<typeof promotionSchema>;

/** What of a promotion may change once it is out: not what it takes off. */
export const promotionPatchSchema = z
  .strictObject(fields)
  .omit({ percent: true, amountMinor: true, currency: true })
  .partial();
export type PromotionPatch = z.infer<typeof promotionPatchSchema>;

const COLUMNS = {
  id: promotions.id,
  code: promotions.code,
  name: promotions.name,
  percent: promotions.percent,
  amountMinor: promotions.amountMinor,
  currency: promotions.currency,
  startsAt: promotions.startsAt,
  endsAt: promotions.endsAt,
  maxUses: promotions.maxUses,
  maxUsesPerAccount: promotions.maxUsesPerAccount,
  offerIds: promotions.offerIds,
  titleIds: promotions.titleIds,
  active: promotions.active,
  uses: promotions.uses,
  createdAt: promotions.createdAt,
};
export type Promotion = typeof promotions.$inferSelect;

async function refuseUnknownTargets(tx: Executor, { offerIds, titleIds }: PromotionPatch): Promise<void> {
  const known = async (table: typeof offers | typeof titles, ids: readonly string[]) =>
    (
      await tx
        .select({ id: table.id })
        .from(table)
        .where(inArray(table.id, [...ids]))
    ).length === new Set(ids).size;
  if (offerIds && !(await known(offers, offerIds))) throw new Denial('input_invalid', { detail: 'offerIds' });
  if (titleIds && !(await known(titles, titleIds))) throw new Denial('input_invalid', { detail: 'titleIds' });
}

function refuseEmptyWindow({ startsAt, endsAt }: { startsAt: Date | null; endsAt: Date | null }): void {
  if (startsAt !== null && endsAt !== null && endsAt <= startsAt)
    throw new Denial('input_invalid', { detail: 'endsAt: is not after startsAt' });
}

/** @throws Denial `conflict` when the code is taken, `input_invalid`. */
export async function createPromotion(tx: Executor, input: PromotionInput, now: Date): Promise<Promotion> {
  await refuseUnknownTargets(tx, input);
  refuseEmptyWindow({ startsAt: input.startsAt ?? null, endsAt: input.endsAt ?? null });
  try {
    const [row] = await tx
      .insert(promotions)
      .values({ id: newId(), ...input, active: input.active ?? true, createdAt: now })
      .returning(COLUMNS);
    if (row === undefined) throw new Error('an insert returned no row');
    return row;
  } catch (error) {
    if (isSqlState(error, '23505')) throw new Denial('conflict', { detail: 'code', cause: error });
    throw error;
  }
}

/** @throws Denial `not_found`; `input_invalid`, also when fewer uses are allowed than there were. */
export async function updatePromotion(tx: Executor, id: string, patch: PromotionPatch): Promise<Promotion> {
  await refuseUnknownTargets(tx, patch);
  const [before] = await tx.select(COLUMNS).from(promotions).where(eq(promotions.id, id)).for('update');
  if (before === undefined) throw new Denial('not_found', { detail: 'promotion' });
  const changed = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
  if (Object.keys(changed).length === 0) return before;
  const after: Promotion = { ...before, ...changed };
  refuseEmptyWindow(after);
  if (after.maxUses !== null && after.maxUses < before.uses)
    throw new Denial('input_invalid', { detail: 'maxUses: it was used more often' });
  await tx.update(promotions).set(changed).where(eq(promotions.id, id));
  return after;
}

export function findPromotion(db: Executor, id: string): Promise<Promotion | null> {
  return findWhere(db, eq(promotions.id, id));
}

async function findWhere(db: Executor, where: ReturnType<typeof eq>): Promise<Promotion | null> {
  const [row] = await db.select(COLUMNS).from(promotions).where(where);
  return row ?? null;
}

/** Newest first. */
export function listPromotions(db: Executor, page: Page): Promise<Promotion[]> {
  return db
    .select(COLUMNS)
    .from(promotions)
    .where(inPage(promotions.id, page))
    .orderBy(newestFirst(promotions.id, page))
    .limit(page.limit);
}

/** What a promotion takes off a price, minor units: rounded to the customer's favour, never more than the price. */
export function discountOf(
  { percent, amountMinor }: Pick<Promotion, 'percent' | 'amountMinor'>,
  priceMinor: number,
): number {
  const off = percent === null ? (amountMinor ?? 0) : Math.ceil((priceMinor * percent) / 100);
  return Math.min(priceMinor, off);
}

/** What a code is used for. */
export interface PromotionUse {
  readonly offer: Offer;
  readonly titleId: string | null;
  readonly accountId: string | null;
  readonly nowMs: number;
}

/**
 * The promotion of a code, or in words why it does not apply. An unknown code and one that is switched off are not told
 * apart.
 */
export async function findApplicable(
  tx: Executor,
  code: string,
  { offer, titleId, accountId, nowMs }: PromotionUse,
): Promise<Promotion | string> {
  const found = await findWhere(tx, eq(promotions.code, code));
  if (found === null || !found.active) return 'not known';
  if (found.startsAt !== null && found.startsAt.getTime() > nowMs) return 'not valid yet';
  if (found.endsAt !== null && found.endsAt.getTime() <= nowMs) return 'no longer valid';
  if (found.offerIds?.includes(offer.id) === false) return 'not for this offer';
  if (found.titleIds !== null && (titleId === null || !found.titleIds.includes(titleId)))
    return 'not for this title';
  if (found.currency !== null && found.currency !== offer.price.currency) return 'not for this currency';
  if (offer.charging === 'metered') return 'not for what is charged by use';
  if (offer.price.amountMinor === 0) return 'not for what is free';
  if (found.maxUses !== null && found.uses >= found.maxUses) return 'used up';
  if (found.maxUsesPerAccount === null) return found;
  if (accountId === null) return 'only for who is signed in';
  return (await usesBy(tx, found.id, accountId)) < found.maxUsesPerAccount
    ? found
    : 'used up by this account';
}

async function usesBy(tx: Executor, promotionId: string, accountId: string): Promise<number> {
  return tx.$count(
    promotionUses,
    and(eq(promotionUses.promotionId, promotionId), eq(promotionUses.accountId, accountId)),
  );
}

/**
 * Counts a promotion's use by an order, in the order's transaction: the promotion's row is locked until that ends, so
 * that of many at once no more get through than both limits allow.
 * @throws Denial `code_invalid` when it is used up, or over, by now.
 */
export async function usePromotion(
  tx: Executor,
  use: { promotionId: string; orderId: string; accountId: string | null; nowMs: number },
): Promise<void> {
  const { promotionId, orderId, accountId, nowMs } = use;
  const now = sql`${new Date(nowMs).toISOString()}::timestamptz`;
  const [row] = await tx
    .update(promotions)
    .set({ uses: sql`${promotions.uses} + 1` })
    .where(
      and(
        eq(promotions.id, promotionId),
        promotions.active,
        sql`coalesce(${promotions.uses} < ${promotions.maxUses}, true)`,
        sql`coalesce(${promotions.startsAt} <= ${now}, true)`,
        sql`coalesce(${promotions.endsAt} > ${now}, true)`,
      ),
    )
    .returning({ maxUsesPerAccount: promotions.maxUsesPerAccount });
  const most = row?.maxUsesPerAccount ?? null;
  if (
    row === undefined ||
    (most !== null && (accountId === null || (await usesBy(tx, promotionId, accountId)) >= most))
  )
    throw new Denial('code_invalid', { detail: 'promotionCode: used up' });
  await tx.insert(promotionUses).values({ promotionId, orderId, accountId, usedAt: new Date(nowMs) });
}

/** Gives a promotion's use back: the order came to nothing. Idempotent; an order without one is no error. */
export async function returnPromotion(tx: Executor, orderId: string): Promise<void> {
  const [row] = await tx
    .delete(promotionUses)
    .where(eq(promotionUses.orderId, orderId))
    .returning({ promotionId: promotionUses.promotionId });
  if (row === undefined) return;
  await tx
    .update(promotions)
    .set({ uses: sql`${promotions.uses} - 1` })
    .where(eq(promotions.id, row.promotionId));
}
