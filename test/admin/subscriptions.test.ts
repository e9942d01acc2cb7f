import { startOrderServer } from '../support/order-server.ts';
import { subscriptionsSuite } from './suites/subscriptions.ts';

subscriptionsSuite('PGlite', async () => {
  const server = await startOrderServer();
  return { one: server, other: server, close: () => server.close() };
});
