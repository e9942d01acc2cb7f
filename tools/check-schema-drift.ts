/** Fails if admin/db/schema.ts has changed without a migration: drizzle-kit must find nothing to write. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import config from '../drizzle.config.ts';
import { ROOT, run } from './run.ts';

const { schema, out } = config;
if (typeof schema !== 'string' || out === undefined) {
  throw new TypeError('drizzle.config.ts must name one schema and an out folder');
}

// Inside the clone: drizzle-kit takes relative paths only.
mkdirSync(join(ROOT, '.cache'), { recursive: true });
const copy = mkdtempSync(join(ROOT, '.cache', 'schema-drift-'));
try {
  cpSync(join(ROOT, out), copy, { recursive: true });
  const before = readdirSync(copy).sort();
  run('drizzle-kit', [
    'generate',
    ...['--dialect', config.dialect],
    ...['--schema', schema],
    ...['--out', relative(ROOT, copy)],
  ]);
  const added = readdirSync(copy).filter((name) => !before.includes(name));
  if (added.length > 0) {
    console.error(
      `the schema has no migration yet: npm run migrations:generate would add ${added.join(', ')}`,
    );
    process.exitCode = 1;
  } else {
    console.log('the migrations make the schema');
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
