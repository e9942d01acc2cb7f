/** Accounts over HTTP: cookies, mails, keys, and what must not work (OWASP's negative cases). */
import { randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createAccount } from '../../admin/accounts/accounts.ts';
import { PERMISSIONS, type Role } from '../../admin/accounts/permissions.ts';
import { PUBLIC_URL, startOrderServer, type Json, type TestOrderServer } from '../support/order-server.ts';

let server: TestOrderServer;
beforeAll(async () => {
  server = await startOrderServer();
});
afterAll(() => server.close());

const PASSWORD = 'correct horse battery';
const SIGN_IN =
  'mutation ($email: String!, $password: String!) { signIn(email: $email, password: $password) { token account { id role } } }';
const ME = '{ me { email } }';

/** An account that nobody else uses. */
async function person(role: Role = 'viewer') {
  const email = `${randomUUID()}@example.com`;
  const { id } = await createAccount(
    server.db,
    { email, password: PASSWORD, name: 'Somebody' },
    role,
    new Date(),
  );
  const signIn = async (password = PASSWORD) => {
    // One address may sign in every 2 seconds, after the first sixty; here everybody has the same.
    server.advance(2000);
    const { data, codes } = await server.graphql(SIGN_IN, { email, password });
    return { token: String(data?.['signIn']?.['token']), codes };
  };
  return { id, email, signIn, token: (await signIn()).token };
}

const isIn = async (token: string) => (await server.graphql(ME, {}, token)).data!['me'] !== null;

/** One raw request. */
function post(query: string, headers: Record<string, string> = {}, to = server) {
  return fetch(`${to.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ query }),
  });
}
const signInCall = (email: string) =>
  `mutation { signIn(email: "${email}", password: "${PASSWORD}") { token } }`;
const cookieOf = (response: Response) => (response.headers.get('set-cookie') ?? '').split(';')[0]!;

describe('cookies', () => {
  it('sign in anew with a token of their own: one that was planted before is worth nothing', async () => {
    const [own, planted] = [await person(), await person()];
    const first = cookieOf(await post(signInCall(planted.email)));
    const second = cookieOf(await post(signInCall(own.email), { cookie: first }));
    expect(second).not.toBe(first);
    const seen = async (cookie: string) =>
      ((await (await post(ME, { cookie })).json()) as Json)['data']!['me'];
    expect(await seen(second)).toEqual({ email: own.email });
    expect(await seen(first)).toBeNull();
  });

  it.each([
    ['another origin', { origin: 'https://evil.example' }, 403],
    ['an opaque origin', { origin: 'null' }, 403],
    ['the same host by another scheme', { origin: PUBLIC_URL.replace('http:', 'https:') }, 403],
    ['another site, as the browser says', { 'sec-fetch-site': 'cross-site' }, 403],
    ['a sibling host, as the browser says', { 'sec-fetch-site': 'same-site' }, 403],
    ['what a form can send', { 'content-type': 'text/plain' }, 415],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 415],
  ])('do nothing for %s', async (_what, headers, status) => {
    const { email } = await person();
    const cookie = cookieOf(await post(signInCall(email)));
    const response = await post('mutation { signOutEverywhere }', { cookie, ...headers });
    expect(response.status).toBe(status);
    expect(((await (await post(ME, { cookie })).json()) as Json)['data']).toEqual({ me: { email } });
  });

  it('work for the own page', async () => {
    const { email } = await person();
    const cookie = cookieOf(await post(signInCall(email)));
    const headers = { cookie, origin: PUBLIC_URL, 'sec-fetch-site': 'same-origin' };
    expect(await (await post(ME, headers)).json()).toEqual({ data: { me: { email } } });
  });

  it('change nothing by GET', async () => {
    const query = encodeURIComponent('mutation { signOut }');
    const response = await fetch(`${server.url}/graphql?query=${query}`);
    expect(response.status).toBe(405);
    await response.body?.cancel();
  });

  it.each([
    ['https://shop.example', '__Host-usher_session', 'Path=/;'],
    ['https://shop.example/tv', '__Secure-usher_session', 'Path=/tv/;'],
  ])('of %s are for TLS, and by their name for nobody else to set', async (publicUrl, name, path) => {
    await using secure = disposable(await startOrderServer({ publicUrl }));
    const url = publicUrl.replace('https://shop.example', secure.server.url);
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        query: 'mutation { signIn(email: "viewer@example.com", password: "demo-viewer-1") { token } }',
      }),
    });
    const cookie = response.headers.get('set-cookie') ?? '';
    for (const part of [`${name}=`, path, 'HttpOnly', 'Secure', 'SameSite=Strict'])
      expect(cookie).toContain(part);
    expect(cookie).not.toContain('Domain');
    const token = cookie.split(';')[0]!.split('=')[1]!;
    const meBy = async (header: string) => {
      const answer = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', cookie: header },
        body: JSON.stringify({ query: ME }),
      });
      return ((await answer.json()) as Json)['data']!['me'];
    };
    expect(await meBy(`${name}=${token}`)).toEqual({ email: 'viewer@example.com' });
    expect(await meBy(`usher_session=${token}`)).toBeNull();
  });
});

function disposable(started: TestOrderServer) {
  return { server: started, [Symbol.asyncDispose]: () => started.close() };
}

describe('what an account is', () => {
  it.each(['role: ADMIN', 'role: "admin"', 'permissions: ["accounts:write"]', 'id: "x"', 'isStaff: true'])(
    'is not for whoever signs up to say: %s',
    async (extra) => {
      const email = `${randomUUID()}@example.com`;
      const { codes } = await server.graphql(
        `mutation { signUp(email: "${email}", password: "${PASSWORD}", name: "x", ${extra}) { token } }`,
      );
      expect(codes).toEqual(['request_malformed']);
      expect((await server.graphql(SIGN_IN, { email, password: PASSWORD })).codes).toEqual([
        'credentials_invalid',
      ]);
    },
  );

  it('is a viewer without permissions after signing up', async () => {
    const { data } = await server.graphql(
      `mutation { signUp(email: "${randomUUID()}@example.com", password: "${PASSWORD}", name: "x") { account { role permissions } } }`,
    );
    expect(data).toEqual({ signUp: { account: { role: 'VIEWER', permissions: [] } } });
  });

  it('changes by an admin, who is noted; its sessions end', async () => {
    const target = await person();
    const admin = await person('admin');
    const call = 'mutation ($id: ID!, $role: Role!) { setRole(accountId: $id, role: $role) { email role } }';
    const done = await server.graphql(call, { id: target.id, role: 'EDITOR' }, admin.token);
    expect(done.data).toEqual({ setRole: { email: target.email, role: 'EDITOR' } });
    expect(await isIn(target.token)).toBe(false);
    const { data } = await server.graphql(
      `query ($filter: AuditFilter) { auditLog(filter: $filter) { edges { node {
         action actorKind actorId actorName before after } } } }`,
      { filter: { objectType: 'account', objectId: target.id } },
      admin.token,
    );
    expect(data!['auditLog']!['edges']).toEqual([
      {
        node: {
          action: 'account.set_role',
          actorKind: 'ACCOUNT',
          actorId: admin.id,
          actorName: admin.email,
          before: '{"role":"viewer"}',
          after: '{"role":"editor"}',
        },
      },
    ]);
  });

  it('that was taken away is of no use to what comes later in the same document', async () => {
    const [admin, accomplice] = [await person('admin'), await person()];
    const { data, codes } = await server.graphql(
      `mutation { a: setRole(accountId: "${admin.id}", role: VIEWER) { role }
                  b: setRole(accountId: "${accomplice.id}", role: ADMIN) { role } }`,
      {},
      admin.token,
    );
    expect(codes).toEqual(['unauthenticated']);
    expect(data).toBeNull();
    const of = await server.graphql('{ me { role } }', {}, accomplice.token);
    expect(of.data).toEqual({ me: { role: 'VIEWER' } });
  });

  it.each(['viewer', 'editor', 'finance', 'operator'] as const)(
    'cannot be raised by its own owner: %s',
    async (role) => {
      const { id, token } = await person(role);
      const call = `mutation { setRole(accountId: "${id}", role: ADMIN) { role } }`;
      expect((await server.graphql(call, {}, token)).codes).toEqual(['forbidden']);
    },
  );

  it('is found by staff by the beginning of its address', async () => {
    const { email } = await person();
    const { data } = await server.graphql(
      'query ($emailPrefix: String) { accounts(emailPrefix: $emailPrefix) { edges { node { email role } } } }',
      { emailPrefix: email.slice(0, 20).toUpperCase() },
      await server.tokenOf('staff'),
    );
    expect(data!['accounts']!['edges']).toEqual([{ node: { email, role: 'VIEWER' } }]);
  });
});

describe('own sessions', () => {
  const LIST = '{ mySessions { id current userAgent } }';

  it('are listed, and ended one by one or together', async () => {
    const { token, signIn } = await person();
    const [second, third] = [(await signIn()).token, (await signIn()).token];
    const listed = async (by: string) => {
      const { data } = await server.graphql(LIST, {}, by);
      return data!['mySessions'] as unknown as { id: string; current: boolean }[];
    };
    const all = await listed(token);
    expect(all.map(({ current }) => current)).toEqual([false, false, true]);
    const newest = { id: all[0]!.id };
    const END = 'mutation ($id: ID!) { endMySession(id: $id) }';
    const stranger = await person();
    expect((await server.graphql(END, newest, stranger.token)).data).toEqual({ endMySession: false });
    expect((await server.graphql(END, newest, token)).data).toEqual({ endMySession: true });
    expect(await Promise.all([token, second, third].map(isIn))).toEqual([true, true, false]);
    expect((await server.graphql('mutation { signOutEverywhere }', {}, second)).data).toEqual({
      signOutEverywhere: 2,
    });
    expect(await Promise.all([token, second, stranger.token].map(isIn))).toEqual([false, false, true]);
  });
});

describe('passwords', () => {
  const REQUEST = 'mutation ($email: String!) { requestPasswordReset(email: $email) }';
  const RESET =
    'mutation ($token: String!, $newPassword: String!) { resetPassword(token: $token, newPassword: $newPassword) }';
  const mailsTo = async (email: string) => {
    const directory = join(server.dataDir, 'mail');
    const names = await readdir(directory).catch(() => []);
    const texts = await Promise.all(names.sort().map((name) => readFile(join(directory, name), 'utf8')));
    return texts.filter((text) => text.includes(`To: ${email}`));
  };

  it('change with the current one; other sessions end, and a mail tells of it', async () => {
    const { email, token, signIn } = await person();
    const other = (await signIn()).token;
    const CHANGE =
      'mutation ($a: String!, $b: String!) { changePassword(currentPassword: $a, newPassword: $b) }';
    const change = async (a: string, b: string) => (await server.graphql(CHANGE, { a, b }, token)).codes;
    expect(await change('wrong', 'a new password')).toEqual(['credentials_invalid']);
    expect(await change(PASSWORD, 'short')).toEqual(['input_invalid']);
    expect(await change(PASSWORD, 'a new password')).toEqual([]);
    expect(await Promise.all([isIn(token), isIn(other)])).toEqual([true, false]);
    expect((await signIn()).codes).toEqual(['credentials_invalid']);
    expect((await signIn('a new password')).codes).toEqual([]);
    await vi.waitFor(async () => {
      expect((await mailsTo(email)).join()).toContain('Subject: Your password was changed');
    });
  });

  it('that are guessed at in an open browser are throttled as at the door', async () => {
    const { token } = await person();
    const codes = [];
    for (let count = 0; count < 11; count++) {
      const guess = 'mutation { changePassword(currentPassword: "x", newPassword: "a new password") }';
      codes.push((await server.graphql(guess, {}, token)).codes[0]);
    }
    expect(codes.at(-1)).toBe('rate_limited');
  });

  it('that were forgotten are replaced by a mail, whose link works once', async () => {
    const { email, token, signIn } = await person();
    expect((await server.graphql(REQUEST, { email: email.toUpperCase() })).data).toEqual({
      requestPasswordReset: true,
    });
    const link = await vi.waitFor(async () => {
      const [text = ''] = await mailsTo(email);
      return new RegExp(`${PUBLIC_URL}/#/reset/([A-Za-z0-9_-]{43})`).exec(text.replaceAll('=\r\n', ''))![1]!;
    });
    const reset = async (newPassword: string) =>
      (await server.graphql(RESET, { token: link, newPassword })).codes;
    expect(await reset('short')).toEqual(['input_invalid']);
    expect(await reset('a new password')).toEqual([]);
    expect(await reset('another password')).toEqual(['not_found']);
    expect(await isIn(token)).toBe(false);
    expect((await signIn('a new password')).codes).toEqual([]);
    expect(JSON.stringify(server.logged)).not.toContain(link);
  });

  it('answer alike whether there is such an account, and mail nobody who has none', async () => {
    const [known, unknown] = [(await person()).email, `${randomUUID()}@example.com`];
    const answers = [];
    for (const email of [unknown, known]) answers.push(await server.graphql(REQUEST, { email }));
    expect(answers[0]).toEqual(answers[1]);
    // Mails leave in their order: the stranger's would have been before this one.
    await vi.waitFor(async () => {
      expect(await mailsTo(known)).toHaveLength(1);
    });
    expect(await mailsTo(unknown)).toEqual([]);
  });

  it('are mailed for three times, then once each 20 minutes, known or not', async () => {
    for (const email of [(await person()).email, `${randomUUID()}@example.com`]) {
      const codes = [];
      for (let count = 0; count < 4; count++) codes.push((await server.graphql(REQUEST, { email })).codes[0]);
      expect(codes).toEqual([undefined, undefined, undefined, 'rate_limited']);
    }
    expect((await server.graphql(REQUEST, { email: 'no address' })).codes).toEqual(['input_invalid']);
  });
});

describe('API keys', () => {
  const CREATE = `mutation ($permissions: [String!]!, $validSeconds: Int) {
    createApiKey(name: "a program", permissions: $permissions, validSeconds: $validSeconds) {
      key apiKey { id prefix permissions expiresAt lastUsedAt } } }`;
  async function newKey(permissions: readonly string[], by: string, validSeconds: number | null = null) {
    const { data, codes } = await server.graphql(CREATE, { permissions, validSeconds }, by);
    const created = data?.['createApiKey'];
    return { codes, key: String(created?.['key']), id: String(created?.['apiKey']?.['id']) };
  }
  const SERVERS = '{ streamingServers { id } }';

  it('do what they are for, and nothing else', async () => {
    const { key, codes } = await newKey(['servers:read'], await server.tokenOf('staff'));
    expect(codes).toEqual([]);
    expect((await server.graphql(SERVERS, {}, key)).codes).toEqual([]);
    expect((await server.graphql('{ apiKeys { edges { node { id } } } }', {}, key)).codes).toEqual([
      'forbidden',
    ]);
    expect((await server.graphql('{ mySessions { id } }', {}, key)).codes).toEqual(['forbidden']);
    expect((await server.graphql(ME, {}, key)).data).toEqual({ me: null });
  });

  it('are no cookies', async () => {
    const { key } = await newKey(['servers:read'], await server.tokenOf('staff'));
    const response = await post(SERVERS, { cookie: `usher_session=${key}` });
    expect(((await response.json()) as Json)['data']).toBeNull();
  });

  it('are listed without themselves, and taken back at once', async () => {
    const staff = await server.tokenOf('staff');
    const { key, id } = await newKey(['servers:read'], staff);
    await server.graphql(SERVERS, {}, key);
    const LIST = '{ apiKeys(first: 1) { edges { node { id prefix lastUsedAt revokedAt } } } }';
    const { data } = await server.graphql(LIST, {}, staff);
    expect(data!['apiKeys']!['edges']).toEqual([
      { node: { id, prefix: key.slice(0, 12), lastUsedAt: expect.any(String) as string, revokedAt: null } },
    ]);
    const REVOKE = 'mutation ($id: ID!) { revokeApiKey(id: $id) { revokedAt } }';
    for (let count = 0; count < 2; count++) {
      expect((await server.graphql(REVOKE, { id }, staff)).codes).toEqual([]);
    }
    expect((await server.graphql(SERVERS, {}, key)).codes).toEqual(['unauthenticated']);
    expect((await server.graphql(REVOKE, { id: randomUUID() }, staff)).codes).toEqual(['not_found']);
  });

  it('end when they were to end', async () => {
    const { key } = await newKey(['servers:read'], await server.tokenOf('staff'), 3600);
    server.advance(3599_000);
    expect((await server.graphql(SERVERS, {}, key)).codes).toEqual([]);
    server.advance(1000);
    expect((await server.graphql(SERVERS, {}, key)).codes).toEqual(['unauthenticated']);
    server.advance(-3600_000);
  });

  it.each([
    [['accounts:write'], 'forbidden'],
    [['keys:write', 'finance:write'], 'forbidden'],
    [['everything'], 'input_invalid'],
    [[], 'input_invalid'],
  ])('cannot be made with more than their maker may: %s', async (permissions, code) => {
    const { token } = await person('operator');
    expect((await newKey(permissions, token)).codes).toEqual([code]);
  });

  it('make no keys, and no admins', async () => {
    const { key } = await newKey(['keys:write', 'accounts:write'], await server.tokenOf('staff'));
    expect((await newKey(['keys:write'], key)).codes).toEqual(['forbidden']);
    const { id } = await person();
    const call = `mutation { setRole(accountId: "${id}", role: ADMIN) { role } }`;
    expect((await server.graphql(call, {}, key)).codes).toEqual(['forbidden']);
  });

  it('lose what their maker loses', async () => {
    const maker = await person('operator');
    const { key } = await newKey(['servers:read'], maker.token);
    const demote = `mutation { setRole(accountId: "${maker.id}", role: VIEWER) { role } }`;
    await server.graphql(demote, {}, await server.tokenOf('staff'));
    expect((await server.graphql(SERVERS, {}, key)).codes).toEqual(['forbidden']);
  });

  it('with every permission may what an admin may, and stand in the audit log by their name', async () => {
    const staff = await server.tokenOf('staff');
    const { key, id } = await newKey(PERMISSIONS, staff);
    const credited = await server.graphql(
      `mutation { creditAccount(email: "second@example.com", amountMinor: 5, currency: "EUR",
         idempotencyKey: "by-a-key-1") { currency } }`,
      {},
      key,
    );
    expect(credited.codes).toEqual([]);
    const { data } = await server.graphql(
      `query ($id: ID) { auditLog(filter: { actorId: $id }) { edges { node {
         action actorKind actorName after } } } }`,
      { id },
      key,
    );
    expect(data!['auditLog']!['edges']).toEqual([
      {
        node: {
          action: 'account.credit',
          actorKind: 'API_KEY',
          actorName: 'a program',
          after: '{"currency":"EUR","amountMinor":5}',
        },
      },
    ]);
  });
});
