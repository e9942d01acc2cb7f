import { describeDatabase } from '../support/databases.ts';
import { catalogSuite } from './suites/catalog.ts';

describeDatabase('pglite', catalogSuite);
