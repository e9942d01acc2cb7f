import { findKeyHistory, stateOf, type KeyRow, type KeyState } from '../trust/key-rows.ts';
import { audit } from '../audit/audit.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { now } from './input.ts';

/** Retired keys are kept as a record; the list goes back this far. */
const MAX_LISTED = 100;

const ALGS = { Ed25519: { value: 'Ed25519' }, ES256: { value: 'ES256' } } as const;
const SigningAlg = builder.enumType('SigningAlg', { values: ALGS });

const SigningKeyState = builder.enumType('SigningKeyState', {
  values: {
    NEXT: { value: 'next', description: 'Published; signs from `signsFrom` on.' },
    CURRENT: { value: 'current', description: 'Signs tickets.' },
    RETIRING: { value: 'retiring', description: 'Published: tickets that it signed are alive.' },
    RETIRED: { value: 'retired', description: 'Verifies nothing any more.' },
  } as const,
});

interface ListedKey extends Pick<KeyRow, 'kid' | 'alg' | 'createdAt' | 'signsFrom' | 'retiredAt'> {
  readonly state: KeyState;
}

const SigningKeyType = builder.objectRef<ListedKey>('SigningKey').implement({
  description: 'A key that signs tickets.',
  fields: (t) => ({
    kid: t.exposeID('kid', { description: 'Its RFC 7638 thumbprint.' }),
    alg: t.field({ type: SigningAlg, resolve: (key) => key.alg }),
    state: t.field({ type: SigningKeyState, resolve: (key) => key.state }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    signsFrom: t.expose('signsFrom', { type: 'DateTime' }),
    retiresAt: t.expose('retiredAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it is published no more; null while that is not known.',
    }),
  }),
});

builder.queryField('signingKeys', (t) =>
  t.field({
    ...allow('servers:read'),
    type: [SigningKeyType],
    description: 'The keys that sign tickets, the latest first.',
    resolve: async (_root, _args, context) => {
      const rows = await findKeyHistory(context.services.db, MAX_LISTED);
      const nowMs = now(context).getTime();
      return rows.map((row) => ({ ...row, state: stateOf(row, rows, nowMs) }));
    },
  }),
);

builder.mutationField('rotateSigningKey', (t) =>
  t.field({
    ...allow('keys:write'),
    type: SigningKeyType,
    description:
      'Makes a new key. It signs once every streaming server has it; the old ones stay until their tickets end.',
    args: {
      alg: t.arg({ type: SigningAlg, defaultValue: 'Ed25519' }),
      compromised: t.arg.boolean({
        defaultValue: false,
        description: 'Withdraws every key before it at once, and with them all tickets that they signed.',
      }),
    },
    resolve: async (_root, { alg, compromised }, context) => {
      const { authority, log } = context.services;
      const row = await authority.rotate(alg, compromised, (tx, { kid }) =>
        audit(tx, context, {
          action: 'signing_key.rotate',
          object: { type: 'signing_key', id: kid },
          before: null,
          after: { alg, compromised },
        }),
      );
      log.warn({ kid: row.kid, compromised }, 'a new ticket signing key');
      return { ...row, state: stateOf(row, [row], now(context).getTime()) };
    },
  }),
);
