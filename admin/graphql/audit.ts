import { Denial } from '../../plugin/errors.ts';
import { listAudit, type AuditRecord } from '../audit/queries.ts';
import { lineSchema } from '../text.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { given, parseId, parseInput, resolvePage } from './input.ts';

const ACTOR_KINDS = {
  ACCOUNT: { value: 'account' },
  API_KEY: { value: 'api_key' },
  SYSTEM: { value: 'system', description: 'The command line.' },
} as const;
const ActorKindType = builder.enumType('AuditActorKind', { values: ACTOR_KINDS });

const json = (value: unknown) => (value === null ? null : JSON.stringify(value));

const AuditEntryType = builder.objectRef<AuditRecord>('AuditEntry').implement({
  description: 'Something that staff have done. Entries are never changed or deleted.',
  fields: (t) => ({
    id: t.exposeID('id'),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    actorKind: t.expose('actorKind', { type: ActorKindType }),
    actorId: t.exposeID('actorId', { nullable: true, description: 'Account or API key.' }),
    actorName: t.exposeString('actorName', {
      description: 'Its email address or name at that time.',
    }),
    requestId: t.exposeString('requestId', { description: 'As the log names the request.' }),
    action: t.exposeString('action', { description: 'Such as "title.update".' }),
    objectType: t.exposeString('objectType', { description: 'Such as "title".' }),
    objectId: t.exposeString('objectId'),
    before: t.string({
      nullable: true,
      description: 'JSON; null for what was not there.',
      resolve: ({ before }) => json(before),
    }),
    after: t.string({ nullable: true, description: 'JSON.', resolve: ({ after }) => json(after) }),
  }),
});

const AuditFilterInput = builder.inputType('AuditFilter', {
  fields: (t) => ({
    actorId: t.id({ required: false, description: 'Account or API key.' }),
    action: t.string({ required: false }),
    objectType: t.string({ required: false }),
    objectId: t.string({ required: false, description: 'With `objectType`.' }),
    from: t.field({ type: 'DateTime', required: false }),
    until: t.field({ type: 'DateTime', required: false, description: 'Itself not included.' }),
  }),
});

const nameSchema = lineSchema(1, 200);

builder.queryField('auditLog', (t) =>
  t.connection({
    ...allow('audit:read'),
    type: AuditEntryType,
    description: 'What staff have done, newest first.',
    args: { filter: t.arg({ type: AuditFilterInput, required: false }) },
    resolve: (_root, { filter, ...args }, { services }) => {
      const { actorId, from, until, ...names } = given(filter ?? {});
      const wanted = {
        ...Object.fromEntries(
          Object.entries(names).map(([name, value]) => [name, parseInput(nameSchema, value)]),
        ),
        ...given({ from, until }),
        ...(actorId === undefined ? {} : { actorId: parseId(actorId) }),
      };
      if (names.objectId !== undefined && names.objectType === undefined) {
        throw new Denial('input_invalid', { detail: 'objectId: goes with objectType' });
      }
      return resolvePage(args, (page) => listAudit(services.db, page, wanted));
    },
  }),
);
