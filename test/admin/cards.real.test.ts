import { describeDatabase } from '../support/databases.ts';
import { cardsSuite } from './suites/cards.ts';

describeDatabase('postgres', cardsSuite);
