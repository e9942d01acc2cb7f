import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Protocol, PublisherHealth, StreamStatus } from './contract.ts';
import type { Code } from './errors.ts';
import type { SpoolStats } from './receipts/spool.ts';
import type { FeedStats } from './revocations/feed.ts';

export interface MediaMetrics {
  observe(this: void, outcome: Code | 'admitted', protocol: Protocol): void;
  /** Prometheus' text format. */
  response(): Promise<Response>;
}

/** More would make the label `path` a list without end. */
const MAX_STREAMS = 500;

/** Gauges of the live streams and their publishers; answers what sets them anew. */
function createStreamGauges(registry: Registry): (streams: readonly StreamStatus[]) => void {
  const gauge = <T extends string>(name: string, help: string, ...labelNames: T[]) =>
    new Gauge({ name, help, labelNames, registers: [registry] });
  const bits = gauge(
    'usher_publisher_bits_per_second',
    'What the publisher sends, by media: video, audio',
    'path',
    'media',
  );
  const keyframes = gauge(
    'usher_publisher_keyframe_interval_seconds',
    "Between the publisher's last two keyframes",
    'path',
  );
  const bFrames = gauge('usher_publisher_b_frames', '1 where the video has B-frames', 'path');
  const viewers = gauge('usher_stream_viewers', 'Sessions that watch the stream', 'path');
  const info = gauge(
    'usher_publisher_info',
    'Codecs of the publisher; always 1',
    'path',
    'video_codec',
    'audio_codec',
  );
  const running = gauge(
    'usher_reencoder_running',
    '1 while the video is made anew for WebRTC viewers, 0 while it waits to be started',
    'path',
    'codec',
  );
  const lag = gauge('usher_reencoder_lag_seconds', 'That re-encoding a picture takes', 'path', 'codec');
  const counter = (name: string, help: string) =>
    new Counter({ name, help, labelNames: ['path', 'codec'], registers: [registry] });
  const restarts = counter('usher_reencoder_restarts_total', 'Times that the re-encoder ended by itself');
  const dropped = counter(
    'usher_reencoder_dropped_pictures_total',
    'Pictures that the re-encoder was not given, being too slow',
  );
  const reduction = gauge(
    'usher_reencoder_reduction',
    'What is left out where the machine is too slow: 0 nothing, 1 every second picture, 2 half the size as well',
    'path',
    'codec',
  );
  const all = [bits, keyframes, bFrames, viewers, info, running, lag, restarts, dropped, reduction];

  function setReencoders(path: string, reencoders: PublisherHealth['reencoders'] = []): void {
    for (const { codec, ...status } of reencoders) {
      running.set({ path, codec }, status.running ? 1 : 0);
      lag.set({ path, codec }, status.lagMs / 1000);
      restarts.inc({ path, codec }, status.restarts);
      dropped.inc({ path, codec }, status.droppedPictures);
      reduction.set({ path, codec }, status.reduction ?? 0);
    }
  }

  return (streams) => {
    for (const each of all) each.reset();
    for (const { uri: path, viewers: count, health } of streams.slice(0, MAX_STREAMS)) {
      const { video, audio } = health;
      setReencoders(path, health.reencoders);
      viewers.set({ path }, count);
      info.set({ path, video_codec: video?.codec ?? 'none', audio_codec: audio?.codec ?? 'none' }, 1);
      if (audio !== null) bits.set({ path, media: 'audio' }, audio.bitsPerSecond);
      if (video === null) continue;
      bits.set({ path, media: 'video' }, video.bitsPerSecond);
      bFrames.set({ path }, video.hasBFrames ? 1 : 0);
      if (video.keyframeIntervalMs !== null) keyframes.set({ path }, video.keyframeIntervalMs / 1000);
    }
  };
}

/** Metrics of one media server; the gauges are read when somebody scrapes. */
export function createMediaMetrics(read: {
  sessions(): number;
  liveStreams(): number;
  receiptsWaiting(): number;
  spool(): SpoolStats;
  streams(): readonly StreamStatus[];
  revocationFeed(): FeedStats;
}): MediaMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const decisions = new Counter({
    name: 'usher_admissions_total',
    help: 'Decisions on requests to play, by outcome (a code, or "admitted") and protocol',
    labelNames: ['outcome', 'protocol'],
    registers: [registry],
  });
  gauge('usher_sessions', 'Sessions that are running', () => read.sessions());
  gauge('usher_live_streams', 'Streams that are on the air', () => read.liveStreams());
  gauge('usher_receipts_waiting', 'Receipts that the order server has not acknowledged yet', () =>
    read.receiptsWaiting(),
  );
  gauge('usher_spool_bytes', 'That receipts take on the disk', () => read.spool().bytes);
  gauge(
    'usher_spool_failing',
    '1 while receipts cannot be kept: the disk cannot be written to, or the spool is full',
    () => (read.spool().trouble === null ? 0 : 1),
  );
  gauge(
    'usher_spool_set_aside',
    'Files with receipts that were damaged on the disk and are not delivered, since the start',
    () => read.spool().setAside,
  );
  gauge(
    'usher_revocation_feed_age_seconds',
    'Since the order server was last heard on the revocation feed; infinite before the first time',
    () => read.revocationFeed().ageMs / 1000,
  );
  gauge(
    'usher_revocations',
    'What is revoked, as far as this server knows',
    () => read.revocationFeed().entries,
  );
  new Counter({
    name: 'usher_revocation_feed_reconnects_total',
    help: 'Connections to the revocation feed after the first',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(read.revocationFeed().reconnects);
    },
  });

  const setStreams = createStreamGauges(registry);

  function gauge(name: string, help: string, value: () => number): void {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value());
      },
    });
  }

  return {
    observe: (outcome, protocol) => decisions.inc({ outcome, protocol }),
    async response() {
      setStreams(read.streams());
      return new Response(await registry.metrics(), { headers: { 'content-type': registry.contentType } });
    },
  };
}
