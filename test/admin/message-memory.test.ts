import { describeDatabase } from '../support/databases.ts';
import { messagesSuite } from './suites/messages.ts';

describeDatabase('pglite', messagesSuite);
