/** `usher keys`, `usher admin` and `usher media` as processes of their own, several at once, on one PostgreSQL. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOrderServer, type OrderServer } from '../../../admin/server.ts';
import { createEnrolmentCode } from '../../../admin/trust/enrolment.ts';
import { deactivateServer, findMessageKeys } from '../../../admin/trust/servers.ts';
import { createAccount } from '../../../admin/accounts/accounts.ts';
import { signIn } from '../../../admin/accounts/credentials.ts';
import { listAudit } from '../../../admin/audit/queries.ts';
import { openDatabase } from '../../../admin/db/connect.ts';
import { generateMasterKey } from '../../../plugin/key-vault.ts';
import { testConfig } from '../../support/order-server.ts';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { freePorts } from '../../support/stack.ts';

const CLI = join(import.meta.dirname, '..', '..', '..', 'admin', 'cli.ts');
const MASTER = generateMasterKey();
let cluster: TestPostgres;
let dataDir: string;
beforeAll(async () => {
  [cluster, dataDir] = await Promise.all([startPostgres(), mkdtemp(join(tmpdir(), 'usher-cli-'))]);
});
afterAll(async () => {
  await cluster.stop();
  await rm(dataDir, { recursive: true, force: true });
});

interface Ran {
  readonly code: number | string | null | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

function usher(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const settings = {
    PATH: process.env['PATH'],
    DATABASE_URL: cluster.url,
    USHER_DATA: dataDir,
    USHER_MASTER_KEY: MASTER,
    USHER_MEDIA_DATA: join(dataDir, 'media'),
    ...env,
  };
  return new Promise((done) => {
    execFile(process.execPath, [CLI, ...args], { env: settings }, (error, stdout, stderr) => {
      done({ code: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

describe('usher keys', () => {
  it('prints a master key, a new one each time', async () => {
    const [one, two] = await Promise.all([
      usher(['keys', 'generate-master']),
      usher(['keys', 'generate-master']),
    ]);
    expect(one.stdout).toMatch(/^[A-Za-z0-9_-]{43}\n$/);
    expect(one.stdout).not.toBe(two.stdout);
  });

  it('rotates once, however many processes ask at once, which also make the first key together', async () => {
    const all = await Promise.all(
      Array.from({ length: 4 }, () => usher(['keys', 'rotate', '--alg', 'ES256'])),
    );
    expect(all.map(({ code }) => code).sort()).toEqual([0, 1, 1, 1]);
    const { stdout } = await usher(['keys', 'list']);
    expect(stdout.trim().split('\n')).toEqual([
      expect.stringMatching(/^[A-Za-z0-9_-]{43} {2}ES256 {2}next {2}/),
      expect.stringMatching(/^[A-Za-z0-9_-]{43} {2}Ed25519 {2}current {2}/),
    ]);
  });

  it('says in one line that the master key is another one', async () => {
    const { code, stderr } = await usher(['keys', 'rotate'], { USHER_MASTER_KEY: generateMasterKey() });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^usher: the key .* is encrypted under another master key than USHER_MASTER_KEY.*\n$/,
    );
  });

  it('changes over to another master key', async () => {
    const other = generateMasterKey();
    const changed = { USHER_MASTER_KEY: other, USHER_MASTER_KEY_OLD: MASTER };
    expect((await usher(['keys', 'rotate', '--compromised'], changed)).code).toBe(0);
    expect((await usher(['keys', 'rotate'])).code).toBe(1);
    expect((await usher(['keys', 'rotate'], { USHER_MASTER_KEY: other })).code).toBe(0);
  });

  it('ends with 2 when it is used wrongly', async () => {
    const { code, stderr } = await usher(['keys', 'rotate', '--alg', 'RS256']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^usher: --alg is Ed25519 or ES256\n\nusher keys rotate \[--alg/);
  });
});

describe('usher admin create', () => {
  const EMAIL = 'first.admin@example.com';

  it('opens an account that may do everything, and shows the password it has made once', async () => {
    const { code, stdout, stderr } = await usher(['admin', 'create', 'First.Admin@example.com']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [, password = ''] = /^Password, shown this once: (\S{24})$/m.exec(stdout) ?? [];
    const database = await openDatabase({ kind: 'postgres', url: cluster.url });
    const { account } = await signIn(database.db, {
      email: EMAIL,
      password,
      now: new Date(),
      userAgent: null,
    });
    expect(account).toMatchObject({ email: EMAIL, role: 'admin' });
    const entries = await listAudit(
      database.db,
      { limit: 10, inverted: false },
      { objectType: 'account', objectId: account.id },
    );
    expect(entries).toMatchObject([
      { action: 'account.create', actorKind: 'system', after: { email: EMAIL, role: 'admin' } },
    ]);
    await database.close();
  });

  it.each([
    [[EMAIL], 1, /^usher: there is an account with this address already\n$/],
    [['no address'], 1, /^usher: email: /],
    [[], 2, /^usher: one EMAIL is needed\n/],
    [[EMAIL, '--role', 'admin'], 2, /--role/],
  ])('refuses %s', async (args, code, message) => {
    const refused = await usher(['admin', 'create', ...args]);
    expect(refused.code).toBe(code);
    expect(refused.stderr).toMatch(message);
  });
});

describe('usher media', () => {
  let orders: OrderServer;
  let url: string;
  let masterKey: string;
  let staff: string;
  beforeAll(async () => {
    const [port = 0] = await freePorts(1);
    url = `http://localhost:${String(port)}`;
    masterKey = generateMasterKey();
    const log = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: () => undefined,
    };
    orders = await createOrderServer(testConfig(join(dataDir, 'orders'), { port, publicUrl: url }), log);
    const login = { email: 'staff@example.com', password: 'correct horse battery', name: 'Staff' };
    staff = (await createAccount(orders.db, login, 'admin', new Date())).id;
  });
  afterAll(() => orders.close());

  const env = () => ({
    USHER_ORDER_SERVER_URL: url,
    USHER_SERVER_ID: 'ss-cli',
    USHER_MEDIA_MASTER_KEY: masterKey,
  });
  const keysKnown = async () =>
    (await findMessageKeys(orders.db, 'ss-cli', new Date())).map(({ kid }) => kid);

  it('enrols with a code, once, with keys that are encrypted in their file', async () => {
    const { code } = await createEnrolmentCode(orders.db, 'ss-cli', staff, new Date());
    const first = await usher(['media', 'enrol', '--order-server', url, '--code', code], {
      ...env(),
      USHER_ORDER_SERVER_URL: undefined,
    });
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toMatch(
      /^ss-cli has enrolled with .*, whose keys are pinned:\n {2}[A-Za-z0-9_-]{43}\n$/,
    );
    expect(await keysKnown()).toHaveLength(1);
    expect(await readFile(join(dataDir, 'media', 'server-keys.json'), 'utf8')).not.toContain('"d":');

    const thief = { ...env(), USHER_MEDIA_DATA: join(dataDir, 'thief'), USHER_ENROLMENT_CODE: code };
    const second = await usher(['media', 'enrol'], thief);
    expect(second).toMatchObject({ code: 1, stderr: 'usher: The enrolment code is not valid\n' });
  });

  it('changes the keys', async () => {
    const before = await keysKnown();
    const { code, stdout } = await usher(['media', 'rotate-keys'], env());
    expect(code).toBe(0);
    expect(stdout).toMatch(/^The keys are new\. The old one opens tickets until 20/);
    const after = await keysKnown();
    expect(after).toHaveLength(2);
    expect(after[1]).toBe(before[0]);
  });

  it('says in one line what is wrong', async () => {
    await deactivateServer(orders.db, 'ss-cli');
    const refused = await usher(['media', 'rotate-keys'], env());
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^usher: The message is not signed by a registered server.*\n$/);
    const outside = { ...env(), USHER_ORDER_SERVER_URL: 'http://orders.example' };
    const plain = await usher(['media', 'enrol', '--code', `ec_${'A'.repeat(22)}`], outside);
    expect(plain.stderr).toMatch(/^usher: This goes over TLS only/);
  });
});
