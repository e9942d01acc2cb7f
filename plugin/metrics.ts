import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Protocol } from './contract.ts';
import type { Code } from './errors.ts';
import type { FeedStats } from './revocations/feed.ts';

export interface MediaMetrics {
  observe(this: void, outcome: Code | 'admitted', protocol: Protocol): void;
  /** Prometheus' text format. */
  response(): Promise<Response>;
}

/** Metrics of one media server; the gauges are read when somebody scrapes. */
export function createMediaMetrics(read: {
  sessions(): number;
  liveStreams(): number;
  receiptsWaiting(): number;
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
    response: async () =>
      new Response(await registry.metrics(), { headers: { 'content-type': registry.contentType } }),
  };
}
