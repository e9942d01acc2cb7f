import { setImmediate as later } from 'node:timers/promises';
import { targetOf } from './target-of.ts';

export const createTarget = targetOf(async (input) => {
  await later();
  if (input.includes(0x2a)) throw new TypeError('a star');
});
