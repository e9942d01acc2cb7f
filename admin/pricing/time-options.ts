/** What can be sold: the ways in which an offer says for how long, or how much, a title may be watched. */
import { z } from 'zod';
import { rightsSchema } from '../../plugin/rights/index.ts';

/** A year: no ticket outlives the keys that it is sealed to by much. */
export const MAX_VALID_SECONDS = 366 * 24 * 3600;
/** No ticket is over before somebody can have pressed play. */
export const MIN_VALID_SECONDS = 10;

const validSeconds = z.int().min(MIN_VALID_SECONDS).max(MAX_VALID_SECONDS);

export const timeOptionSchema = z.discriminatedUnion('kind', [
  /** From the order: "30 minutes". */
  z.strictObject({ kind: z.literal('duration'), seconds: validSeconds }),
  /** From the first picture: "24 hours from first view". Who begins within `validSeconds` has all of `seconds`. */
  z.strictObject({ kind: z.literal('from_first_view'), seconds: validSeconds, validSeconds }),
  /** Between two moments, ISO 8601 in UTC: "this event". */
  z.strictObject({ kind: z.literal('event'), from: z.iso.datetime(), until: z.iso.datetime() }),
  /** So many viewings: "3 views". */
  z.strictObject({ kind: z.literal('views'), views: z.int().min(1).max(1000), validSeconds }),
  /** By what is used, up to `max` units: "per minute", "per GB" (10^9 bytes). */
  z.strictObject({
    kind: z.literal('metered'),
    unit: z.enum(['minute', 'gigabyte']),
    max: z.int().min(1).max(100_000),
    validSeconds,
  }),
  /** Every title of a category, from the order: "a month of films". */
  z.strictObject({ kind: z.literal('category'), seconds: validSeconds }),
  /** A free taste of so many seconds. */
  z.strictObject({ kind: z.literal('preview'), seconds: z.int().min(5).max(300) }),
  /** The rights themselves, for what the others cannot say. */
  z.strictObject({ kind: z.literal('rights'), rights: rightsSchema, validSeconds }),
]);

export type TimeOption = z.infer<typeof timeOptionSchema>;
