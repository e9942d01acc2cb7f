import { describeDatabase } from '../support/databases.ts';
import { orderMachineSuite } from './suites/order-machine.ts';

describeDatabase('pglite', orderMachineSuite(1));
