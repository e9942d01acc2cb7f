import { describeDatabase } from '../support/databases.ts';
import { furtherSuite } from './suites/further.ts';

describeDatabase('pglite', furtherSuite);
