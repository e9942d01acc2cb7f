/** The audit log: what staff have done, with what it was like before and after. */
import { V7Generator } from 'uuidv7';
import type { Principal, RequestContext } from '../context.ts';
import type { Executor } from '../db/connect.ts';
import { auditLog } from '../db/schema.ts';

/** What was changed, as plain values that JSON has. Members that are secrets have no place in it. */
export type AuditFacts = object;

export interface AuditEntry {
  /** Object and verb: "title.update". */
  readonly action: string;
  readonly object: { readonly type: string; readonly id: string };
  /** `null` for what was not there. */
  readonly before: AuditFacts | null;
  readonly after: AuditFacts | null;
}

export interface AuditActor {
  readonly kind: 'account' | 'api_key' | 'system';
  readonly id: string | null;
  readonly name: string;
}

/** Chores from the command line: whoever can read the server's settings. */
export const COMMAND_LINE: AuditActor = { kind: 'system', id: null, name: 'command line' };

const SECRET = /password|secret|token|hash|private|authorization|cookie/i;

/** The last line against a slip: the log is read by more people than what it tells of. */
function refuseSecrets(facts: AuditFacts | null): AuditFacts | null {
  JSON.stringify(facts, (name, value: unknown) => {
    if (SECRET.test(name)) throw new TypeError(`${name} does not belong into the audit log`);
    return value;
  });
  return facts;
}

// Ids are made of the time that the entry shows, so that a span of time is a range of ids.
const ids = new V7Generator();
ids.setRollbackAllowance(0);

function actorOf(principal: Principal | null): AuditActor {
  if (principal === null) throw new TypeError('nobody acts');
  return principal.kind === 'account'
    ? { kind: 'account', id: principal.account.id, name: principal.account.email }
    : { kind: 'api_key', id: principal.id, name: principal.name };
}

/**
 * Writes an entry, in the transaction of what it tells of: neither is there without the other.
 * @throws TypeError when nobody is signed in, or a member is named like a secret
 */
export function audit(
  tx: Executor,
  context: Pick<RequestContext, 'principal' | 'requestId' | 'services'>,
  entry: AuditEntry,
): Promise<void> {
  const { principal, requestId, services } = context;
  return auditAs(tx, actorOf(principal), entry, { requestId, nowMs: services.clock.nowMs() });
}

/** The same for an actor who has sent no GraphQL request. @throws TypeError when a member is named like a secret */
export async function auditAs(
  tx: Executor,
  actor: AuditActor,
  { action, object, before, after }: AuditEntry,
  { requestId, nowMs }: { readonly requestId: string; readonly nowMs: number },
): Promise<void> {
  await tx.insert(auditLog).values({
    id: ids.generateOrResetWithTs(nowMs).toString(),
    createdAt: new Date(nowMs),
    actorKind: actor.kind,
    actorId: actor.id,
    actorName: actor.name,
    requestId,
    action,
    objectType: object.type,
    objectId: object.id,
    before: refuseSecrets(before),
    after: refuseSecrets(after),
  });
}
