import { describeDatabase } from '../support/databases.ts';
import { liveStreamsSuite } from './suites/live-streams.ts';

describeDatabase('postgres', liveStreamsSuite);
