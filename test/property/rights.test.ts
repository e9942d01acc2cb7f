/**
 * The algebra of rights. What a session gets is what its ticket grants, once `authorizeAsk` has let its ask pass; there is
 * no operation that makes rights from rights.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  authorizeAsk,
  isCounted,
  rightsSchema,
  UNLIMITED_PLAY,
  type Ask,
  type Rights,
  type Tier,
} from '../../plugin/rights/index.ts';
import { authorizeTicket } from '../../plugin/ticket/index.ts';

const LIMITS = ['maxHeight', 'maxBitrate', 'audioBitrate'] as const;
const amount = fc.option(fc.integer({ min: 1, max: 2 ** 40 }), { nil: null });
const tier = fc
  .record(
    {
      maxHeight: fc.integer({ min: 16, max: 8192 }),
      maxBitrate: fc.integer({ min: 1000, max: 1_000_000_000 }),
      audioBitrate: fc.integer({ min: 6000, max: 1_000_000 }),
    },
    { requiredKeys: [] },
  )
  .map((limits) => limits as Tier);
const action = fc.constantFrom('play' as const, 'publish' as const);
const rights: fc.Arbitrary<Rights> = fc.record({
  action,
  accesses: amount,
  seconds: amount,
  bytes: amount,
  concurrent: amount,
  window: amount,
  onExcess: fc.constant('reject-new' as const),
  controls: fc.uniqueArray(fc.constantFrom('pause' as const, 'seek' as const)),
  tier,
});
const ask: fc.Arbitrary<Ask> = fc.oneof(
  action.map((wanted): Ask => ({ action: wanted })),
  fc.record({ action, tier }),
);

function allows(granted: Rights, asked: Ask): boolean {
  try {
    authorizeAsk(granted, asked);
    return true;
  } catch {
    return false;
  }
}

/** A tier that is nowhere above another. */
function narrowed(from: Tier, by: Tier): Tier {
  const limits: { -readonly [Name in keyof Tier]: Tier[Name] } = {};
  for (const name of LIMITS) {
    const least = Math.min(from[name] ?? Infinity, by[name] ?? Infinity);
    if (Number.isFinite(least)) limits[name] = least;
  }
  return limits;
}

describe('rights', () => {
  it('of any kind are what the schema takes, and nothing is taken for null', () => {
    fc.assert(
      fc.property(rights, (granted) => {
        expect(rightsSchema.parse(granted)).toEqual(granted);
        const { accesses, seconds, bytes, concurrent, window } = granted;
        const counted = [accesses, seconds, bytes, concurrent, window].some((value) => value !== null);
        expect(isCounted(granted)).toBe(counted);
      }),
    );
  });

  it('let pass exactly what is within them: the action, and no asked limit above a granted one', () => {
    fc.assert(
      fc.property(rights, ask, (granted, asked) => {
        const within = LIMITS.every((name) => (asked.tier?.[name] ?? 0) <= (granted.tier[name] ?? Infinity));
        expect(allows(granted, asked)).toBe(asked.action === granted.action && within);
      }),
    );
  });

  it('that are narrowed let pass nothing that the wider ones refuse', () => {
    fc.assert(
      fc.property(rights, tier, ask, (wide, by, asked) => {
        const narrow = { ...wide, tier: narrowed(wide.tier, by) };
        if (allows(narrow, asked)) expect(allows(wide, asked)).toBe(true);
      }),
    );
  });

  it('of two tiers combined let pass exactly what both let pass', () => {
    fc.assert(
      fc.property(tier, tier, ask, (one, other, asked) => {
        const of = (limits: Tier): Rights => ({ ...UNLIMITED_PLAY, tier: limits });
        expect(allows(of(narrowed(one, other)), asked)).toBe(
          allows(of(one), asked) && allows(of(other), asked),
        );
      }),
    );
  });

  it('let pass what asks for less than something that they let pass', () => {
    fc.assert(
      fc.property(rights, ask, tier, (granted, asked, by) => {
        const less: Ask = { action: asked.action, tier: narrowed(asked.tier ?? {}, by) };
        const above = LIMITS.some(
          (name) => asked.tier?.[name] === undefined && less.tier?.[name] !== undefined,
        );
        // Naming a limit that was not named is a new wish, not a smaller one.
        if (allows(granted, asked) && !above) expect(allows(granted, less)).toBe(true);
      }),
    );
  });
});

const segment = fc
  .string({ unit: fc.constantFrom(...Array.from('abAB019._~-')), minLength: 1, maxLength: 6 })
  .filter((text) => text !== '.' && text !== '..');
const segments = fc.array(segment, { minLength: 2, maxLength: 4 });
const pathOf = (list: readonly string[]): string => `/${list.join('/')}`;

function covers(granted: string, asked: string): boolean {
  try {
    authorizeTicket({ aud: ['ss'], uri: granted }, { serverId: 'ss', uri: asked });
    return true;
  } catch {
    return false;
  }
}

describe('a ticket for one path', () => {
  it('covers another exactly when all segments are the same', () => {
    fc.assert(
      fc.property(segments, segments, (one, other) => {
        const same = one.length === other.length && one.every((part, index) => part === other[index]);
        expect(covers(pathOf(one), pathOf(other))).toBe(same);
        expect(covers(pathOf(one), pathOf(one))).toBe(true);
      }),
    );
  });

  it('covers nothing that begins with it, ends in it, or is one character away from it', () => {
    fc.assert(
      fc.property(segments, segment, fc.nat(), (list, more, at) => {
        const path = pathOf(list);
        const index = 1 + (at % (path.length - 1));
        const near = [
          path + more,
          `${path}/${more}`,
          `${path}/`,
          `/${more}${path}`,
          path.slice(0, -1),
          path.slice(0, path.lastIndexOf('/')),
          path.slice(0, index) + path.slice(index + 1),
          path.slice(0, index) + (path[index] === 'z' ? 'y' : 'z') + path.slice(index + 1),
          path.replace(/\/([^/]*)$/, '/./$1'),
          path.replace(/\/([^/]*)$/, '//$1'),
          `${path}/../${more}`,
          `${path}%2f${more}`,
          `${path}?${more}`,
          `${path}#${more}`,
          path.toUpperCase() === path ? `${path} ` : path.toUpperCase(),
        ];
        for (const other of near) expect(covers(path, other), other).toBe(false);
      }),
    );
  });
});
