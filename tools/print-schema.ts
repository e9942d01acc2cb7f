/** Writes the GraphQL schema as text to docs/schema.graphql: `npm run schema:print`. */
import { lexicographicSortSchema, printSchema } from 'graphql';
import { writeFileSync } from 'node:fs';
import { schema } from '../admin/graphql/schema.ts';

writeFileSync(
  new URL('../docs/schema.graphql', import.meta.url),
  `${printSchema(lexicographicSortSchema(schema))}\n`,
);
