import { generateDrizzleJson, generateMigration } from 'drizzle-kit/api';
import type * as Graphql from 'graphql';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, it } from 'vitest';
import * as tables from '../../admin/db/schema.ts';
import { schema } from '../../admin/graphql/schema.ts';

// As Node resolves it, for Pothos too; Vite would take graphql's other copy, which knows no type of this one.
const { lexicographicSortSchema, printSchema } = createRequire(import.meta.url)('graphql') as typeof Graphql;

const folder = new URL('../../migrations/meta/', import.meta.url);

it('the migrations make the tables of the schema: npm run migrations:generate has nothing to add', async () => {
  const newest = readdirSync(folder)
    .filter((name) => name.endsWith('_snapshot.json'))
    .sort()
    .at(-1)!;
  const before = JSON.parse(readFileSync(new URL(newest, folder), 'utf8')) as Parameters<
    typeof generateMigration
  >[0];
  expect(await generateMigration(before, generateDrizzleJson(tables, before.id))).toEqual([]);
});

it('docs/schema.graphql is what the server serves: npm run schema:print has nothing to change', () => {
  const text = readFileSync(new URL('../../docs/schema.graphql', import.meta.url), 'utf8');
  expect(text).toBe(`${printSchema(lexicographicSortSchema(schema))}\n`);
});

it('no SQL is newer than PostgreSQL 15', () => {
  const sql = readdirSync(new URL('../../migrations/', import.meta.url))
    .filter((name) => name.endsWith('.sql'))
    .map((name) => readFileSync(new URL(`../../migrations/${name}`, import.meta.url), 'utf8'))
    .join('\n');
  expect(sql).not.toMatch(/uuidv7|uuidv4\(|virtual generated|any_value|json_table|merge into/i);
});

it('no field of the API is named for a secret that is stored', () => {
  expect(printSchema(schema)).not.toMatch(/passwordHash|privateJwk|tokenHash|keyHash/);
});
