/** Who may see and buy a title now: published, within its window, in the viewer's country. */
import { and, arrayContains, eq, gt, isNull, lte, or, type SQL } from 'drizzle-orm';
import { z } from 'zod';
import { titles } from '../db/schema.ts';

/** ISO 3166-1 alpha-2, in capitals. */
export const countrySchema = z.string().regex(/^[A-Z]{2}$/, 'an ISO 3166-1 code in capitals');

/** Where somebody asks from, and when. `null` when the country is not known. */
export interface Viewpoint {
  readonly country: string | null;
  readonly nowMs: number;
}

/** What of a title decides whether it is to be had. */
export interface Availability {
  readonly published: boolean;
  readonly availableFrom: Date | null;
  readonly availableUntil: Date | null;
  /** Null is everywhere. */
  readonly countries: readonly string[] | null;
}

/**
 * The titles that the catalog shows from a viewpoint. Those of some countries only are shown where the country is not
 * known: an order refuses then, and says why.
 */
export function visibleFrom({ country, nowMs }: Viewpoint): SQL | undefined {
  const now = new Date(nowMs);
  return and(
    eq(titles.published, true),
    or(isNull(titles.availableFrom), lte(titles.availableFrom, now)),
    or(isNull(titles.availableUntil), gt(titles.availableUntil, now)),
    country === null ? undefined : or(isNull(titles.countries), arrayContains(titles.countries, [country])),
  );
}

/** Why a published title cannot be bought from a viewpoint, in words for people; null when it can. */
export function whyUnavailable(title: Availability, { country, nowMs }: Viewpoint): string | null {
  if (title.availableFrom !== null && title.availableFrom.getTime() > nowMs)
    return `the title is available from ${title.availableFrom.toISOString()}`;
  if (title.availableUntil !== null && title.availableUntil.getTime() <= nowMs)
    return 'the title is no longer available';
  if (title.countries === null) return null;
  if (country === null) return 'the title is sold in some countries only, and yours is not known';
  return title.countries.includes(country) ? null : 'the title is not sold in your country';
}
