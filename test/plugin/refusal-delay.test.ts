import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createRefusalDelay } from '../../plugin/refusal-delay.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('holds a refusal back for a random while, up to its longest', async () => {
  const delay = createRefusalDelay({ maxMs: 1000 });
  const startedMs = Date.now();
  const took: number[] = [];
  const all = Array.from({ length: 50 }, () => delay().then(() => took.push(Date.now() - startedMs)));
  await vi.advanceTimersByTimeAsync(1001);
  await Promise.all(all);
  expect(Math.max(...took)).toBeLessThanOrEqual(1001);
  expect(new Set(took).size).toBeGreaterThan(10);
});

it('holds so many at once and no more', async () => {
  const delay = createRefusalDelay({ maxMs: 1_000_000, atOnce: 2 });
  const held = [delay(), delay()];
  // Not held: it settles without any time.
  await delay();
  await vi.advanceTimersByTimeAsync(1_000_001);
  await Promise.all(held);
});
