import { and, asc, eq, inArray, isNotNull, or, sql } from 'drizzle-orm';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import { isSqlState, type Executor } from '../db/connect.ts';
import { builtOnce } from '../db/prepare.ts';
import { offers, titleCategories } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { currencySchema, money, type Money } from '../ledger/money.ts';
import { compileOffer, termsSchema, type CompiledTerms, type Terms } from '../pricing/compile.ts';
import type { TimeOption } from '../pricing/time-options.ts';
import { lineSchema } from '../text.ts';

export interface Offer extends Omit<CompiledTerms, 'priceMinor' | 'meterPriceMinor'> {
  readonly id: string;
  /** What it opens: a title, or each title of a category. One of the two is null. */
  readonly titleId: string | null;
  readonly categoryId: string | null;
  readonly name: string;
  /** What is charged; for `metered`, the most that can be charged. */
  readonly price: Money;
  /** Of one unit of the meter that is begun. */
  readonly meterPrice: Money | null;
  readonly taxInclusive: boolean;
  /** `clear`: its tickets may be used where media travel in the clear. */
  readonly transport: 'clear' | null;
  readonly active: boolean;
}

const fields = {
  ...termsSchema.shape,
  name: lineSchema(1, 100),
  currency: currencySchema,
  taxInclusive: z.boolean().exactOptional(),
  allowClearTransport: z.boolean().exactOptional(),
  active: z.boolean(),
};

export const offerSchema = z
  .strictObject({ titleId: z.uuid().exactOptional(), categoryId: z.uuid().exactOptional(), ...fields })
  .refine(
    ({ titleId, categoryId }) => (titleId === undefined) !== (categoryId === undefined),
    'either titleId or categoryId',
  );
export type OfferInput = z.infer<typeof offerSchema>;

export const offerPatchSchema = z.strictObject(fields).partial();
export type OfferPatch = z.infer<typeof offerPatchSchema>;

const COLUMNS = {
  id: offers.id,
  titleId: offers.titleId,
  categoryId: offers.categoryId,
  name: offers.name,
  priceMinor: offers.priceMinor,
  currency: offers.currency,
  taxInclusive: offers.taxInclusive,
  timeOption: offers.timeOption,
  tierName: offers.tierName,
  rights: offers.rights,
  validSeconds: offers.validSeconds,
  validFrom: offers.validFrom,
  validUntil: offers.validUntil,
  charging: offers.charging,
  unusedPolicy: offers.unusedPolicy,
  captureAfterSeconds: offers.captureAfterSeconds,
  meterUnit: offers.meterUnit,
  meterPriceMinor: offers.meterPriceMinor,
  preview: offers.preview,
  previewsPerAddress: offers.previewsPerAddress,
  previewsPerTitle: offers.previewsPerTitle,
  transport: offers.transport,
  active: offers.active,
};

type Row = Omit<Offer, 'price' | 'meterPrice'> & {
  priceMinor: number;
  meterPriceMinor: number | null;
  currency: string;
};

function fromRow({ priceMinor, meterPriceMinor, currency, ...row }: Row): Offer {
  return {
    ...row,
    price: money(priceMinor, currency),
    meterPrice: meterPriceMinor === null ? null : money(meterPriceMinor, currency),
  };
}

const transportOf = (allowClear: boolean) => (allowClear ? ('clear' as const) : null);

/** The active offers that open each of the titles, those of its categories too, cheapest first. */
export async function offersOf(db: Executor, titleIds: readonly string[]): Promise<Map<string, Offer[]>> {
  const found = new Map<string, Offer[]>(titleIds.map((id) => [id, []]));
  if (titleIds.length === 0) return found;
  const own = await db
    .select({ ...COLUMNS, opens: sql<string>`${offers.titleId}` })
    .from(offers)
    .where(and(inArray(offers.titleId, [...titleIds]), eq(offers.active, true)));
  const shared = await db
    .select({ ...COLUMNS, opens: sql<string>`${titleCategories.titleId}` })
    .from(titleCategories)
    .innerJoin(offers, eq(offers.categoryId, titleCategories.categoryId))
    .where(
      and(
        inArray(titleCategories.titleId, [...titleIds]),
        // Follows from the join; the database reads the few offers of categories by it, and not those of every title.
        isNotNull(offers.categoryId),
        eq(offers.active, true),
      ),
    );
  const rows = [...own, ...shared].sort((a, b) => a.priceMinor - b.priceMinor || (a.id < b.id ? -1 : 1));
  for (const { opens, ...row } of rows) found.get(opens)?.push(fromRow(row));
  return found;
}

/** The active offers of categories, cheapest first. */
export async function offersOfCategories(
  db: Executor,
  categoryIds: readonly string[],
): Promise<Map<string, Offer[]>> {
  const rows = await db
    .select(COLUMNS)
    .from(offers)
    .where(and(inArray(offers.categoryId, [...categoryIds]), eq(offers.active, true)))
    .orderBy(asc(offers.priceMinor), asc(offers.id));
  const byCategory = Map.groupBy(rows.map(fromRow), (offer) => offer.categoryId ?? '');
  return new Map(categoryIds.map((id) => [id, byCategory.get(id) ?? []]));
}

/** Offers by id, whether active or not. */
export async function findOffersById(db: Executor, ids: readonly string[]): Promise<Offer[]> {
  if (ids.length === 0) return [];
  const rows = await db
    .select(COLUMNS)
    .from(offers)
    .where(inArray(offers.id, [...ids]));
  return rows.map(fromRow);
}

const offerById = builtOnce((db) =>
  db
    .select(COLUMNS)
    .from(offers)
    .where(eq(offers.id, sql.placeholder('id')))
    .prepare('offer_by_id'),
);

/** An offer by id, whether active or not; null when there is none. */
export async function findOffer(db: Executor, id: string): Promise<Offer | null> {
  const [row] = await offerById(db).execute({ id });
  return row === undefined ? null : fromRow(row);
}

/** Every offer of a title or a category, those that are no longer sold too; newest last. */
export async function listAllOffers(db: Executor, id: string): Promise<Offer[]> {
  const rows = await db
    .select(COLUMNS)
    .from(offers)
    .where(or(eq(offers.titleId, id), eq(offers.categoryId, id)))
    .orderBy(asc(offers.id))
    .limit(200);
  return rows.map(fromRow);
}

const targetOf = (offer: { titleId?: string | null }) =>
  typeof offer.titleId === 'string' ? ('title' as const) : ('category' as const);

/** @throws Denial `input_invalid` (see `compileOffer`), `not_found` for an unknown title or category. */
export async function createOffer(tx: Executor, input: OfferInput, now: Date): Promise<Offer> {
  const { titleId, categoryId, name, currency, active, taxInclusive, allowClearTransport, ...terms } = input;
  const compiled = compileOffer(terms, targetOf(input), now.getTime());
  try {
    const [row] = await tx
      .insert(offers)
      .values({
        id: newId(),
        titleId: titleId ?? null,
        categoryId: categoryId ?? null,
        name,
        currency,
        active,
        taxInclusive: taxInclusive ?? true,
        transport: transportOf(allowClearTransport ?? false),
        ...compiled,
        createdAt: now,
      })
      .returning(COLUMNS);
    if (row === undefined) throw new Error('an insert returned no row');
    return fromRow(row);
  } catch (error) {
    if (isSqlState(error, '23503')) throw new Denial('not_found', { detail: targetOf(input), cause: error });
    throw error;
  }
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the members that are not there. */
const given = <T extends object>(object: T): Given<T> =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Given<T>;

/** The terms that an offer was compiled from. */
export function termsOf(offer: Offer): Terms {
  const { timeOption, rights } = offer;
  const named = offer.tierName === null ? {} : { name: offer.tierName };
  return {
    timeOption,
    priceMinor: offer.price.amountMinor,
    charging: offer.charging,
    unusedPolicy: offer.unusedPolicy,
    ...(timeOption.kind === 'rights'
      ? { tier: named }
      : { tier: { ...rights.tier, ...named }, controls: rights.controls, concurrent: rights.concurrent }),
    ...(offer.meterPrice === null ? {} : { meterPriceMinor: offer.meterPrice.amountMinor }),
    ...(offer.captureAfterSeconds === null ? {} : { captureAfterSeconds: offer.captureAfterSeconds }),
    previewsPerAddress: offer.previewsPerAddress,
    previewsPerTitle: offer.previewsPerTitle,
  };
}

const meterUnitOf = (option: TimeOption) => (option.kind === 'metered' ? option.unit : null);

/** What stays of the terms when some of them change: not what only made sense beside what is changed. */
function keptTerms(before: Terms, patch: Partial<Terms>): Partial<Terms> {
  const kept: Partial<Terms> = { ...before };
  const kind = patch.timeOption?.kind ?? before.timeOption.kind;
  if (kind === 'rights' || before.timeOption.kind === 'rights') {
    delete kept.controls;
    delete kept.concurrent;
    kept.tier = before.tier?.name === undefined ? {} : { name: before.tier.name };
  }
  // What a metered offer costs at most is no price of anything else.
  if (kind === 'metered' || before.timeOption.kind === 'metered') delete kept.priceMinor;
  if (meterUnitOf(patch.timeOption ?? before.timeOption) !== meterUnitOf(before.timeOption))
    delete kept.meterPriceMinor;
  if (kind !== 'preview') {
    delete kept.previewsPerAddress;
    delete kept.previewsPerTitle;
  }
  const free = kind !== 'metered' && (patch.priceMinor ?? before.priceMinor) === 0;
  const fits =
    (before.charging === 'metered') === (kind === 'metered') && (before.charging === 'free') === free;
  if (!fits) delete kept.charging;
  if (!fits || (patch.charging !== undefined && patch.charging !== before.charging)) {
    delete kept.unusedPolicy;
    delete kept.captureAfterSeconds;
  }
  return kept;
}

/** An offer that nobody else changes until the transaction ends. @throws Denial `not_found`. */
export async function lockOffer(tx: Executor, id: string): Promise<Offer> {
  const [found] = await tx.select(COLUMNS).from(offers).where(eq(offers.id, id)).for('update');
  if (found === undefined) throw new Denial('not_found', { detail: 'offer' });
  return fromRow(found);
}

/**
 * Changes what the patch names. Tickets that were issued and orders that were placed keep their terms.
 * @throws Denial `not_found`, `input_invalid` when the whole would contradict itself.
 */
export async function updateOffer(tx: Executor, id: string, patch: OfferPatch, now: Date): Promise<Offer> {
  const before = await lockOffer(tx, id);
  const { name, currency, active, taxInclusive, allowClearTransport, ...terms } = patch;
  const changed = given({
    name,
    currency,
    active,
    taxInclusive,
    transport: allowClearTransport === undefined ? undefined : transportOf(allowClearTransport),
  });
  const named = given(terms);
  const known = termsOf(before);
  // An event that is over can still be taken off sale.
  const compiled =
    Object.keys(named).length === 0
      ? {}
      : compileOffer(
          { timeOption: known.timeOption, ...keptTerms(known, named), ...named },
          targetOf(before),
          now.getTime(),
        );
  if (Object.keys({ ...changed, ...compiled }).length === 0) return before;
  const [row] = await tx
    .update(offers)
    .set({ ...changed, ...compiled })
    .where(eq(offers.id, id))
    .returning(COLUMNS);
  if (row === undefined) throw new Denial('not_found', { detail: 'offer' });
  return fromRow(row);
}
