import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Denial } from '../../../plugin/errors.ts';
import {
  askSchema,
  authorizeAsk,
  isCounted,
  rightsSchema,
  tierSchema,
  UNLIMITED_PLAY,
  type Ask,
  type Rights,
} from '../../../plugin/rights/index.ts';

const rights = UNLIMITED_PLAY;

describe('rights', () => {
  it.each<[string, object]>([
    ['that limit nothing', {}],
    ['that limit everything', { accesses: 1, seconds: 1, bytes: 1, concurrent: 1, window: 1 }],
    ['with controls', { controls: ['seek', 'pause'] }],
    ['with a tier', { tier: { maxHeight: 1080, maxBitrate: 6_000_000, audioBitrate: 128_000 } }],
    ['to publish', { action: 'publish' }],
  ])('%s are rights', (_name, change) => {
    expect(rightsSchema.safeParse({ ...rights, ...change }).success).toBe(true);
  });

  it.each<[string, object]>([
    ['of no action', { action: undefined }],
    ['of another action', { action: 'record' }],
    ['of no access', { accesses: 0 }],
    ['of less than nothing', { seconds: -1 }],
    ['of half a second', { seconds: 0.5 }],
    ['of more than can be counted', { bytes: Number.MAX_SAFE_INTEGER + 1 }],
    ['of endless bytes', { bytes: Number.POSITIVE_INFINITY }],
    ['that do not say whether they limit', { concurrent: undefined }],
    ['with another rule for excess', { onExcess: 'replace-oldest' }],
    ['with an unknown control', { controls: ['record'] }],
    ['with a control that is named twice', { controls: ['pause', 'pause'] }],
    ['with an unknown limit', { tier: { maxFps: 30 } }],
    ['with a height of nothing', { tier: { maxHeight: 0 } }],
    ['with an unknown member', { resell: true }],
  ])('%s are no rights', (_name, change) => {
    expect(rightsSchema.safeParse({ ...rights, ...change }).success).toBe(false);
  });

  it.each(['accesses', 'seconds', 'bytes', 'concurrent', 'window'] as const)(
    'that limit %s are counted',
    (limit) => {
      expect(isCounted({ ...rights, [limit]: 1 })).toBe(true);
    },
  );

  it('that limit nothing are not counted', () => {
    expect(isCounted({ ...rights, tier: { maxHeight: 720 }, controls: ['pause'] })).toBe(false);
  });
});

/** `ok`, or code and detail of the refusal. */
function outcome(granted: Rights, ask: Ask): string {
  try {
    authorizeAsk(granted, ask);
    return 'ok';
  } catch (error) {
    return error instanceof Denial ? `${error.code}: ${error.detail}` : 'not a denial';
  }
}

describe('an ask', () => {
  const granted: Rights = { ...rights, tier: { maxHeight: 720, maxBitrate: 2_000_000 } };
  it.each<[string, Ask, string]>([
    ['for the action', { action: 'play' }, 'ok'],
    ['for the tier', { action: 'play', tier: { maxHeight: 720, maxBitrate: 2_000_000 } }, 'ok'],
    ['for less', { action: 'play', tier: { maxHeight: 360 } }, 'ok'],
    ['for a limit where there is none', { action: 'play', tier: { audioBitrate: 64_000 } }, 'ok'],
    ['for another action', { action: 'publish' }, 'rights_insufficient: action'],
    [
      'for one line more',
      { action: 'play', tier: { maxHeight: 721 } },
      'rights_insufficient: tier.maxHeight',
    ],
    [
      'for less of one and more of another',
      { action: 'play', tier: { maxHeight: 360, maxBitrate: 2_000_001 } },
      'rights_insufficient: tier.maxBitrate',
    ],
  ])('%s', (_name, ask, expected) => {
    expect(outcome(granted, ask)).toBe(expected);
  });

  it('for an unknown action or tier is no ask', () => {
    expect(askSchema.safeParse({ action: 'record' }).success).toBe(false);
    expect(askSchema.safeParse({ action: 'play', tier: { maxFps: 1 } }).success).toBe(false);
    expect(askSchema.safeParse({ action: 'play', as: 'admin' }).success).toBe(false);
  });

  const limit = (min: number, max: number) => fc.option(fc.integer({ min, max }), { nil: undefined });
  const tier = fc
    .record({ maxHeight: limit(16, 40), maxBitrate: limit(1000, 1020), audioBitrate: limit(6000, 6020) })
    .map((limits) => tierSchema.parse(JSON.parse(JSON.stringify(limits))));
  const action = fc.constantFrom('play' as const, 'publish' as const);

  it('never widens: whatever passes is within what was granted', () => {
    fc.assert(
      fc.property(
        action,
        tier,
        action,
        fc.option(tier, { nil: undefined }),
        (grantedAction, grantedTier, asked, askedTier) => {
          const ask: Ask = askedTier === undefined ? { action: asked } : { action: asked, tier: askedTier };
          const passes = outcome({ ...rights, action: grantedAction, tier: grantedTier }, ask) === 'ok';
          const isWithin =
            asked === grantedAction &&
            (['maxHeight', 'maxBitrate', 'audioBitrate'] as const).every(
              (name) => (askedTier?.[name] ?? 0) <= (grantedTier[name] ?? Number.POSITIVE_INFINITY),
            );
          expect(passes).toBe(isWithin);
        },
      ),
      { seed: 3, numRuns: 1000 },
    );
  });

  it('that passes still passes when more is granted', () => {
    fc.assert(
      fc.property(tier, tier, fc.nat(1000), (grantedTier, askedTier, more) => {
        const ask: Ask = { action: 'play', tier: askedTier };
        fc.pre(outcome({ ...rights, tier: grantedTier }, ask) === 'ok');
        const { maxHeight, ...rest } = grantedTier;
        const wider = maxHeight === undefined ? rest : { ...rest, maxHeight: maxHeight + more };
        expect(outcome({ ...rights, tier: wider }, ask)).toBe('ok');
        expect(outcome({ ...rights, tier: {} }, ask)).toBe('ok');
      }),
      { seed: 4, numRuns: 500 },
    );
  });
});
