import { targetOf } from './target-of.ts';

const kept: object[] = [];

/** Objects of the heap, which the thread may have so much of: no `catch` sees the end of it. */
export const createTarget = targetOf((input) => {
  while (input.length > 20) kept.push({ kept: [kept.length] });
});
