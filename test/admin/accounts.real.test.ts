import { describeDatabase } from '../support/databases.ts';
import { accountsSuite } from './suites/accounts.ts';
import { auditLogSuite } from './suites/audit-log.ts';

describeDatabase('postgres', (world) => {
  accountsSuite(world);
  auditLogSuite(world);
});
