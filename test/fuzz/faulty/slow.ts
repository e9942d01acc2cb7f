import { targetOf } from './target-of.ts';

export const createTarget = targetOf((input) => {
  const untilMs = performance.now() + 40;
  while (input.length > 20 && performance.now() < untilMs) input.fill(0);
});
