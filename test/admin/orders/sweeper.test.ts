import { expect, it } from 'vitest';
import { startSweeper } from '../../../admin/orders/sweeper.ts';

it('stopping ends the sweep that runs, and waits for it', async () => {
  const begun = Promise.withResolvers<AbortSignal | undefined>();
  const told: unknown[] = [];
  const sweep = (signal?: AbortSignal) =>
    new Promise<number>((resolve) => {
      signal?.addEventListener('abort', () => {
        told.push('ended');
        resolve(0);
      });
      begun.resolve(signal);
    });
  const sweeper = startSweeper({ sweep }, (error) => told.push(error), 0);
  expect((await begun.promise)?.aborted).toBe(false);
  await sweeper.stop();
  expect(told).toEqual(['ended']);
});
