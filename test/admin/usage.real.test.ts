import { describeDatabase } from '../support/databases.ts';
import { usageSuite } from './suites/usage.ts';

describeDatabase('postgres', usageSuite);
