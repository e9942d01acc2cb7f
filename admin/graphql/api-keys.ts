import { Denial } from '../../plugin/errors.ts';
import { apiKeySchema, createApiKey, listApiKeys, revokeApiKey, type ApiKey } from '../accounts/api-keys.ts';
import { audit } from '../audit/audit.ts';
import { allow, requireCovered } from './access.ts';
import { builder } from './builder.ts';
import { now, parseId, parseInput, resolvePage } from './input.ts';

const ApiKeyType = builder.objectRef<ApiKey>('ApiKey').implement({
  description: 'A key for a program: "Authorization: Bearer usher_...". The key itself is shown once.',
  fields: (t) => ({
    id: t.exposeID('id'),
    name: t.exposeString('name'),
    prefix: t.exposeString('prefix', { description: 'Its first characters, to recognise it by.' }),
    permissions: t.stringList({
      description: 'Such as "catalog:read". It never may more than the account that has made it.',
      resolve: (key) => [...key.permissions],
    }),
    createdBy: t.exposeID('createdBy', { description: 'The account that answers for it.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime', nullable: true }),
    lastUsedAt: t.expose('lastUsedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Right to a minute.',
    }),
    revokedAt: t.expose('revokedAt', { type: 'DateTime', nullable: true }),
  }),
});

interface CreatedKey {
  readonly key: string;
  readonly record: ApiKey;
}

const CreatedKeyType = builder.objectRef<CreatedKey>('CreatedApiKey').implement({
  fields: (t) => ({
    key: t.exposeString('key', { description: 'Shown this once.' }),
    apiKey: t.field({ type: ApiKeyType, resolve: ({ record }) => record }),
  }),
});

builder.queryField('apiKeys', (t) =>
  t.connection({
    ...allow('keys:write'),
    type: ApiKeyType,
    description: 'Newest first, revoked ones too.',
    resolve: (_root, args, { services }) => resolvePage(args, (page) => listApiKeys(services.db, page)),
  }),
);

/** What the audit log tells of a key. */
function factsOf({ name, prefix, permissions, expiresAt, revokedAt }: ApiKey) {
  return { name, prefix, permissions, expiresAt, revokedAt };
}

builder.mutationFields((t) => ({
  createApiKey: t.field({
    ...allow('keys:write'),
    type: CreatedKeyType,
    description: 'Makes a key with some of the own permissions. Keys make no keys.',
    args: {
      name: t.arg.string({ description: '1 to 100 characters.' }),
      permissions: t.arg.stringList(),
      validSeconds: t.arg.int({ required: false, description: 'From 60 on; null: it does not expire.' }),
    },
    resolve: async (_root, { validSeconds = null, ...args }, context) => {
      const { services, account } = context;
      // A key that was stolen must not outlive its own end.
      if (account === null) throw new Denial('forbidden', { detail: 'only with an account' });
      const input = parseInput(apiKeySchema, { ...args, validSeconds });
      requireCovered(context, input.permissions);
      return services.db.transaction(async (tx) => {
        const created = await createApiKey(tx, input, account.id, now(context));
        await audit(tx, context, {
          action: 'api_key.create',
          object: { type: 'api_key', id: created.record.id },
          before: null,
          after: factsOf(created.record),
        });
        return created;
      });
    },
  }),
  revokeApiKey: t.field({
    ...allow('keys:write'),
    type: ApiKeyType,
    description: 'Takes a key back at once, for good.',
    args: { id: t.arg.id() },
    resolve: async (_root, args, context) => {
      const { services } = context;
      const revoked = await services.db.transaction(async (tx) => {
        const { before, after } = await revokeApiKey(tx, parseId(args.id), now(context));
        if (before.revokedAt === null) {
          await audit(tx, context, {
            action: 'api_key.revoke',
            object: { type: 'api_key', id: after.id },
            before: factsOf(before),
            after: factsOf(after),
          });
        }
        return after;
      });
      services.events.publish([{ kind: 'account', id: revoked.createdBy }]);
      return revoked;
    },
  }),
}));
