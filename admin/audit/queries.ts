/** Reading the audit log. */
import { and, eq, gte, lt } from 'drizzle-orm';
import type { Page } from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { inPage, newestFirst } from '../db/keyset.ts';
import { auditLog } from '../db/schema.ts';
import type { AuditActor, AuditFacts } from './audit.ts';

export interface AuditRecord {
  readonly id: string;
  readonly createdAt: Date;
  readonly actorKind: AuditActor['kind'];
  readonly actorId: string | null;
  readonly actorName: string;
  readonly requestId: string;
  readonly action: string;
  readonly objectType: string;
  readonly objectId: string;
  readonly before: AuditFacts | null;
  readonly after: AuditFacts | null;
}

export interface AuditFilter {
  readonly actorId?: string;
  readonly action?: string;
  readonly objectType?: string;
  /** With `objectType` only. */
  readonly objectId?: string;
  /** From this moment on. */
  readonly from?: Date;
  /** Before this moment. */
  readonly until?: Date;
}

/** The least UUIDv7 of a moment: ids of the log are made of the time that it shows (RFC 9562 section 5.7). */
function leastId(moment: Date): string {
  const hex = Math.max(0, moment.getTime()).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7000-8000-000000000000`;
}

/** Newest first. */
export function listAudit(db: Executor, page: Page, filter: AuditFilter): Promise<AuditRecord[]> {
  const { actorId, action, objectType, objectId, from, until } = filter;
  return db
    .select()
    .from(auditLog)
    .where(
      and(
        actorId === undefined ? undefined : eq(auditLog.actorId, actorId),
        action === undefined ? undefined : eq(auditLog.action, action),
        objectType === undefined ? undefined : eq(auditLog.objectType, objectType),
        objectId === undefined ? undefined : eq(auditLog.objectId, objectId),
        from === undefined ? undefined : gte(auditLog.id, leastId(from)),
        until === undefined ? undefined : lt(auditLog.id, leastId(until)),
        inPage(auditLog.id, page),
      ),
    )
    .orderBy(newestFirst(auditLog.id, page))
    .limit(page.limit);
}
