import { sql } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { auditAs, COMMAND_LINE, type AuditEntry } from '../../../admin/audit/audit.ts';
import { listAudit, type AuditFilter } from '../../../admin/audit/queries.ts';
import { isSqlState } from '../../../admin/db/connect.ts';
import { auditLog } from '../../../admin/db/schema.ts';
import { START_MS, type World } from '../../support/databases.ts';

const at = (afterSeconds: number) => new Date(START_MS + afterSeconds * 1000);

export function auditLogSuite(world: () => World): void {
  describe('the audit log', () => {
    const ENTRY: AuditEntry = {
      action: 'thing.change',
      object: { type: 'thing', id: '1' },
      before: { name: 'old' },
      after: { name: 'new', from: at(0) },
    };
    const note = (entry: Partial<AuditEntry> = {}, nowMs = START_MS, actor = COMMAND_LINE) =>
      auditAs(world().db, actor, { ...ENTRY, ...entry }, { requestId: 'request', nowMs });
    const listed = (filter: AuditFilter) => listAudit(world().db, { limit: 100, inverted: false }, filter);

    it('keeps who did what to what, before and after', async () => {
      const id = randomUUID();
      await note({ object: { type: 'thing', id } });
      expect(await listed({ objectType: 'thing', objectId: id })).toMatchObject([
        {
          actorKind: 'system',
          actorId: null,
          actorName: 'command line',
          requestId: 'request',
          action: 'thing.change',
          before: { name: 'old' },
          after: { name: 'new', from: at(0).toISOString() },
          createdAt: at(0),
        },
      ]);
    });

    it.each([
      ['changed', sql`update audit_log set action = 'x'`],
      ['deleted', sql`delete from audit_log`],
      ['emptied', sql`truncate audit_log`],
    ])('cannot be %s', async (_how, statement) => {
      await note();
      const refused = await world()
        .db.execute(statement)
        .then(
          () => null,
          (error: unknown) => error,
        );
      expect(isSqlState(refused, '23001')).toBe(true);
    });

    it.each(['password', 'newPassword', 'keyHash', 'sessionToken', 'clientSecret'])(
      'takes no member that is named %s, however deep',
      async (name) => {
        await expect(note({ after: { outer: [{ [name]: 'x' }] } })).rejects.toThrow(TypeError);
      },
    );

    it('has no entry of what was rolled back', async () => {
      const id = randomUUID();
      const entry = { ...ENTRY, object: { type: 'thing', id } };
      const undone = world().db.transaction(async (tx) => {
        await auditAs(tx, COMMAND_LINE, entry, { requestId: 'x', nowMs: START_MS });
        throw new Error('undone');
      });
      await expect(undone).rejects.toThrow('undone');
      expect(await listed({ objectType: 'thing', objectId: id })).toEqual([]);
    });

    it('reads an index for every filter', async () => {
      const plan = (where: ReturnType<typeof sql>) =>
        world().db.transaction(async (tx) => {
          await tx.execute(sql`set local enable_seqscan = off`);
          await tx.execute(sql`set local enable_sort = off`);
          const query = sql`explain select * from audit_log ${where} order by id desc limit 20`;
          return JSON.stringify(await tx.execute(query));
        });
      const id = randomUUID();
      expect(await plan(sql``)).toContain('audit_log_pkey');
      expect(await plan(sql`where actor_id = ${id}`)).toContain('audit_log_actor');
      expect(await plan(sql`where action = 'x' and id < ${id}`)).toContain('audit_log_action');
      expect(await plan(sql`where object_type = 'x'`)).toContain('audit_log_type');
      // Of an almost empty table, either is good enough for the planner.
      expect(await plan(sql`where object_type = 'x' and object_id = 'y'`)).toMatch(
        /audit_log_(?:object|type)/,
      );
    });

    it('is searched by time, action and actor, to the millisecond', async () => {
      const [type, action, id] = [randomUUID(), randomUUID(), randomUUID()];
      const object = { type, id: 'x' };
      for (const ms of [0, 1, 2, 3]) await note({ object }, START_MS + ms);
      await note({ object, action }, START_MS + 10, { kind: 'account', id, name: 'a@b.example' });
      const times = async (filter: AuditFilter) =>
        (await listed({ objectType: type, ...filter })).map(
          ({ createdAt }) => createdAt.getTime() - START_MS,
        );
      const moment = (ms: number) => new Date(START_MS + ms);
      expect(await times({})).toEqual([10, 3, 2, 1, 0]);
      expect(await times({ from: moment(1), until: moment(3) })).toEqual([2, 1]);
      expect(await times({ action })).toEqual([10]);
      expect(await times({ actorId: id })).toEqual([10]);
      expect(await times({ actorId: id, until: moment(10) })).toEqual([]);
      const ids = (await world().db.select({ id: auditLog.id }).from(auditLog)).map((row) => row.id);
      expect(new Set(ids).size).toBe(ids.length);
    });
  });
}
