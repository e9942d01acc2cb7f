import { describeDatabase } from '../support/databases.ts';
import { renewalsSuite } from './suites/renewals.ts';

describeDatabase('postgres', renewalsSuite);
