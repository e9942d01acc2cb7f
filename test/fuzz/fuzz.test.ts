import { describe, expect, it } from 'vitest';
import { fuzz } from '../../tools/fuzz/engine.ts';
import { collectInputs, corpusOf, inputOf } from '../../tools/fuzz/inputs.ts';
import { FUZZ_NAMES, loadTarget, moduleOf } from '../../tools/fuzz/targets.ts';

const SEED = 20_261_122;

const faulty = (name: string): URL => new URL(`./faulty/${name}.ts`, import.meta.url);

/** They share the machine's processors. */
describe.concurrent('a short run over the kept corpus', () => {
  it.each(FUZZ_NAMES)('finds nothing in %s', { timeout: 120_000 }, async (name) => {
    const options = { module: moduleOf(name), corpus: corpusOf(name), seed: SEED, milliseconds: 20_000 };
    const { inputs, refused, find } = await fuzz(options);
    expect(find && `${find.kind} at ${find.number}: ${find.detail}`).toBeUndefined();
    expect(inputs).toBeGreaterThan(100);
    expect(refused).toBeLessThan(inputs);
  });
});

describe('the fuzzer', () => {
  it.each([
    ['crash', 'crash', {}],
    ['later', 'crash', {}],
    ['memory', 'crash', {}],
    ['exit', 'crash', {}],
    ['hang', 'hang', { hangMs: 500 }],
    ['slow', 'slow', { slowMs: 20 }],
    ['growth', 'growth', {}],
  ] as const)('finds what is wrong in "%s", a %s, and has the input again', async (name, kind, more) => {
    const module = faulty(name);
    const { find } = await fuzz({ module, corpus: 'none', seed: SEED, milliseconds: 3000, ...more });
    expect(find?.kind).toBe(kind);
    const inputs = collectInputs(await loadTarget(module), SEED, 'none');
    expect(inputOf(inputs, find!.number)).toEqual(find!.input);
  });

  it('finds nothing where nothing is, and counts what is refused', async () => {
    const { inputs, refused, find } = await fuzz({
      ...{ module: faulty('sound'), corpus: 'none', seed: SEED, milliseconds: 300 },
    });
    expect(find).toBeUndefined();
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(inputs);
  });

  it('makes the same inputs for the same seed, and others for another', async () => {
    const target = await loadTarget(faulty('sound'));
    const first = (seed: number): string[] => {
      const inputs = collectInputs(target, seed, 'none');
      return Array.from({ length: 200 }, (_, number) => inputOf(inputs, number).toString('hex'));
    };
    expect(first(1)).toEqual(first(1));
    expect(first(2).slice(2)).not.toEqual(first(1).slice(2));
    // Numbers that follow each other are not alike.
    expect(new Set(first(1)).size).toBeGreaterThan(120);
  });
});
