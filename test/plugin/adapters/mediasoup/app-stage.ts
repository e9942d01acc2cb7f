/** What the tests of an app's producers share: two workers and a browser for the file, a stage for each test. */
import { createWorker, type types } from 'mediasoup';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { createStage, type Stage } from '../../../../plugin/adapters/mediasoup.ts';
import { systemClock } from '../../../../plugin/clock.ts';
import { launchBrowser } from '../../../support/browser.ts';
import { silentLog } from '../../../support/doubles.ts';
import { startWatching, type Watching } from './watching.ts';

export interface AppWorkers {
  readonly browser: Browser;
  /** The app's worker. */
  readonly theirs: types.Worker;
  /** The stage's. */
  readonly ours: types.Worker;
}

/** Starts them before the first test of the file, and ends them after the last; `undefined` members until then. */
export function useAppWorkers(): AppWorkers {
  const used = {} as { -readonly [Name in keyof AppWorkers]: AppWorkers[Name] };
  beforeAll(async () => {
    used.browser = await launchBrowser();
    [used.theirs, used.ours] = await Promise.all([
      createWorker({ logLevel: 'error' }),
      createWorker({ logLevel: 'error' }),
    ]);
  });
  afterAll(async () => {
    used.theirs.close();
    used.ours.close();
    await used.browser.close();
  });
  return used;
}

/** Resolves once a whole second has passed in which nothing of the one attached stream came. */
export async function untilSilent(stage: Stage): Promise<void> {
  const rates = (): (number | undefined)[] =>
    stage
      .attachedStreams()
      .flatMap(({ health: { video, audio } }) => [video?.bitsPerSecond, audio?.bitsPerSecond]);
  await expect.poll(rates, { timeout: 10_000 }).toEqual([0, 0]);
}

/** A stage on `ours`, and viewers of it. */
export async function startAppStage(
  { ours, browser }: AppWorkers,
  { port = 0, ...more }: { readonly port?: number; readonly graceSeconds?: number } = {},
): Promise<{ readonly stage: Stage; readonly watching: Watching }> {
  const stage = await createStage({
    workers: [ours],
    listen: { ip: '127.0.0.1', port },
    clock: systemClock,
    log: silentLog,
    ...more,
  });
  return { stage, watching: await startWatching(stage, browser) };
}
