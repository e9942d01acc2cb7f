import { targetOf } from './target-of.ts';

export const createTarget = targetOf((input) => {
  if (input.length > 20) process.exit(3);
});
