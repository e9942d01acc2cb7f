import { describeDatabase } from '../support/databases.ts';
import { leasesSuite } from './suites/leases.ts';

describeDatabase('postgres', leasesSuite);
