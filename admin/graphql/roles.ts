import { builder } from './builder.ts';

export const RoleType = builder.enumType('Role', {
  description: 'What an account may do beside watching.',
  values: {
    VIEWER: { value: 'viewer', description: 'Nothing: a customer.' },
    EDITOR: { value: 'editor', description: 'The catalog and its prices.' },
    FINANCE: { value: 'finance', description: 'Orders and money.' },
    OPERATOR: { value: 'operator', description: 'Streaming servers, viewings and keys.' },
    ADMIN: { value: 'admin', description: 'Everything.' },
  } as const,
});
