/** Accounts, as those see them who look after them. */
import { emailPrefixSchema, listAccounts, setRole, type AccountRecord } from '../accounts/staff.ts';
import { audit } from '../audit/audit.ts';
import { allow, heldBy } from './access.ts';
import { builder } from './builder.ts';
import { acting, parseId, parseInput, resolvePage } from './input.ts';
import { RoleType } from './roles.ts';

const AccountRecordType = builder.objectRef<AccountRecord>('AccountRecord').implement({
  description: 'An account, for staff.',
  fields: (t) => ({
    id: t.exposeID('id'),
    email: t.exposeString('email'),
    name: t.exposeString('name'),
    role: t.expose('role', { type: RoleType }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    revokedAt: t.expose('revokedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Since then it may not order; null while it may.',
    }),
  }),
});

builder.queryField('accounts', (t) =>
  t.connection({
    ...allow('accounts:read'),
    type: AccountRecordType,
    description: 'By their address.',
    args: {
      emailPrefix: t.arg.string({ required: false, description: 'Beginning of the address.' }),
      role: t.arg({ type: RoleType, required: false }),
    },
    resolve: (_root, { emailPrefix, role, ...args }, { services }) => {
      const filter = {
        ...(typeof emailPrefix === 'string'
          ? { emailPrefix: parseInput(emailPrefixSchema, emailPrefix) }
          : {}),
        ...(typeof role === 'string' ? { role } : {}),
      };
      return resolvePage(args, (page) => listAccounts(services.db, page, filter));
    },
  }),
);

builder.mutationField('setRole', (t) =>
  t.field({
    ...allow('accounts:write'),
    type: AccountRecordType,
    description:
      'Gives an account another role, and signs it out everywhere. Nobody gives or takes more than he may himself; the last admin stays.',
    args: { accountId: t.arg.id(), role: t.arg({ type: RoleType }) },
    resolve: async (_root, { role, ...args }, context) => {
      const accountId = parseId(args.accountId);
      const changed = await context.services.db.transaction(async (tx) => {
        const before = await setRole(tx, {
          accountId,
          role,
          held: heldBy(context.principal),
          actorId: acting(context).accountId,
        });
        if (before.role !== role) {
          await audit(tx, context, {
            action: 'account.set_role',
            object: { type: 'account', id: accountId },
            before: { role: before.role },
            after: { role },
          });
        }
        return { ...before, role };
      });
      context.services.events.publish([{ kind: 'account', id: accountId }]);
      return changed;
    },
  }),
);
