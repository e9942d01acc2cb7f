import { describeDatabase } from '../support/databases.ts';
import { redeemSuite } from './suites/redeem.ts';

describeDatabase('postgres', redeemSuite);
