import { describeDatabase } from '../support/databases.ts';
import { receiptsSuite } from './suites/receipts.ts';
import { silentSuite } from './suites/silent.ts';

describeDatabase('postgres', (world) => {
  receiptsSuite(world);
  silentSuite(world);
});
