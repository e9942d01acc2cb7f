import { describeDatabase } from '../support/databases.ts';
import { receiptsSuite } from './suites/receipts.ts';

describeDatabase('postgres', receiptsSuite);
