/** Who may do what: the permissions there are, and the roles that bundle them. */

/** `x:write` does not include `x:read`: a key that only writes cannot read. */
export const PERMISSIONS = [
  'catalog:read',
  'catalog:write',
  'orders:read',
  'orders:write',
  'finance:read',
  'finance:write',
  'servers:read',
  'servers:write',
  'sessions:read',
  'sessions:write',
  'accounts:read',
  'accounts:write',
  'keys:write',
  'audit:read',
] as const;

export type Permission = (typeof PERMISSIONS)[number];

/** Viewers watch; everybody else is staff. */
export const ROLES = ['viewer', 'editor', 'finance', 'operator', 'admin'] as const;

export type Role = (typeof ROLES)[number];

const OF_ROLE: Readonly<Record<Role, readonly Permission[]>> = {
  viewer: [],
  editor: ['catalog:read', 'catalog:write'],
  finance: ['orders:read', 'orders:write', 'finance:read', 'finance:write'],
  operator: [
    'servers:read',
    'servers:write',
    'sessions:read',
    'sessions:write',
    'catalog:read',
    'keys:write',
  ],
  admin: PERMISSIONS,
};

/** What a role may do. */
export function permissionsOf(role: Role): readonly Permission[] {
  return OF_ROLE[role];
}

export function isPermission(value: unknown): value is Permission {
  return (PERMISSIONS as readonly unknown[]).includes(value);
}

/** True if whoever holds `held` holds all of `wanted`: nobody gives away what he does not have. */
export function covers(held: readonly Permission[], wanted: readonly Permission[]): boolean {
  return wanted.every((permission) => held.includes(permission));
}
