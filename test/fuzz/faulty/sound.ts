import { Refusal, targetOf } from './target-of.ts';

export const createTarget = targetOf((input) => {
  if (input.length % 2 === 1) throw new Refusal('an odd length');
});
