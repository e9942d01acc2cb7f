import { targetOf } from './target-of.ts';

const kept: Buffer[] = [];
let keptMs = 0;

/** 64 KiB every few milliseconds. */
export const createTarget = targetOf(() => {
  if (performance.now() - keptMs < 3) return;
  keptMs = performance.now();
  kept.push(Buffer.alloc(64 * 1024));
});
