import { targetOf } from './target-of.ts';

export const createTarget = targetOf((input) => {
  while (input.length > 20) input.fill(0);
});
