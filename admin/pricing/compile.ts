/** From what staff say is sold to what tickets carry. Pure; the only place where rights of offers are made. */
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import { rightsSchema, tierSchema, UNLIMITED_PLAY, type Rights } from '../../plugin/rights/index.ts';
import { MAX_AMOUNT_MINOR } from '../ledger/money.ts';
import { lineSchema } from '../text.ts';
import { MAX_VALID_SECONDS, timeOptionSchema, type TimeOption } from './time-options.ts';

export const CHARGINGS = ['free', 'prepaid', 'on_delivery', 'metered'] as const;
export type Charging = (typeof CHARGINGS)[number];

const quota = z.int().min(1).max(1_000_000);

/** What is sold for what, as staff say it. What is absent takes the value that suits the rest. */
export const termsSchema = z.strictObject({
  timeOption: timeOptionSchema,
  /** Limits of the quality, and what that is called. */
  tier: tierSchema.extend({ name: lineSchema(1, 40).exactOptional() }).exactOptional(),
  controls: rightsSchema.shape.controls.exactOptional(),
  /** Sessions at the same time; null is not limited. */
  concurrent: z.int().min(1).max(1000).nullable().exactOptional(),
  /** Minor units; for a metered offer it follows from the meter. */
  priceMinor: z.int().min(0).max(MAX_AMOUNT_MINOR).exactOptional(),
  /** Minor units for each minute or gigabyte that is begun. */
  meterPriceMinor: z.int().min(1).max(MAX_AMOUNT_MINOR).exactOptional(),
  charging: z.enum(CHARGINGS).exactOptional(),
  /** What becomes of the money of a ticket that was never used. Default: forfeit. */
  unusedPolicy: z.enum(['refund', 'forfeit']).exactOptional(),
  /** Seconds of media after which a price on delivery is due. */
  captureAfterSeconds: z.int().min(1).max(MAX_VALID_SECONDS).exactOptional(),
  /** Per UTC day; null is not limited. */
  previewsPerAddress: quota.nullable().exactOptional(),
  previewsPerTitle: quota.nullable().exactOptional(),
});
export type Terms = z.infer<typeof termsSchema>;

/** What an offer is once it is compiled; what its row and its tickets say. */
export interface CompiledTerms {
  readonly timeOption: TimeOption;
  readonly tierName: string | null;
  readonly rights: Rights;
  /** From the order; null where the two moments are set. */
  readonly validSeconds: number | null;
  readonly validFrom: Date | null;
  readonly validUntil: Date | null;
  readonly priceMinor: number;
  readonly charging: Charging;
  readonly unusedPolicy: 'refund' | 'forfeit';
  readonly captureAfterSeconds: number | null;
  readonly meterUnit: 'minute' | 'gigabyte' | null;
  readonly meterPriceMinor: number | null;
  readonly preview: boolean;
  readonly previewsPerAddress: number | null;
  readonly previewsPerTitle: number | null;
}

const METER = { minute: 60, gigabyte: 1_000_000_000 } as const;
/** Time to press play on a preview. */
const PREVIEW_VALID_SECONDS = 600;

type Granted = Pick<CompiledTerms, 'rights' | 'validSeconds' | 'validFrom' | 'validUntil'>;

function refuse(field: string, message: string): never {
  throw new Denial('input_invalid', { detail: `${field}: ${message}` });
}

function grantedBy(option: TimeOption, nowMs: number): Granted {
  const lasting = (validSeconds: number, limits: Partial<Rights> = {}): Granted => ({
    rights: { ...UNLIMITED_PLAY, ...limits },
    validSeconds,
    validFrom: null,
    validUntil: null,
  });
  switch (option.kind) {
    case 'duration':
    case 'category':
      return lasting(option.seconds);
    case 'from_first_view': {
      const validSeconds = option.validSeconds + option.seconds;
      if (validSeconds > MAX_VALID_SECONDS)
        refuse('timeOption.validSeconds', 'its tickets would live too long');
      return lasting(validSeconds, { window: option.seconds });
    }
    case 'event': {
      // Tickets count in seconds: what is sold begins and ends on whole ones, inside what was said.
      const from = new Date(Math.ceil(Date.parse(option.from) / 1000) * 1000);
      const until = new Date(Math.floor(Date.parse(option.until) / 1000) * 1000);
      if (until <= from) refuse('timeOption.until', 'must be after timeOption.from');
      if (until.getTime() <= nowMs) refuse('timeOption.until', 'is over');
      if (until.getTime() > nowMs + MAX_VALID_SECONDS * 1000) refuse('timeOption.until', 'is too far ahead');
      return { rights: UNLIMITED_PLAY, validSeconds: null, validFrom: from, validUntil: until };
    }
    case 'views':
      return lasting(option.validSeconds, { accesses: option.views });
    case 'metered': {
      const limit = option.max * METER[option.unit];
      return lasting(option.validSeconds, option.unit === 'minute' ? { seconds: limit } : { bytes: limit });
    }
    case 'preview':
      return lasting(PREVIEW_VALID_SECONDS, { accesses: 1, seconds: option.seconds });
    case 'rights': {
      if (option.rights.action !== 'play') refuse('rights.action', 'only playing is sold');
      if (option.rights.window !== null && option.rights.window > option.validSeconds)
        refuse('rights.window', 'is longer than the ticket is valid');
      return lasting(option.validSeconds, option.rights);
    }
  }
}

function withExtras(granted: Granted, terms: Terms): Granted {
  const { timeOption, tier, controls, concurrent } = terms;
  if (timeOption.kind === 'rights') {
    for (const [field, value] of Object.entries({ tier: tierLimits(tier), controls, concurrent }))
      if (value !== undefined) refuse(field, 'is said twice: the rights have it');
    return checkRights(granted);
  }
  return checkRights({
    ...granted,
    rights: {
      ...granted.rights,
      tier: tierLimits(tier) ?? {},
      controls: controls ?? [],
      concurrent: concurrent ?? null,
    },
  });
}

function tierLimits(tier: Terms['tier']): Rights['tier'] | undefined {
  if (tier === undefined) return undefined;
  const { name: _, ...limits } = tier;
  return Object.keys(limits).length === 0 ? undefined : limits;
}

function checkRights(granted: Granted): Granted {
  const { accesses, concurrent } = granted.rights;
  if (accesses !== null && concurrent !== null && concurrent > accesses)
    refuse('concurrent', 'is more than the views that are sold');
  return granted;
}

function meterOf({ timeOption, meterPriceMinor, priceMinor }: Terms) {
  if (timeOption.kind !== 'metered') {
    if (meterPriceMinor !== undefined) refuse('meterPriceMinor', 'only a metered time option has one');
    if (priceMinor === undefined) refuse('priceMinor', 'is missing');
    return { priceMinor, meterUnit: null, meterPriceMinor: null };
  }
  if (meterPriceMinor === undefined) refuse('meterPriceMinor', 'is missing');
  const most = timeOption.max * meterPriceMinor;
  if (most > MAX_AMOUNT_MINOR) refuse('meterPriceMinor', 'makes the most that can be charged too large');
  if (priceMinor !== undefined && priceMinor !== most)
    refuse('priceMinor', 'contradicts the meter: it is timeOption.max times meterPriceMinor');
  return { priceMinor: most, meterUnit: timeOption.unit, meterPriceMinor };
}

function chargingOf({ timeOption, charging }: Terms, priceMinor: number): Charging {
  const { kind } = timeOption;
  if (kind === 'preview' && priceMinor > 0) refuse('priceMinor', 'a preview is free');
  const fitting = kind === 'metered' ? 'metered' : priceMinor === 0 ? 'free' : 'prepaid';
  const chosen = charging ?? fitting;
  if ((chosen === 'metered') !== (kind === 'metered')) refuse('charging', 'contradicts timeOption');
  if ((chosen === 'free') !== (priceMinor === 0)) refuse('charging', 'contradicts priceMinor');
  if (chosen === 'on_delivery' && kind === 'category') refuse('charging', 'a category is paid in advance');
  return chosen;
}

/** The most media, in seconds, that one session can deliver. */
function deliverableSeconds({ rights, validSeconds, validFrom, validUntil }: Granted): number {
  const between =
    validFrom === null || validUntil === null
      ? Infinity
      : (validUntil.getTime() - validFrom.getTime()) / 1000;
  return Math.min(rights.seconds ?? Infinity, rights.window ?? Infinity, validSeconds ?? Infinity, between);
}

function captureOf({ captureAfterSeconds }: Terms, charging: Charging, granted: Granted): number | null {
  if (charging !== 'on_delivery') {
    if (captureAfterSeconds !== undefined) refuse('captureAfterSeconds', 'only a price on delivery has one');
    return null;
  }
  if (captureAfterSeconds === undefined) refuse('captureAfterSeconds', 'is missing');
  if (captureAfterSeconds > deliverableSeconds(granted))
    refuse('captureAfterSeconds', 'is more than the ticket allows: it would never be paid');
  return captureAfterSeconds;
}

function previewOf({ timeOption, previewsPerAddress, previewsPerTitle }: Terms) {
  const preview = timeOption.kind === 'preview';
  for (const [field, value] of Object.entries({ previewsPerAddress, previewsPerTitle }))
    if (!preview && value !== undefined && value !== null) refuse(field, 'only a preview has one');
  return {
    preview,
    previewsPerAddress: previewsPerAddress ?? null,
    previewsPerTitle: previewsPerTitle ?? null,
  };
}

/**
 * Compiles what is sold into rights, validity and the way it is charged. What it answers grants something, and never
 * more than the terms say.
 * @param target what the offer opens.
 * @param nowMs an event that is over then is not sold.
 * @throws Denial `input_invalid`, which names the field that contradicts another or grants nothing.
 */
export function compileOffer(terms: Terms, target: 'title' | 'category', nowMs: number): CompiledTerms {
  const { timeOption, tier, unusedPolicy } = terms;
  if ((timeOption.kind === 'category') !== (target === 'category'))
    refuse('timeOption', target === 'category' ? 'a category is sold by `category`' : 'has no category');
  const granted = withExtras(grantedBy(timeOption, nowMs), terms);
  const meter = meterOf(terms);
  const charging = chargingOf(terms, meter.priceMinor);
  if (unusedPolicy === 'refund' && charging !== 'prepaid')
    refuse('unusedPolicy', 'only what is paid in advance can be paid back');
  return {
    timeOption,
    tierName: tier?.name ?? null,
    ...granted,
    ...meter,
    charging,
    unusedPolicy: unusedPolicy ?? 'forfeit',
    captureAfterSeconds: captureOf(terms, charging, granted),
    ...previewOf(terms),
  };
}

/** When a ticket of an offer begins and ends, Unix seconds, if the order is of `orderedAtSeconds`. */
export function validityOf(
  offer: Pick<CompiledTerms, 'validSeconds' | 'validFrom' | 'validUntil'>,
  orderedAtSeconds: number,
): { nbf: number; exp: number } {
  const { validSeconds, validFrom, validUntil } = offer;
  if (validFrom !== null && validUntil !== null)
    return {
      nbf: Math.max(orderedAtSeconds, validFrom.getTime() / 1000),
      exp: Math.floor(validUntil.getTime() / 1000),
    };
  if (validSeconds === null) throw new TypeError('an offer has a validity');
  return { nbf: orderedAtSeconds, exp: orderedAtSeconds + validSeconds };
}
