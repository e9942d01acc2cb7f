import './accounts.ts';
import './catalog.ts';
import './orders.ts';
import './revocations.ts';
import './servers.ts';
import './signing-keys.ts';
import './stream-keys.ts';
import { enforceAccess } from './access.ts';
import { builder } from './builder.ts';

export const schema = enforceAccess(builder.toSchema());
