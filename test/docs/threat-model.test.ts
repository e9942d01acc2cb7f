import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');
const text = readFileSync(join(ROOT, 'docs', 'threat-model.md'), 'utf8');
const rows = text.split('\n').filter((line) => line.startsWith('| ') && !/^\| -/.test(line));
const references = Array.from(
  text.matchAll(/`(test\/[\w./-]+)`: "([^"]+)"/g),
  ([, file = '', name = '']) => ({
    file,
    name,
  }),
);

it('every test that the threat model names is there', () => {
  expect(references.length).toBeGreaterThan(50);
  const missing = references.filter(({ file, name }) => {
    const path = join(ROOT, file);
    return !existsSync(path) || !readFileSync(path, 'utf8').includes(name);
  });
  expect(missing).toEqual([]);
});

it('every attack has a test, or an honest “not stopped”', () => {
  const attacks = rows.filter((row) => row.split('|').length === 5 && !/^\| (Attack|Leak) +\|/.test(row));
  expect(attacks.length).toBeGreaterThan(40);
  const silent = attacks.filter(
    (row) => !/`test\//.test(row) && !row.includes('**not stopped**') && !row.includes('**Not stopped**'),
  );
  expect(silent).toEqual([]);
});
