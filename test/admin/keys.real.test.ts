import { describeDatabase } from '../support/databases.ts';
import { keysSuite } from './suites/keys.ts';

describeDatabase('postgres', keysSuite);
