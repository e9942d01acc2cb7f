/** Writes the GraphQL schema as text to docs/schema.graphql and docs/graphql.md: `npm run schema:print`. */
import { lexicographicSortSchema, printSchema } from 'graphql';
import { readFileSync, writeFileSync } from 'node:fs';
import { schema } from '../admin/graphql/schema.ts';
import { withReference } from './graphql-reference.ts';

const DOCS = new URL('../docs/', import.meta.url);

writeFileSync(new URL('schema.graphql', DOCS), `${printSchema(lexicographicSortSchema(schema))}\n`);
const page = new URL('graphql.md', DOCS);
writeFileSync(page, await withReference(readFileSync(page, 'utf8'), schema));
