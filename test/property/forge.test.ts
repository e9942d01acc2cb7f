/** 20,000 forged tickets and proofs; a million of them is `npm run campaign -- forge`. */
import { describe, expect, it } from 'vitest';
import { faultsOf, MUTANTS, runForge } from '../../tools/campaign/forge.ts';
import { createRandom } from '../../tools/campaign/random.ts';

describe('the campaign of forgeries', () => {
  it(
    'admits none of 20,000, of every kind, and every honest request in between',
    { timeout: 120_000 },
    async () => {
      const result = await runForge({ count: 20_000, seed: 84_980 });
      expect(faultsOf(result)).toEqual([]);
      expect(result.tried).toBe(20_000);
      expect(result.kinds.size).toBe(Object.keys(MUTANTS).length);
      expect(result.honest.tried).toBeGreaterThan(300);
      expect([...result.codes.values()].reduce((sum, count) => sum + count, 0)).toBe(20_000);
    },
  );

  it('would tell of a forgery that was admitted, of a kind never tried, and of an honest request refused', () => {
    const all = new Map(Object.keys(MUTANTS).map((kind) => [kind, 1]));
    const honest = { tried: 2, admitted: 2 };
    const good = { tried: 1, kinds: all, codes: new Map(), admitted: [], honest };
    expect(faultsOf(good)).toEqual([]);
    const [kind = ''] = all.keys();
    const request = { uri: '/live/a' } as never;
    expect(faultsOf({ ...good, admitted: [{ kind, request }] })).toHaveLength(1);
    expect(faultsOf({ ...good, kinds: new Map([...all].slice(1)) })).toEqual([`never tried: ${kind}`]);
    expect(faultsOf({ ...good, honest: { tried: 2, admitted: 1 } })).toHaveLength(1);
    expect(faultsOf({ ...good, honest: { tried: 0, admitted: 0 } })).toHaveLength(1);
  });
});

describe('its random numbers', () => {
  it('are the same for the same seed, and others for another', () => {
    const of = (seed: number) => createRandom(seed).bytes(32).toString('hex');
    expect(of(1)).toBe(of(1));
    expect(of(1)).not.toBe(of(2));
    expect(createRandom(1).uuid()).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
  });

  it('fall on all numbers alike', () => {
    const random = createRandom(3);
    const times = Array.from({ length: 10 }, () => 0);
    for (let draw = 0; draw < 10_000; draw++) {
      const value = random.int(10);
      times[value] = (times[value] ?? 0) + 1;
    }
    for (const count of times) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
