import { describeDatabase } from '../support/databases.ts';
import { ordersSuite } from './suites/orders.ts';

describeDatabase('pglite', ordersSuite);
