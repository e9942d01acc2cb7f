import { expect, it } from 'vitest';
import { createMediaMetrics } from '../../plugin/metrics.ts';
import type { FeedStats } from '../../plugin/revocations/feed.ts';

it('the revocation feed is shown as it is when somebody looks', async () => {
  let feed: FeedStats = { ageMs: Number.POSITIVE_INFINITY, entries: 0, reconnects: 0 };
  const metrics = createMediaMetrics({
    sessions: () => 0,
    liveStreams: () => 0,
    receiptsWaiting: () => 0,
    revocationFeed: () => feed,
  });
  const values = async (): Promise<string[]> =>
    (await (await metrics.response()).text())
      .split('\n')
      .filter((line) => line.startsWith('usher_revocation'));
  expect(await values()).toEqual([
    'usher_revocation_feed_age_seconds +Inf',
    'usher_revocations 0',
    'usher_revocation_feed_reconnects_total 0',
  ]);
  feed = { ageMs: 1500, entries: 7, reconnects: 2 };
  const known = [
    'usher_revocation_feed_age_seconds 1.5',
    'usher_revocations 7',
    'usher_revocation_feed_reconnects_total 2',
  ];
  expect(await values()).toEqual(known);
  expect(await values()).toEqual(known);
});
