import { describeDatabase } from '../support/databases.ts';
import { enrolmentSuite } from './suites/enrolment.ts';

describeDatabase('postgres', enrolmentSuite);
