import { targetOf } from './target-of.ts';

export const createTarget = targetOf((input) => {
  if (input.includes(0x2a)) throw new TypeError('a star');
});
