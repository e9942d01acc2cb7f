import argon2 from 'argon2';
import { eq, sql } from 'drizzle-orm';
import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createAccount, type Account } from '../../../admin/accounts/accounts.ts';
import { createApiKey, findApiKey, revokeApiKey } from '../../../admin/accounts/api-keys.ts';
import {
  changePassword,
  prunePasswordResets,
  RESET_SECONDS,
  resetPassword,
  signIn,
  startPasswordReset,
} from '../../../admin/accounts/credentials.ts';
import { PERMISSIONS, ROLES, type Permission, type Role } from '../../../admin/accounts/permissions.ts';
import { endSessions, findSession, listSessions, startSession } from '../../../admin/accounts/sessions.ts';
import { listAccounts, setRole } from '../../../admin/accounts/staff.ts';
import { isSqlState } from '../../../admin/db/connect.ts';
import { accounts, apiKeys, passwordResets, sessions } from '../../../admin/db/schema.ts';
import { asDenial } from '../../../plugin/errors.ts';
import { START_MS, type World } from '../../support/databases.ts';

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: unknown) => asDenial(error).code,
  );
const at = (afterSeconds: number) => new Date(START_MS + afterSeconds * 1000);
const PASSWORD = 'correct horse battery';

export function accountsSuite(world: () => World): void {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  const authenticate = async (db: World['db'], email: string, password: string): Promise<Account> =>
    (await signIn(db, { email, password, now: at(0), userAgent: 'a test' })).account;
  function newAccount(role: Role = 'viewer', email = `${randomUUID()}@example.com`): Promise<Account> {
    return createAccount(world().db, { email, password: PASSWORD, name: 'Test' }, role, at(0));
  }
  const open = (account: Account, now = at(0)) =>
    startSession(world().db, account.id, { now, userAgent: 'a test' });
  const isOpen = async (token: string, now = at(0)) => (await findSession(world().db, token, now)) !== null;

  describe('signing in', () => {
    it('takes as many hashes for an address that is not known, and for none', async () => {
      const { email } = await newAccount();
      const verify = vi.spyOn(argon2, 'verify');
      const hash = vi.spyOn(argon2, 'hash');
      // The first of a process makes what unknown addresses are compared with, whichever it is.
      await codeOf(authenticate(world().db, email, 'wrong'));
      const counts = [];
      for (const tried of [email, 'nobody@example.com', '']) {
        verify.mockClear();
        hash.mockClear();
        expect(await codeOf(authenticate(world().db, tried, 'wrong'))).toBe('credentials_invalid');
        counts.push([verify.mock.calls.length, hash.mock.calls.length]);
      }
      expect(counts).toEqual([
        [1, 0],
        [1, 0],
        [1, 0],
      ]);
    });

    it('makes a hash anew that was made with less than is asked for today', async () => {
      const { id, email } = await newAccount();
      const stored = async () =>
        (await world().db.query.accounts.findFirst({ where: eq(accounts.id, id) }))!.passwordHash;
      const weak = await argon2.hash(PASSWORD, { memoryCost: 1024, timeCost: 2, parallelism: 1 });
      await world().db.update(accounts).set({ passwordHash: weak }).where(eq(accounts.id, id));
      expect(await codeOf(authenticate(world().db, email, 'wrong'))).toBe('credentials_invalid');
      expect(await stored()).toBe(weak);
      expect(await authenticate(world().db, email, PASSWORD)).toMatchObject({ id });
      const renewed = await stored();
      expect(renewed).toContain('m=19456,p=1,t=2');
      await authenticate(world().db, email, PASSWORD);
      expect(await stored()).toBe(renewed);
    });
  });

  describe('sessions', () => {
    it('are listed with when they were used, right to a minute', async () => {
      const account = await newAccount();
      const token = await open(account);
      for (const seconds of [30, 59, 61, 100, 300]) await findSession(world().db, token, at(seconds));
      expect(await listSessions(world().db, account.id, at(300))).toMatchObject([
        { userAgent: 'a test', createdAt: at(0), lastUsedAt: at(300) },
      ]);
      await findSession(world().db, token, at(359));
      const [session] = await listSessions(world().db, account.id, at(400));
      expect(session?.lastUsedAt).toEqual(at(300));
    });

    it('end together, and only those of one account', async () => {
      const [own, other] = await Promise.all([newAccount(), newAccount()]);
      const tokens = [await open(own), await open(own), await open(other)];
      expect(await endSessions(world().db, own.id)).toBe(2);
      expect(await Promise.all(tokens.map((token) => isOpen(token)))).toEqual([false, false, true]);
    });
  });

  describe('a session', () => {
    const enter = (email: string) =>
      signIn(world().db, { email, password: PASSWORD, now: at(0), userAgent: null });

    it('does not begin with a password that was replaced while it was compared', async () => {
      const account = await newAccount();
      const token = (await startPasswordReset(world().db, account.email, at(0)))!;
      const { verify } = argon2;
      vi.spyOn(argon2, 'verify').mockImplementationOnce(async (...given) => {
        const right = await verify(...given);
        // Its hash waits for no other: it is not this process that resets.
        const passwordHash = await argon2.hash('a new password');
        await world().db.update(accounts).set({ passwordHash }).where(eq(accounts.id, account.id));
        await endSessions(world().db, account.id);
        return right;
      });
      expect(await codeOf(enter(account.email))).toBe('credentials_invalid');
      expect(await listSessions(world().db, account.id, at(0))).toEqual([]);
      expect(await codeOf(resetPassword(world().db, token, 'a third password', at(1)))).toBe('done');
    });

    it('begins with the right one, even when its hash is made anew', async () => {
      const account = await newAccount();
      const outdated = await argon2.hash(PASSWORD, { timeCost: 2, memoryCost: 1024, parallelism: 1 });
      await world().db.update(accounts).set({ passwordHash: outdated }).where(eq(accounts.id, account.id));
      const { token } = await enter(account.email);
      expect(await isOpen(token)).toBe(true);
      expect(await codeOf(enter(account.email))).toBe('done');
    });

    it('makes way when an account has a hundred that are newer', async () => {
      const account = await newAccount();
      const tokens: string[] = [];
      for (let count = 0; count < 101; count++) tokens.push(await open(account));
      expect(await isOpen(tokens[0]!)).toBe(false);
      expect(await isOpen(tokens[1]!)).toBe(true);
      const rows = await world().db.select().from(sessions).where(eq(sessions.accountId, account.id));
      expect(rows).toHaveLength(100);
    });
  });

  describe('changing a password', () => {
    it('ends all other sessions, and the old password', async () => {
      const account = await newAccount();
      const [kept, other] = [await open(account), await open(account)];
      const { id } = (await findSession(world().db, kept, at(0)))!;
      const reset = await startPasswordReset(world().db, account.email, at(0));
      const change = { accountId: account.id, sessionId: id, current: PASSWORD, next: 'another password' };
      await changePassword(world().db, change);
      expect(await Promise.all([isOpen(kept), isOpen(other)])).toEqual([true, false]);
      expect(await codeOf(authenticate(world().db, account.email, PASSWORD))).toBe('credentials_invalid');
      expect(await codeOf(authenticate(world().db, account.email, 'another password'))).toBe('done');
      expect(await codeOf(resetPassword(world().db, reset!, 'a third password', at(1)))).toBe('not_found');
    });

    it('needs the current one', async () => {
      const account = await newAccount();
      const change = { accountId: account.id, sessionId: account.id, current: 'wrong', next: 'another one' };
      expect(await codeOf(changePassword(world().db, change))).toBe('credentials_invalid');
      expect(await codeOf(authenticate(world().db, account.email, PASSWORD))).toBe('done');
    });

    it('done twice at once succeeds once', async () => {
      const account = await newAccount();
      const change = (next: string) =>
        codeOf(
          changePassword(world().db, {
            accountId: account.id,
            sessionId: account.id,
            current: PASSWORD,
            next,
          }),
        );
      const codes = await Promise.all([change('the first one'), change('the second one')]);
      expect(codes.sort()).toEqual(['credentials_invalid', 'done']);
    });
  });

  describe('a forgotten password', () => {
    it('is replaced once by what was mailed, and every session ends', async () => {
      const account = await newAccount();
      const session = await open(account);
      const [first, second] = await Promise.all([
        startPasswordReset(world().db, account.email, at(0)),
        startPasswordReset(world().db, account.email, at(1)),
      ]);
      expect(await resetPassword(world().db, first!, 'a new password', at(10))).toMatchObject({
        id: account.id,
      });
      expect(await isOpen(session)).toBe(false);
      expect(await codeOf(authenticate(world().db, account.email, 'a new password'))).toBe('done');
      for (const used of [first!, second!]) {
        expect(await codeOf(resetPassword(world().db, used, 'yet another one', at(11)))).toBe('not_found');
      }
    });

    it('by ten who have the token at once is replaced by one of them', async () => {
      const { email } = await newAccount();
      const token = (await startPasswordReset(world().db, email, at(0)))!;
      const codes = await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          codeOf(resetPassword(world().db, token, `password number ${index}`, at(1))),
        ),
      );
      expect(codes.filter((code) => code === 'done')).toHaveLength(1);
      expect(codes.filter((code) => code === 'not_found')).toHaveLength(9);
    });

    it('has 30 minutes', async () => {
      const { email } = await newAccount();
      const token = (await startPasswordReset(world().db, email, at(0)))!;
      expect(RESET_SECONDS).toBe(1800);
      await prunePasswordResets(world().db, at(1799));
      expect(await codeOf(resetPassword(world().db, token, 'a new password', at(1800)))).toBe('not_found');
      expect(await codeOf(resetPassword(world().db, token, 'a new password', at(1799)))).toBe('done');
    });

    it('leaves no token in the database, and none for who has no account', async () => {
      const { email } = await newAccount();
      const token = (await startPasswordReset(world().db, email, at(0)))!;
      expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
      expect(JSON.stringify(await world().db.select().from(passwordResets))).not.toContain(token);
      expect(await startPasswordReset(world().db, 'nobody@example.com', at(0))).toBeNull();
      for (const wrong of ['', 'x', `${token}x`, 'A'.repeat(43)]) {
        expect(await codeOf(resetPassword(world().db, wrong, 'a new password', at(0)))).toBe('not_found');
      }
    });
  });

  describe('API keys', () => {
    const input = { name: 'a program', permissions: ['catalog:read', 'catalog:write'] } as const;
    async function newKey(maker: Account, validSeconds: number | null = null) {
      const wanted = { name: input.name, permissions: [...input.permissions], validSeconds };
      return createApiKey(world().db, wanted, maker.id, at(0));
    }

    it('are found until they expire or are revoked', async () => {
      const maker = await newAccount('editor');
      const [forever, hour, taken] = [await newKey(maker), await newKey(maker, 3600), await newKey(maker)];
      await revokeApiKey(world().db, taken.record.id, at(1));
      const found = async (key: string, seconds: number) =>
        (await findApiKey(world().db, key, at(seconds)))?.name ?? null;
      expect(await found(forever.key, 1e9)).toBe('a program');
      expect([await found(hour.key, 3599), await found(hour.key, 3600)]).toEqual(['a program', null]);
      expect(await found(taken.key, 2)).toBeNull();
      for (const wrong of [
        '',
        'usher_',
        forever.key.slice(0, -1),
        `${forever.key}x`,
        forever.record.prefix,
      ]) {
        expect(await found(wrong, 1)).toBeNull();
      }
    });

    it('are shown once: what is kept of one is its beginning and a hash', async () => {
      const { key, record } = await newKey(await newAccount('editor'));
      expect(key).toMatch(/^usher_[A-Za-z0-9_-]{43}$/);
      expect(key.startsWith(record.prefix)).toBe(true);
      expect(record.prefix).toHaveLength(12);
      expect(JSON.stringify(await world().db.select().from(apiKeys))).not.toContain(key.slice(12));
    });

    it('may no more than whoever has made them may now', async () => {
      const maker = await newAccount('editor');
      const admin = await newAccount('admin');
      const { key } = await newKey(maker);
      const held = async () => (await findApiKey(world().db, key, at(1)))?.permissions;
      expect(await held()).toEqual(input.permissions);
      const change = (role: Role) =>
        world().db.transaction((tx) =>
          setRole(tx, { accountId: maker.id, role, held: PERMISSIONS, actorId: admin.id }),
        );
      await change('operator');
      expect(await held()).toEqual(['catalog:read']);
      await change('viewer');
      expect(await held()).toEqual([]);
    });

    it('note when they were used, right to a minute', async () => {
      const { key, record } = await newKey(await newAccount('editor'));
      const used = async () =>
        (await world().db.query.apiKeys.findFirst({ where: eq(apiKeys.id, record.id) }))?.lastUsedAt;
      expect(await used()).toBeNull();
      const seen = [];
      for (const seconds of [5, 30, 64, 65, 124]) {
        await findApiKey(world().db, key, at(seconds));
        seen.push(((await used())!.getTime() - START_MS) / 1000);
      }
      expect(seen).toEqual([5, 5, 5, 65, 65]);
    });
  });

  describe('roles', () => {
    /** By default somebody changes his own. */
    const change = (
      accountId: string,
      role: Role,
      held: readonly Permission[] = PERMISSIONS,
      actorId = accountId,
    ) => codeOf(world().db.transaction((tx) => setRole(tx, { accountId, role, held, actorId })));
    const roleOf = async ({ id }: Account) =>
      (await world().db.query.accounts.findFirst({ where: eq(accounts.id, id) }))?.role;
    /** Nobody is an admin any more. */
    const noAdmins = () => world().db.update(accounts).set({ role: 'viewer' });

    it('change, and sign the account out everywhere', async () => {
      const [account, admin] = [await newAccount(), await newAccount('admin')];
      const token = await open(account);
      expect(await change(account.id, 'finance', PERMISSIONS, admin.id)).toBe('done');
      expect([await roleOf(account), await isOpen(token)]).toEqual(['finance', false]);
      expect(await change(randomUUID(), 'finance', PERMISSIONS, admin.id)).toBe('not_found');
    });

    it('are given by nobody whose own was taken while he waited', async () => {
      const [target, former] = [await newAccount(), await newAccount('viewer')];
      expect(await change(target.id, 'admin', PERMISSIONS, former.id)).toBe('forbidden');
      expect(await change(target.id, 'finance', PERMISSIONS, randomUUID())).toBe('forbidden');
      expect(await roleOf(target)).toBe('viewer');
    });

    it('leave the last admin in his place', async () => {
      await noAdmins();
      const [one, two] = [await newAccount('admin'), await newAccount('admin')];
      expect(await change(one.id, 'viewer')).toBe('done');
      expect(await change(two.id, 'viewer')).toBe('conflict');
      expect(await change(two.id, 'admin')).toBe('done');
      expect(await roleOf(two)).toBe('admin');
    });

    it('of two admins who take each other away at once leave one', async () => {
      await noAdmins();
      const both = [await newAccount('admin'), await newAccount('admin')];
      const codes = await Promise.all(both.map(({ id }) => change(id, 'viewer')));
      expect(codes.sort()).toEqual(['conflict', 'done']);
    });

    it.each(ROLES.filter((role) => role !== 'admin'))('cannot make an admin of anybody: %s', async (role) => {
      const [target, admin] = [await newAccount(), await newAccount('admin')];
      const held = role === 'viewer' ? [] : (['accounts:write', 'catalog:read'] as const);
      expect(await change(target.id, 'admin', [...held], admin.id)).toBe('forbidden');
      expect(await roleOf(target)).toBe('viewer');
    });

    it('of those who may more are not theirs to take who may less', async () => {
      const [target, admin] = [await newAccount('finance'), await newAccount('admin')];
      expect(await change(target.id, 'viewer', ['accounts:write'], admin.id)).toBe('forbidden');
      expect(await roleOf(target)).toBe('finance');
    });

    it('are those that the table knows', async () => {
      const wrong = world().db.execute(sql`update accounts set role = 'staff'`);
      expect(isSqlState(await wrong.catch((error: unknown) => error), '23514')).toBe(true);
    });
  });

  describe('the list of accounts', () => {
    const pageOf = (filter: Parameters<typeof listAccounts>[2], limit = 100, after?: string) =>
      listAccounts(world().db, { limit, inverted: false, after }, filter);

    it('goes by the beginning of the address, whatever is in it', async () => {
      const mark = randomUUID();
      const made = ['%', '_', 'ä', 'zz', 'z', "'", '\\', 'a.b', 'a'].map(
        (text) => `${mark}${text}@example.com`,
      );
      await Promise.all(made.map((email) => newAccount('viewer', email)));
      const listed = async (emailPrefix: string) => (await pageOf({ emailPrefix })).map(({ email }) => email);
      await fc.assert(
        fc.asyncProperty(
          fc
            .constantFrom(...made, mark, `${mark}q`)
            .chain((email) =>
              fc.integer({ min: mark.length, max: email.length }).map((length) => email.slice(0, length)),
            ),
          async (prefix) => {
            const wanted = made.filter((email) => email.startsWith(prefix));
            const byBytes = wanted.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
            expect(await listed(prefix)).toEqual(byBytes);
          },
        ),
        { numRuns: 30 },
      );
    });

    it('comes in pages that leave nobody out, both ways', async () => {
      const mark = randomUUID();
      for (let index = 0; index < 7; index++) await newAccount('viewer', `${mark}${index}@example.com`);
      const all = await pageOf({ emailPrefix: mark });
      const second = await pageOf({ emailPrefix: mark }, 3, all[2]!.id);
      expect(second.map(({ id }) => id)).toEqual(all.slice(3, 6).map(({ id }) => id));
      const back = await listAccounts(
        world().db,
        { limit: 2, inverted: true, before: all[5]!.id },
        { emailPrefix: mark },
      );
      expect(back.map(({ id }) => id)).toEqual([all[4]!.id, all[3]!.id]);
    });

    it('shows one role alone, and never a hash', async () => {
      const operator = await newAccount('operator');
      const listed = await pageOf({ role: 'operator' });
      expect(listed.map(({ id }) => id)).toContain(operator.id);
      expect(new Set(listed.map(({ role }) => role))).toEqual(new Set(['operator']));
      expect(JSON.stringify(listed)).not.toContain('argon2');
    });

    it('reads an index, with and without a filter', async () => {
      const plan = async (where: ReturnType<typeof sql>) =>
        JSON.stringify(
          await world().db.transaction(async (tx) => {
            await tx.execute(sql`set local enable_seqscan = off`);
            return tx.execute(
              sql`explain select id from accounts ${where} order by (email collate "C") limit 20`,
            );
          }),
        );
      expect(await plan(sql``)).toContain('accounts_by_email');
      const prefix = sql`(email collate "C") >= 'a' and (email collate "C") < 'b'`;
      expect(await plan(sql`where ${prefix}`)).toContain('accounts_by_email');
      expect(await plan(sql`where role = 'admin' and ${prefix}`)).toContain('accounts_by_role');
    });
  });

  it('stores a session as a hash', async () => {
    const token = await open(await newAccount());
    expect(JSON.stringify(await world().db.select().from(sessions))).not.toContain(token);
  });
}
