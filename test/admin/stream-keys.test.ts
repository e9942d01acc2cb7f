import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { hashStreamKey, isStreamKey } from '../../plugin/ticket/index.ts';
import { startOrderServer, type TestOrderServer } from '../support/order-server.ts';

let server: TestOrderServer;
let token: string;
let paths = 0;
beforeAll(async () => {
  server = await startOrderServer();
  token = await server.tokenOf('staff');
});
afterAll(() => server.close());

async function ask(query: string, variables: object): Promise<unknown> {
  const { data, codes } = await server.graphql(query, { ...variables }, token);
  if (codes.length > 0) throw new Error(codes.join());
  return Object.values(data ?? {})[0];
}

async function newTitle(): Promise<{ titleId: string; uri: string; key: string }> {
  const uri = `/live/keys${String(paths++)}`;
  const title = await ask('mutation ($input: TitleInput!) { createTitle(input: $input) { id } }', {
    input: { path: uri, name: 'Keys' },
  });
  const { id: titleId } = title as { id: string };
  const key = await ask('mutation ($titleId: ID!) { createStreamKey(titleId: $titleId) }', { titleId });
  return { titleId, uri, key: String(key) };
}

async function rotate(titleId: string, keepOldSeconds?: number): Promise<string> {
  return String(
    await ask(
      'mutation ($titleId: ID!, $keepOldSeconds: Int) { rotateStreamKey(titleId: $titleId, keepOldSeconds: $keepOldSeconds) }',
      { titleId, keepOldSeconds },
    ),
  );
}

async function listed(titleId: string): Promise<{ id: string; revokedAt: string | null }[]> {
  const keys = await ask('query ($titleId: ID!) { streamKeys(titleId: $titleId) { id revokedAt } }', {
    titleId,
  });
  return keys as { id: string; revokedAt: string | null }[];
}

async function publishing(uri: string, key: string): Promise<number> {
  const payload = { op: 'publish', session: randomUUID(), uri, keyHash: hashStreamKey(key) };
  return (await server.send('/v1/redemptions', 'redemption+jwt', payload)).status;
}

it('puts a new key in the place of the old one', async () => {
  const { titleId, uri, key } = await newTitle();
  const next = await rotate(titleId);
  expect(isStreamKey(next)).toBe(true);
  expect([await publishing(uri, key), await publishing(uri, next)]).toEqual([403, 200]);
});

it('keeps the old key for as long as it was told', async () => {
  const { titleId, uri, key } = await newTitle();
  const next = await rotate(titleId, 3600);
  expect([await publishing(uri, key), await publishing(uri, next)]).toEqual([200, 200]);
  const [newest, old] = await listed(titleId);
  expect(newest?.revokedAt).toBeNull();
  const remainingMs = new Date(old?.revokedAt ?? 0).getTime() - Date.now();
  expect(remainingMs).toBeGreaterThan(3_500_000);
  // A second rotation shortens the time, and does not lengthen it.
  await rotate(titleId, 0);
  expect([await publishing(uri, key), await publishing(uri, next)]).toEqual([403, 403]);
  await rotate(titleId, 3600);
  expect(await publishing(uri, key)).toBe(403);
});

it('takes one key back and leaves the others', async () => {
  const { titleId, uri, key } = await newTitle();
  const other = String(
    await ask('mutation ($titleId: ID!) { createStreamKey(titleId: $titleId) }', { titleId }),
  );
  const [newest] = await listed(titleId);
  await ask('mutation ($id: ID!) { revokeStreamKey(id: $id) }', { id: newest?.id });
  expect([await publishing(uri, key), await publishing(uri, other)]).toEqual([200, 403]);
});

it.each([-1, 30 * 24 * 3600 + 1])('refuses to keep the old keys for %i seconds', async (keepOldSeconds) => {
  const { titleId } = await newTitle();
  await expect(rotate(titleId, keepOldSeconds)).rejects.toThrow('input_invalid');
});

it.each([
  ['rotate a key', 'mutation ($id: ID!) { rotateStreamKey(titleId: $id) }'],
  ['revoke a key', 'mutation ($id: ID!) { revokeStreamKey(id: $id) }'],
])('cannot %s of what is not there', async (_what, query) => {
  await expect(ask(query, { id: randomUUID() })).rejects.toThrow('not_found');
});
