import { expect, it } from 'vitest';
import type { StreamStatus } from '../../plugin/contract.ts';
import { createMediaMetrics } from '../../plugin/metrics.ts';
import type { FeedStats } from '../../plugin/revocations/feed.ts';
import { HEALTHY, streamStatus } from '../support/streams.ts';

function create(streams: () => readonly StreamStatus[]) {
  const metrics = createMediaMetrics({
    sessions: () => 2,
    liveStreams: () => streams().length,
    receiptsWaiting: () => 0,
    spool: () => ({ bytes: 0, trouble: null, setAside: 0 }),
    streams,
    revocationFeed: () => ({ ageMs: 0, entries: 0, reconnects: 0 }),
  });
  return async (): Promise<string[]> => {
    const text = await (await metrics.response()).text();
    return text.split('\n').filter((line) => /^usher_(publisher|stream_viewers)/.test(line));
  };
}

it('a healthy publisher is there with its rates, keyframes and codecs', async () => {
  const scrape = create(() => [streamStatus('/live/demo', { viewers: 12 })]);
  expect((await scrape()).sort()).toEqual([
    'usher_publisher_b_frames{path="/live/demo"} 0',
    'usher_publisher_bits_per_second{path="/live/demo",media="audio"} 128000',
    'usher_publisher_bits_per_second{path="/live/demo",media="video"} 2500000',
    'usher_publisher_info{path="/live/demo",video_codec="H.264",audio_codec="AAC"} 1',
    'usher_publisher_keyframe_interval_seconds{path="/live/demo"} 2',
    'usher_stream_viewers{path="/live/demo"} 12',
  ]);
});

it('what a publisher does not send is not there', async () => {
  const scrape = create(() => [streamStatus('/live/radio', { health: { ...HEALTHY, video: null } })]);
  expect((await scrape()).sort()).toEqual([
    'usher_publisher_bits_per_second{path="/live/radio",media="audio"} 128000',
    'usher_publisher_info{path="/live/radio",video_codec="none",audio_codec="AAC"} 1',
    'usher_stream_viewers{path="/live/radio"} 0',
  ]);
});

it('a stream that has gone is gone from the next scrape', async () => {
  let streams = [streamStatus('/live/a')];
  const scrape = create(() => streams);
  expect(await scrape()).toHaveLength(6);
  streams = [];
  expect(await scrape()).toEqual([]);
});

it('a codec’s own characters stay inside their label, and no more than 500 streams are listed', async () => {
  const video = { ...HEALTHY.video!, codec: 'a"}\\' };
  const streams = Array.from({ length: 600 }, (_, index) =>
    streamStatus(`/live/${String(index)}`, { health: { ...HEALTHY, video } }),
  );
  const lines = await create(() => streams)();
  expect(lines.filter((line) => line.startsWith('usher_stream_viewers'))).toHaveLength(500);
  expect(lines).toContain('usher_publisher_info{path="/live/0",video_codec="a\\"}\\\\",audio_codec="AAC"} 1');
});

it('the revocation feed is shown as it is when somebody looks', async () => {
  let feed: FeedStats = { ageMs: Number.POSITIVE_INFINITY, entries: 0, reconnects: 0 };
  const metrics = createMediaMetrics({
    sessions: () => 0,
    liveStreams: () => 0,
    receiptsWaiting: () => 0,
    spool: () => ({ bytes: 0, trouble: null, setAside: 0 }),
    streams: () => [],
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

it('re-encoders are shown while they are needed, with counters that do not add up anew each time', async () => {
  const reencoder = {
    codec: 'H.264',
    running: true,
    restarts: 2,
    droppedPictures: 40,
    lagMs: 150,
    reduction: 1,
  };
  let reencoders = [reencoder, { ...reencoder, codec: 'VP8', running: false, lagMs: 0 }];
  const metrics = createMediaMetrics({
    sessions: () => 0,
    liveStreams: () => 0,
    receiptsWaiting: () => 0,
    spool: () => ({ bytes: 0, trouble: null, setAside: 0 }),
    streams: () => [streamStatus('/live/a', { health: { ...HEALTHY, reencoders } })],
    revocationFeed: () => ({ ageMs: 0, entries: 0, reconnects: 0 }),
  });
  const values = async (): Promise<string[]> =>
    (await (await metrics.response()).text())
      .split('\n')
      .filter((line) => line.startsWith('usher_reencoder'));
  const known = [
    'usher_reencoder_running{path="/live/a",codec="H.264"} 1',
    'usher_reencoder_running{path="/live/a",codec="VP8"} 0',
    'usher_reencoder_lag_seconds{path="/live/a",codec="H.264"} 0.15',
    'usher_reencoder_lag_seconds{path="/live/a",codec="VP8"} 0',
    'usher_reencoder_restarts_total{path="/live/a",codec="H.264"} 2',
    'usher_reencoder_restarts_total{path="/live/a",codec="VP8"} 2',
    'usher_reencoder_dropped_pictures_total{path="/live/a",codec="H.264"} 40',
    'usher_reencoder_dropped_pictures_total{path="/live/a",codec="VP8"} 40',
    'usher_reencoder_reduction{path="/live/a",codec="H.264"} 1',
    'usher_reencoder_reduction{path="/live/a",codec="VP8"} 1',
  ];
  expect(await values()).toEqual(known);
  expect(await values()).toEqual(known);
  reencoders = [];
  expect(await values()).toEqual([]);
});
