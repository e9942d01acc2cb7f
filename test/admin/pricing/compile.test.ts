import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compileOffer,
  termsSchema,
  validityOf,
  type CompiledTerms,
  type Terms,
} from '../../../admin/pricing/compile.ts';
import type { TimeOption } from '../../../admin/pricing/time-options.ts';
import { Denial } from '../../../plugin/errors.ts';
import { rightsSchema, UNLIMITED_PLAY } from '../../../plugin/rights/index.ts';

const NOW_MS = Date.parse('2026-05-01T12:00:00Z');
const NOW_SECONDS = NOW_MS / 1000;
const DAY = 86_400;

const compile = (terms: Terms, target: 'title' | 'category' = 'title') =>
  compileOffer(termsSchema.parse(terms), target, NOW_MS);

const span = fc.integer({ min: 10, max: 366 * DAY });
const limit = fc.option(fc.integer({ min: 1, max: 1_000_000 }), { nil: null });

/** Options of any kind and size, events before and after now, rights that contradict their validity too. */
const options: fc.Arbitrary<TimeOption> = fc.oneof(
  fc.record({ kind: fc.constant('duration' as const), seconds: span }),
  fc.record({ kind: fc.constant('from_first_view' as const), seconds: span, validSeconds: span }),
  fc
    .tuple(
      fc.integer({ min: NOW_MS - 400 * DAY * 1000, max: NOW_MS + 400 * DAY * 1000 }),
      fc.integer({ min: -5000, max: 40 * DAY * 1000 }),
    )
    .map(([fromMs, lengthMs]) => ({
      kind: 'event' as const,
      from: new Date(fromMs).toISOString(),
      until: new Date(fromMs + lengthMs).toISOString(),
    })),
  fc.record({
    kind: fc.constant('views' as const),
    views: fc.integer({ min: 1, max: 1000 }),
    validSeconds: span,
  }),
  fc.record({
    kind: fc.constant('metered' as const),
    unit: fc.constantFrom('minute' as const, 'gigabyte' as const),
    max: fc.integer({ min: 1, max: 100_000 }),
    validSeconds: span,
  }),
  fc.record({ kind: fc.constant('category' as const), seconds: span }),
  fc.record({ kind: fc.constant('preview' as const), seconds: fc.integer({ min: 5, max: 300 }) }),
  fc.record({
    kind: fc.constant('rights' as const),
    validSeconds: span,
    rights: fc
      .record({ accesses: limit, seconds: limit, bytes: limit, concurrent: limit, window: limit })
      .map((limits) => ({ ...UNLIMITED_PLAY, ...limits })),
  }),
);

/** Present once in so many times: what is said of everything contradicts itself almost always. */
const rarely = <T>(value: fc.Arbitrary<T>, times = 8) =>
  fc.oneof({ weight: times - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });

const terms: fc.Arbitrary<Terms> = fc
  .record({
    timeOption: options,
    tier: rarely(
      fc.record(
        { name: fc.constant('HD'), maxHeight: fc.integer({ min: 16, max: 8192 }) },
        { requiredKeys: [] },
      ),
      3,
    ),
    concurrent: rarely(limit, 3),
    priceMinor: fc.constantFrom(undefined, 0, 250),
    meterPriceMinor: rarely(fc.integer({ min: 1, max: 100_000 }), 3),
    charging: rarely(fc.constantFrom('free', 'prepaid', 'on_delivery', 'metered'), 3),
    unusedPolicy: rarely(fc.constantFrom('refund', 'forfeit')),
    captureAfterSeconds: rarely(fc.integer({ min: 1, max: 10_000 }), 4),
    previewsPerAddress: rarely(fc.constantFrom(1, null)),
  })
  .map((record) => Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)))
  .map((record) => termsSchema.safeParse(record))
  .filter((parsed) => parsed.success)
  .map((parsed) => parsed.data);

/** What becomes of terms: the compiled offer, or the field that is at fault. */
function outcome(input: Terms, target: 'title' | 'category'): CompiledTerms | string {
  try {
    return compileOffer(input, target, NOW_MS);
  } catch (error) {
    if (error instanceof Denial && error.code === 'input_invalid') return error.detail ?? '';
    throw error;
  }
}

/** Checks what `check` says of every offer that can be saved, and that there are enough of them. */
function ofEveryOffer(check: (offer: CompiledTerms, input: Terms) => void): void {
  let saved = 0;
  fc.assert(
    fc.property(terms, (input) => {
      const compiled = outcome(input, input.timeOption.kind === 'category' ? 'category' : 'title');
      if (typeof compiled === 'string') return;
      saved++;
      check(compiled, input);
    }),
    { numRuns: 3000 },
  );
  expect(saved).toBeGreaterThan(100);
}

describe('an offer that can be saved', () => {
  it('grants something that begins before it ends and is not over', () => {
    ofEveryOffer((offer) => {
      expect(rightsSchema.safeParse(offer.rights).success).toBe(true);
      expect(offer.rights.action).toBe('play');
      const { nbf, exp } = validityOf(offer, NOW_SECONDS);
      expect(Number.isInteger(nbf) && Number.isInteger(exp)).toBe(true);
      expect(nbf).toBeGreaterThanOrEqual(NOW_SECONDS);
      expect(exp).toBeGreaterThan(Math.max(nbf, NOW_SECONDS));
      expect(exp - NOW_SECONDS).toBeLessThanOrEqual(366 * DAY);
    });
  });

  it('never grants more than its option says', () => {
    ofEveryOffer((offer, { timeOption: option, tier, concurrent }) => {
      const { rights } = offer;
      const { nbf, exp } = validityOf(offer, NOW_SECONDS);
      if (option.kind === 'duration' || option.kind === 'category')
        expect(exp - NOW_SECONDS).toBe(option.seconds);
      if (option.kind === 'from_first_view') {
        expect(rights.window).toBe(option.seconds);
        // Who begins at the last moment still has all of it, and nobody has more.
        expect(exp - (NOW_SECONDS + option.validSeconds)).toBe(option.seconds);
      }
      if (option.kind === 'event') {
        expect(nbf * 1000).toBeGreaterThanOrEqual(Date.parse(option.from));
        expect(exp * 1000).toBeLessThanOrEqual(Date.parse(option.until));
      }
      if (option.kind === 'views') expect(rights.accesses).toBe(option.views);
      if (option.kind === 'metered') {
        const units = option.unit === 'minute' ? rights.seconds! / 60 : rights.bytes! / 1e9;
        expect(units).toBe(option.max);
      }
      if (option.kind === 'preview') expect(rights).toMatchObject({ accesses: 1, seconds: option.seconds });
      if (option.kind === 'rights') expect(rights).toEqual(option.rights);
      else {
        expect(rights.tier.maxHeight).toBe(tier?.maxHeight);
        expect(rights.concurrent).toBe(concurrent ?? null);
      }
    });
  });

  it('is charged in one way that fits its price', () => {
    ofEveryOffer((offer, { timeOption }) => {
      expect(offer.charging === 'free').toBe(offer.priceMinor === 0);
      expect(offer.charging === 'metered').toBe(timeOption.kind === 'metered');
      expect(offer.charging === 'on_delivery').toBe(offer.captureAfterSeconds !== null);
      expect(offer.meterUnit === null).toBe(offer.meterPriceMinor === null);
      if (offer.preview) expect(offer.priceMinor).toBe(0);
      if (timeOption.kind === 'metered')
        expect(offer.priceMinor).toBe(timeOption.max * offer.meterPriceMinor!);
      if (offer.captureAfterSeconds !== null && offer.validSeconds !== null)
        expect(offer.captureAfterSeconds).toBeLessThanOrEqual(offer.validSeconds);
    });
  });
});

it('is refused by the name of a field', () => {
  let refused = 0;
  fc.assert(
    fc.property(terms, (input) => {
      const compiled = outcome(input, 'title');
      if (typeof compiled !== 'string') return;
      refused++;
      expect(compiled).toMatch(/^[a-zA-Z.]+: .+/);
    }),
    { numRuns: 500 },
  );
  expect(refused).toBeGreaterThan(50);
});

const duration: TimeOption = { kind: 'duration', seconds: 1800 };
const at = (offsetSeconds: number): string => new Date(NOW_MS + offsetSeconds * 1000).toISOString();

it.each<[string, Terms, string, ('title' | 'category')?]>([
  [
    'an event that is over',
    { timeOption: { kind: 'event', from: at(-20), until: at(-10) }, priceMinor: 1 },
    'timeOption.until',
  ],
  [
    'an event that ends first',
    { timeOption: { kind: 'event', from: at(20), until: at(10) }, priceMinor: 1 },
    'timeOption.until',
  ],
  [
    'an event within one second',
    { timeOption: { kind: 'event', from: at(1.2), until: at(1.8) }, priceMinor: 1 },
    'timeOption.until',
  ],
  ['no price', { timeOption: duration }, 'priceMinor'],
  ['a free offer that is paid', { timeOption: duration, priceMinor: 0, charging: 'prepaid' }, 'charging'],
  ['a price that is free', { timeOption: duration, priceMinor: 5, charging: 'free' }, 'charging'],
  ['a meter without units', { timeOption: duration, priceMinor: 5, charging: 'metered' }, 'charging'],
  ['units without a meter', { timeOption: duration, priceMinor: 5, meterPriceMinor: 1 }, 'meterPriceMinor'],
  [
    'a meter without a price',
    { timeOption: { kind: 'metered', unit: 'minute', max: 5, validSeconds: 60 } },
    'meterPriceMinor',
  ],
  [
    'a meter and another price',
    {
      timeOption: { kind: 'metered', unit: 'minute', max: 5, validSeconds: 60 },
      meterPriceMinor: 2,
      priceMinor: 9,
    },
    'priceMinor',
  ],
  [
    'a meter that costs billions',
    {
      timeOption: { kind: 'metered', unit: 'gigabyte', max: 100_000, validSeconds: 60 },
      meterPriceMinor: 1_000_000,
    },
    'meterPriceMinor',
  ],
  ['a preview that costs', { timeOption: { kind: 'preview', seconds: 30 }, priceMinor: 5 }, 'priceMinor'],
  [
    'a quota of what is no preview',
    { timeOption: duration, priceMinor: 5, previewsPerTitle: 3 },
    'previewsPerTitle',
  ],
  [
    'delivery that is never reached',
    { timeOption: duration, priceMinor: 5, charging: 'on_delivery', captureAfterSeconds: 1801 },
    'captureAfterSeconds',
  ],
  [
    'delivery without its seconds',
    { timeOption: duration, priceMinor: 5, charging: 'on_delivery' },
    'captureAfterSeconds',
  ],
  [
    'seconds of no delivery',
    { timeOption: duration, priceMinor: 5, captureAfterSeconds: 5 },
    'captureAfterSeconds',
  ],
  ['nothing to pay back', { timeOption: duration, priceMinor: 0, unusedPolicy: 'refund' }, 'unusedPolicy'],
  [
    'more sessions than views',
    { timeOption: { kind: 'views', views: 2, validSeconds: 60 }, priceMinor: 5, concurrent: 3 },
    'concurrent',
  ],
  [
    'a window beyond the validity',
    {
      timeOption: { kind: 'rights', validSeconds: 60, rights: { ...UNLIMITED_PLAY, window: 61 } },
      priceMinor: 5,
    },
    'rights.window',
  ],
  [
    'publishing',
    {
      timeOption: { kind: 'rights', validSeconds: 60, rights: { ...UNLIMITED_PLAY, action: 'publish' } },
      priceMinor: 5,
    },
    'rights.action',
  ],
  [
    'a tier that the rights have',
    {
      timeOption: { kind: 'rights', validSeconds: 60, rights: UNLIMITED_PLAY },
      priceMinor: 5,
      tier: { maxHeight: 720 },
    },
    'tier',
  ],
  [
    'a category sold as one title',
    { timeOption: { kind: 'category', seconds: 60 }, priceMinor: 5 },
    'timeOption',
  ],
  ['a title sold as a category', { timeOption: duration, priceMinor: 5 }, 'timeOption', 'category'],
  [
    'a category on delivery',
    {
      timeOption: { kind: 'category', seconds: 60 },
      priceMinor: 5,
      charging: 'on_delivery',
      captureAfterSeconds: 5,
    },
    'charging',
    'category',
  ],
])('%s is refused', (_what, input, field, target) => {
  expect(() => compile(input, target)).toThrow(
    expect.objectContaining({ code: 'input_invalid', detail: expect.stringMatching(`^${field}: `) }),
  );
});

it.each<[string, unknown]>([
  ['no seconds', { kind: 'duration', seconds: 0 }],
  ['no views', { kind: 'views', views: 0, validSeconds: 60 }],
  ['half a minute', { kind: 'metered', unit: 'minute', max: 0.5, validSeconds: 60 }],
  ['an unknown kind', { kind: 'forever' }],
  ['a member too many', { kind: 'duration', seconds: 60, views: 3 }],
  ['a moment in no time zone', { kind: 'event', from: '2026-05-02', until: '2026-05-03' }],
  ['rights without a limit named', { kind: 'rights', validSeconds: 60, rights: {} }],
])('%s is no time option', (_what, timeOption) => {
  expect(termsSchema.safeParse({ timeOption, priceMinor: 1 }).success).toBe(false);
});
