import { describeDatabase } from '../support/databases.ts';
import { revocationsSuite } from './suites/revocations.ts';

describeDatabase('postgres', revocationsSuite);
