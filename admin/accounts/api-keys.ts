/** Keys for programs: a part of what their maker may do, shown once, kept as a hash. */
import { and, eq, gt, isNull, or } from 'drizzle-orm';
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import type { Page } from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { inPage, newestFirst } from '../db/keyset.ts';
import { accounts, apiKeys } from '../db/schema.ts';
import { newId, sha256 } from '../ids.ts';
import { lineSchema } from '../text.ts';
import { PERMISSIONS, permissionsOf, type Permission } from './permissions.ts';
import { LAST_USED_STEP_MS } from './sessions.ts';

const KEY = /^usher_[A-Za-z0-9_-]{43}$/;
const PREFIX_CHARS = 'usher_'.length + 6;
const MAX_VALID_SECONDS = 10 * 365 * 24 * 3600;

export const apiKeySchema = z.strictObject({
  name: lineSchema(1, 100),
  permissions: z
    .array(z.enum(PERMISSIONS))
    .min(1)
    .max(PERMISSIONS.length)
    .transform((names) => [...new Set(names)]),
  /** `null`: it does not expire. */
  validSeconds: z.int().min(60).max(MAX_VALID_SECONDS).nullable(),
});
export type NewApiKey = z.infer<typeof apiKeySchema>;

export interface ApiKey {
  readonly id: string;
  readonly name: string;
  /** The key's first characters. */
  readonly prefix: string;
  readonly permissions: readonly Permission[];
  readonly createdBy: string;
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  /** Right to a minute. */
  readonly lastUsedAt: Date | null;
  readonly revokedAt: Date | null;
}

const COLUMNS = {
  id: apiKeys.id,
  name: apiKeys.name,
  prefix: apiKeys.prefix,
  permissions: apiKeys.permissions,
  createdBy: apiKeys.createdBy,
  createdAt: apiKeys.createdAt,
  expiresAt: apiKeys.expiresAt,
  lastUsedAt: apiKeys.lastUsedAt,
  revokedAt: apiKeys.revokedAt,
};

/** True for what looks like one of our keys: a session's token never does. */
export function isApiKey(text: string): boolean {
  return KEY.test(text);
}

/** Makes a key (256 random bits); it is in the answer only, the database keeps its hash. */
export async function createApiKey(
  db: Executor,
  input: NewApiKey,
  createdBy: string,
  now: Date,
): Promise<{ readonly key: string; readonly record: ApiKey }> {
  const key = `usher_${randomBytes(32).toString('base64url')}`;
  const record = {
    id: newId(),
    name: input.name,
    prefix: key.slice(0, PREFIX_CHARS),
    permissions: input.permissions,
    createdBy,
    createdAt: now,
    expiresAt: input.validSeconds === null ? null : new Date(now.getTime() + input.validSeconds * 1000),
    lastUsedAt: null,
    revokedAt: null,
  };
  await db.insert(apiKeys).values({ ...record, keyHash: sha256(key) });
  return { key, record };
}

/**
 * The key, `null` when it is unknown, expired or revoked. It never may more than whoever answers for it may now: a
 * role that is taken away is taken from the keys as well. Found by its hash, so that no comparison leaks how much of
 * a guess was right. Notes that it was used.
 */
export async function findApiKey(db: Executor, key: string, now: Date): Promise<ApiKey | null> {
  if (!isApiKey(key)) return null;
  const [found] = await db
    .select({ ...COLUMNS, role: accounts.role })
    .from(apiKeys)
    .innerJoin(accounts, eq(accounts.id, apiKeys.createdBy))
    .where(
      and(
        eq(apiKeys.keyHash, sha256(key)),
        isNull(apiKeys.revokedAt),
        or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, now)),
      ),
    );
  if (found === undefined) return null;
  const { role, ...record } = found;
  const { id, lastUsedAt } = record;
  if (lastUsedAt === null || now.getTime() - lastUsedAt.getTime() >= LAST_USED_STEP_MS) {
    await db.update(apiKeys).set({ lastUsedAt: now }).where(eq(apiKeys.id, id));
  }
  const allowed = permissionsOf(role);
  return { ...record, permissions: record.permissions.filter((permission) => allowed.includes(permission)) };
}

/** Newest first, revoked ones too. */
export function listApiKeys(db: Executor, page: Page): Promise<ApiKey[]> {
  return db
    .select(COLUMNS)
    .from(apiKeys)
    .where(inPage(apiKeys.id, page))
    .orderBy(newestFirst(apiKeys.id, page))
    .limit(page.limit);
}

/** Takes a key back; once more changes nothing. @throws Denial `not_found`. */
export async function revokeApiKey(
  tx: Executor,
  id: string,
  now: Date,
): Promise<{ readonly before: ApiKey; readonly after: ApiKey }> {
  const [before] = await tx.select(COLUMNS).from(apiKeys).where(eq(apiKeys.id, id)).for('update');
  if (before === undefined) throw new Denial('not_found', { detail: 'API key' });
  if (before.revokedAt !== null) return { before, after: before };
  await tx.update(apiKeys).set({ revokedAt: now }).where(eq(apiKeys.id, id));
  return { before, after: { ...before, revokedAt: now } };
}
