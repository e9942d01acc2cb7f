import type { FuzzTarget } from '../../../tools/fuzz/target.ts';

export class Refusal extends Error {}

export const targetOf =
  (take: FuzzTarget['take']): (() => FuzzTarget) =>
  () => ({
    take,
    refusals: [Refusal],
    seeds: [Buffer.from('seed'), Buffer.from('seeds')],
    folders: [],
    words: ['word'],
  });
