import { startOrderServer } from '../support/order-server.ts';
import { startPostgres } from '../support/postgres.ts';
import { subscriptionsSuite } from './suites/subscriptions.ts';

// Two order servers on one database: what is done at one is seen at the other.
subscriptionsSuite('PostgreSQL, by way of another process', async () => {
  const postgres = await startPostgres();
  const other = await startOrderServer({ databaseUrl: postgres.url });
  // The last one's streaming server is the one that is registered.
  const one = await startOrderServer({ databaseUrl: postgres.url });
  return {
    one,
    other,
    close: async () => {
      await Promise.all([one.close(), other.close()]);
      await postgres.stop();
    },
  };
});
