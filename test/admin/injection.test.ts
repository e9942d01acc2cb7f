/** What is no value but a piece of a query, in every text that any operation takes; found by the schema. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { sql } from 'drizzle-orm';
import {
  buildSchema,
  getNamedType,
  getNullableType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLInputType,
} from 'graphql';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startOrderServer, type TestOrderServer } from '../support/order-server.ts';

/** SQL in and out of strings, patterns, arrays, JSON, templates, and text that is none. */
const HOSTILE = [
  "' OR '1'='1",
  "'; DROP TABLE orders; --",
  '%',
  '_%',
  '\\',
  '{"zq1","zq2"}',
  '{"$gt": ""}',
  'a\u0000b',
  '\ud800',
  '${7*7}{{7*7}}',
  'a'.repeat(20_000),
];
/** What nothing is called. */
const NOTHING = 'zqxjkvb';
/** What may be said to it; never that the server fell over it. */
const REFUSALS = new Set([
  ...['input_invalid', 'not_found', 'code_invalid', 'request_malformed', 'rate_limited'],
  ...['conflict', 'credentials_invalid', 'forbidden'],
]);

type Taken = GraphQLArgument | GraphQLInputField;

/** A value that is taken for what it is, as far as can be told without knowing what it is for. */
function sample(type: GraphQLInputType): unknown {
  const nullable = getNullableType(type);
  if (isListType(nullable)) return [];
  if (isInputObjectType(nullable)) return sampleOf(Object.values(nullable.getFields()));
  if (isEnumType(nullable)) return nullable.getValues()[0]!.name;
  const samples: Record<string, unknown> = {
    ID: randomUUID(),
    Int: 1,
    SafeInt: 1,
    Float: 1,
    Boolean: true,
    DateTime: '2026-01-01T00:00:00Z',
    String: NOTHING,
  };
  return samples[nullable.name];
}

const sampleOf = (taken: readonly Taken[]): Record<string, unknown> =>
  Object.fromEntries(
    taken.filter(({ type }) => isNonNullType(type)).map(({ name, type }) => [name, sample(type)]),
  );

const isText = (type: GraphQLInputType): boolean => ['ID', 'String'].includes(getNamedType(type).name);

/** Where an operation takes text: each place by the names that lead to it. */
function textsOf(taken: readonly Taken[], path: readonly string[] = []): string[][] {
  return taken.flatMap(({ name, type }) => {
    const inner = getNamedType(type);
    if (isInputObjectType(inner) && !isListType(getNullableType(type)))
      return textsOf(Object.values(inner.getFields()), [...path, name]);
    return isText(type) ? [[...path, name]] : [];
  });
}

/** The operation's variables with a text at one place; in a list where it takes a list. */
function withText(taken: readonly Taken[], [name = '', ...rest]: readonly string[], text: string): object {
  const type = taken.find((one) => one.name === name)!.type;
  const inner = getNamedType(type);
  const value =
    rest.length > 0 && isInputObjectType(inner)
      ? withText(Object.values(inner.getFields()), rest, text)
      : isListType(getNullableType(type))
        ? [text]
        : text;
  return { ...sampleOf(taken), [name]: value };
}

function documentOf(
  kind: 'query' | 'mutation',
  { name, args, type }: GraphQLField<unknown, unknown>,
): string {
  const declared = args.map((arg) => `$${arg.name}: ${String(arg.type)}`).join(', ');
  const passed = args.map((arg) => `${arg.name}: $${arg.name}`).join(', ');
  const answered = getNamedType(type);
  const fields =
    isObjectType(answered) && 'edges' in answered.getFields() ? 'edges { cursor }' : '__typename';
  return `${kind} (${declared}) { ${name}(${passed}) ${isLeafType(answered) ? '' : `{ ${fields} }`} }`;
}

/** These are done by and to whoever asks, and end his own session. */
const LEFT_OUT = ['signOut', 'signOutEverywhere'];

// As it is printed, which another test compares with what is served.
const schema = buildSchema(readFileSync(new URL('../../docs/schema.graphql', import.meta.url), 'utf8'));

const places = (['query', 'mutation'] as const).flatMap((kind) => {
  const type = kind === 'query' ? schema.getQueryType() : schema.getMutationType();
  return Object.values(type!.getFields())
    .filter(({ name }) => !LEFT_OUT.includes(name))
    .flatMap((field) =>
      textsOf(field.args).map((path) => ({ kind, field, path, what: `${field.name}(${path.join('.')})` })),
    );
});

let server: TestOrderServer;
let token: string;
beforeAll(async () => {
  server = await startOrderServer();
  token = await server.tokenOf('staff');
});
afterAll(() => server.close());

async function ask({ kind, field, path }: (typeof places)[number], text: string) {
  // No throttle is to hide an answer.
  server.advance(1000);
  const { data, codes } = await server.graphql(
    documentOf(kind, field),
    withText(field.args, path, text),
    token,
  );
  const answer = data?.[field.name] as { edges?: unknown[] } | null | undefined;
  return { codes, found: answer?.edges?.length ?? 0 };
}

const rows = async () => {
  const [row] = await server.db.execute(sql`select
    (select count(*) from accounts) as accounts, (select count(*) from orders) as orders,
    (select count(*) from signing_keys) as keys, (select count(*) from streaming_servers) as servers`);
  return row;
};

it.each(places)('$what takes text for what it is', async (place) => {
  const before = await rows();
  const { found } = await ask(place, NOTHING);
  for (const text of HOSTILE) {
    const answer = await ask(place, text);
    expect(
      answer.codes.filter((code) => !REFUSALS.has(code)),
      text.slice(0, 40),
    ).toEqual([]);
    // It finds no more than the name of nothing does.
    expect(answer.found, text.slice(0, 40)).toBeLessThanOrEqual(found);
  }
  expect(await rows()).toEqual(before);
});
