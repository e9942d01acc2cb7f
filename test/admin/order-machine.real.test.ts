import { describeDatabase } from '../support/databases.ts';
import { orderMachineSuite } from './suites/order-machine.ts';

describeDatabase('postgres', orderMachineSuite(8));
