import { describeDatabase } from '../support/databases.ts';
import { settlementSuite } from './suites/settlement.ts';

describeDatabase('postgres', settlementSuite);
