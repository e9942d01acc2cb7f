import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MAX_ALIASES, MAX_ANSWER_FIELDS, MAX_DEPTH } from '../../admin/graphql/limits.ts';
import { startOrderServer, type TestOrderServer } from '../support/order-server.ts';

let server: TestOrderServer;
beforeAll(async () => {
  server = await startOrderServer();
});
afterAll(() => server.close());

describe('documents that cost too much', () => {
  const deep = `{ ${'me { orders { edges { node { '.repeat(4)} id ${'} } } }'.repeat(4)} }`;
  const bomb = [
    '{ ...f0 }',
    ...Array.from({ length: 20 }, (_, n) => `fragment f${n} on Query { ${`...f${n + 1} `.repeat(10)} }`),
    'fragment f20 on Query { me { id } }',
  ].join('\n');

  it.each([
    [`more than ${MAX_DEPTH} levels`, deep],
    [
      `more than ${MAX_ALIASES} aliases`,
      `{ ${Array.from({ length: MAX_ALIASES + 1 }, (_, n) => `a${n}: me { id }`).join(' ')} }`,
    ],
    ['more tokens than allowed', `{ ${'me { id } '.repeat(600)} }`],
    ['fragments that multiply', bomb],
    ['a fragment that spreads itself', '{ ...a } fragment a on Query { me { id } ...a }'],
    [
      'two fragments that spread each other',
      '{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }',
    ],
    ['nesting that overflows a stack', '{a'.repeat(20_000)],
    ['nested lists of values', `{ title(path: ${'['.repeat(1500)}${']'.repeat(1500)}) { id } }`],
    [
      '30 sign-ins in a document of their own names',
      `mutation { ${Array.from({ length: 31 }, (_, n) => `a${n}: signOut`).join(' ')} }`,
    ],
  ])('are refused quickly: %s', async (_what, query) => {
    const startedMs = performance.now();
    const { status, codes } = await server.graphql(query);
    expect({ status, code: codes[0] }).toEqual({ status: 400, code: 'request_malformed' });
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });

  it.each([
    [
      'pages within pages',
      '{ catalog(first: 100) { edges { node { a: catalog(first: 100) { edges { node { id name } } } } } } }',
    ],
    [
      'pages within pages whose sizes are variables',
      'query ($n: Int) { catalog(first: $n) { edges { node { ...t } } } } fragment t on Title { catalog(last: $n) { edges { node { id name } } } }',
    ],
    [
      'pages within pages beside one of fewer entries than none, that never runs',
      `{ x: catalog(first: -2000000000) @skip(if: true) { edges { node { id } } }
         catalog(first: 100) { edges { node { a: catalog(first: 100) { edges { node { id name } } } } } } }`,
    ],
    [
      'pages within pages whose edges are in fragments',
      `{ catalog { ...a } }
       fragment a on QueryCatalogConnection { edges { node { catalog { ...b } } } }
       fragment b on QueryCatalogConnection { edges { node { catalog { ...c } } } }
       fragment c on QueryCatalogConnection { ... { edges { node { id name path kind } } } }`,
    ],
  ])('are refused for the size of their answer: %s', async (_what, query) => {
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
    });
    const { errors } = (await response.json()) as { errors: { message: string }[] };
    expect(response.status).toBe(400);
    expect(errors.map(({ message }) => message)).toEqual([
      `the document has more than ${MAX_ANSWER_FIELDS} fields in its answer`,
    ]);
  });

  it('pages are bounded', async () => {
    const { codes, data } = await server.graphql('{ catalog(first: 1000000) { edges { cursor } } }');
    expect(codes).toEqual([]);
    expect((data!['catalog']!['edges'] as unknown as unknown[]).length).toBeLessThanOrEqual(100);
  });

  it('the introspection query of GraphiQL still passes', async () => {
    const { getIntrospectionQuery } = await import('graphql');
    expect((await server.graphql(getIntrospectionQuery())).codes).toEqual([]);
  });
});

describe('errors', () => {
  it.each([
    ['a NUL in a path', '{ title(path: "/live/a\\u0000") { id } }'],
    ['a NUL in a cursor', '{ catalog(first: 5, after: "\\u0000") { edges { cursor } } }'],
    [
      'a NUL in a name',
      'mutation { signUp(email: "nul@example.com", password: "a long password", name: "\\u0000") { token } }',
    ],
    [
      'a NUL in an address',
      'mutation { signUp(email: "\\u0000@example.com", password: "a long password", name: "x") { token } }',
    ],
    ['a page that goes backwards without end', '{ catalog(last: -1) { edges { cursor } } }'],
  ])('of the client are not ours: %s', async (_what, query) => {
    const { codes } = await server.graphql(query);
    expect(codes).toHaveLength(1);
    expect(['input_invalid', 'request_malformed']).toContain(codes[0]);
    expect(server.logged.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('nobody expected are hidden from the client and logged', async () => {
    await server.db.execute(sql`alter table titles rename to titles_away`);
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"query":"{ catalog { edges { cursor } } }"}',
    });
    const body = await response.text();
    await server.db.execute(sql`alter table titles_away rename to titles`);
    expect(body).toContain('"code":"internal"');
    expect(body).not.toContain('relation');
    expect(body).not.toContain('select');
    // Statements come with their parameters, which are nobody's business either.
    expect(JSON.stringify(server.logged)).not.toContain('params');
    expect(server.logged.filter(({ level }) => level === 'error')).toHaveLength(1);
  });
});
