import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export interface Metrics {
  readonly registry: Registry;
  readonly requests: Counter<'route' | 'status'>;
  readonly requestSeconds: Histogram<'route'>;
  readonly orders: Counter<'outcome'>;
  readonly redemptions: Counter<'op' | 'outcome'>;
  readonly receipts: Counter<'outcome'>;
  readonly feedConnections: Gauge;
}

/**
 * Labels are codes and routes: a bounded set, and nothing of a request.
 * @param subscriptions GraphQL subscriptions that are open now
 */
export function createMetrics(subscriptions: () => number): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  new Gauge({
    name: 'usher_subscriptions',
    help: 'GraphQL subscriptions that are open',
    registers,
    collect() {
      this.set(subscriptions());
    },
  });
  return {
    registry,
    requests: new Counter({
      name: 'usher_http_requests_total',
      help: 'Requests by route and status',
      labelNames: ['route', 'status'],
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'usher_http_request_seconds',
      help: 'Time until an answer began, by route',
      labelNames: ['route'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    orders: new Counter({
      name: 'usher_orders_total',
      help: 'Orders by outcome: placed, replayed, or the code of the refusal',
      labelNames: ['outcome'],
      registers,
    }),
    redemptions: new Counter({
      name: 'usher_redemptions_total',
      help: 'Redemptions by operation and outcome: ok, or the code of the refusal',
      labelNames: ['op', 'outcome'],
      registers,
    }),
    receipts: new Counter({
      name: 'usher_receipts_total',
      help: 'Receipts by outcome: stored, or the reason of the refusal',
      labelNames: ['outcome'],
      registers,
    }),
    feedConnections: new Gauge({
      name: 'usher_revocation_feed_connections',
      help: 'Streaming servers that read the revocation feed, by connection',
      registers,
    }),
  };
}
