import { and, asc, eq, inArray } from 'drizzle-orm';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import { rightsSchema, type Rights } from '../../plugin/rights/index.ts';
import { isSqlState, type Executor } from '../db/connect.ts';
import { offers, titles } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { lineSchema } from '../text.ts';
import { currencySchema, MAX_AMOUNT_MINOR, money, type Money } from '../ledger/money.ts';

export interface Offer {
  readonly id: string;
  readonly titleId: string;
  readonly name: string;
  readonly price: Money;
  readonly rights: Rights;
  readonly validSeconds: number;
  readonly charging: 'free' | 'prepaid';
  /** `clear`: its tickets may be used where media travel in the clear. */
  readonly transport: 'clear' | null;
  readonly active: boolean;
}

/** A year: no ticket outlives the keys that it is sealed to by much. */
const MAX_VALID_SECONDS = 366 * 24 * 3600;

const fields = {
  name: lineSchema(1, 100),
  priceMinor: z.int().min(0).max(MAX_AMOUNT_MINOR),
  currency: currencySchema,
  /** What the ticket will allow. Its schema has no way to grant nothing: every limit is positive or absent. */
  rights: rightsSchema.refine((rights) => rights.action === 'play', 'only playing is sold'),
  validSeconds: z.int().min(10).max(MAX_VALID_SECONDS),
  allowClearTransport: z.boolean().exactOptional(),
  active: z.boolean(),
};

export const offerSchema = z.strictObject({ titleId: z.uuid(), ...fields });
export type OfferInput = z.infer<typeof offerSchema>;

export const offerPatchSchema = z.strictObject(fields).partial();
export type OfferPatch = z.infer<typeof offerPatchSchema>;

const COLUMNS = {
  id: offers.id,
  titleId: offers.titleId,
  name: offers.name,
  priceMinor: offers.priceMinor,
  currency: offers.currency,
  rights: offers.rights,
  validSeconds: offers.validSeconds,
  charging: offers.charging,
  transport: offers.transport,
  active: offers.active,
};

type Row = Omit<Offer, 'price' | 'transport'> & {
  transport: Offer['transport'];
  priceMinor: number;
  currency: string;
};

function fromRow({ priceMinor, currency, ...row }: Row): Offer {
  return { ...row, price: money(priceMinor, currency) };
}

/** A price of nothing is free; everything else is paid before the ticket is issued. */
const chargingOf = (priceMinor: number) => (priceMinor === 0 ? ('free' as const) : ('prepaid' as const));

const transportOf = (allowClear: boolean) => (allowClear ? ('clear' as const) : null);

/** The active offers of titles, cheapest first. */
export async function offersOf(db: Executor, titleIds: readonly string[]): Promise<Offer[]> {
  if (titleIds.length === 0) return [];
  const rows = await db
    .select(COLUMNS)
    .from(offers)
    .where(and(inArray(offers.titleId, [...titleIds]), eq(offers.active, true)))
    .orderBy(asc(offers.priceMinor), asc(offers.id));
  return rows.map(fromRow);
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

/** An offer that can be ordered now, with the path of its title. */
export async function findOrderable(
  db: Executor,
  id: string,
): Promise<{ offer: Offer; path: string } | null> {
  const [row] = await db
    .select({ ...COLUMNS, path: titles.path })
    .from(offers)
    .innerJoin(titles, eq(titles.id, offers.titleId))
    .where(and(eq(offers.id, id), eq(offers.active, true), eq(titles.published, true)));
  if (row === undefined) return null;
  const { path, ...offer } = row;
  return { offer: fromRow(offer), path };
}

/** @throws Denial `not_found` for an unknown title. */
export async function createOffer(tx: Executor, input: OfferInput, now: Date): Promise<Offer> {
  const { allowClearTransport = false, ...columns } = input;
  try {
    const [row] = await tx
      .insert(offers)
      .values({
        id: newId(),
        ...columns,
        charging: chargingOf(input.priceMinor),
        transport: transportOf(allowClearTransport),
        createdAt: now,
      })
      .returning(COLUMNS);
    if (row === undefined) throw new Error('an insert returned no row');
    return fromRow(row);
  } catch (error) {
    if (isSqlState(error, '23503')) throw new Denial('not_found', { detail: 'title', cause: error });
    throw error;
  }
}

/** Changes what the patch names; tickets that were issued keep the rights they carry. @throws Denial `not_found`. */
export async function updateOffer(tx: Executor, id: string, patch: OfferPatch): Promise<Offer> {
  const [before] = await tx.select(COLUMNS).from(offers).where(eq(offers.id, id)).for('update');
  if (before === undefined) throw new Denial('not_found', { detail: 'offer' });
  const { allowClearTransport, ...columns } = patch;
  const changed: Partial<Row> = Object.fromEntries(
    Object.entries(columns).filter(([, value]) => value !== undefined),
  );
  if (allowClearTransport !== undefined) changed.transport = transportOf(allowClearTransport);
  const priceMinor = changed.priceMinor ?? before.priceMinor;
  const [row] = await tx
    .update(offers)
    .set({ ...changed, charging: chargingOf(priceMinor) })
    .where(eq(offers.id, id))
    .returning(COLUMNS);
  if (row === undefined) throw new Denial('not_found', { detail: 'offer' });
  return fromRow(row);
}
