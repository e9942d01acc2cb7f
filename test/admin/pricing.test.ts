import { describeDatabase } from '../support/databases.ts';
import { pricingSuite } from './suites/pricing.ts';
import { quotasSuite } from './suites/quotas.ts';

describeDatabase('pglite', (world) => {
  pricingSuite(world);
  quotasSuite(world);
});
