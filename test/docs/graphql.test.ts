import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schema } from '../../admin/graphql/schema.ts';
import { withReference } from '../../tools/graphql-reference.ts';
import { startOrderServer, type TestOrderServer } from '../support/order-server.ts';

const page = readFileSync(new URL('../../docs/graphql.md', import.meta.url), 'utf8');

it('docs/graphql.md lists what the schema has: npm run schema:print has nothing to change', async () => {
  expect(await withReference(page, schema)).toBe(page);
});

/** A request and its reply as the page has them, and what later requests take from the reply. */
interface Step {
  readonly command: string;
  readonly language: string;
  readonly reply: string;
  readonly taken: readonly { readonly name: string; readonly path: readonly string[] }[];
}

const STEP = /```sh\n(.*?)\n```\n\n```(json|csv)\n(.*?)\n```((?:\n\n?<!-- [A-Z]+ = [\w.]+ -->)*)/gs;
const tasks = page
  .split(/^### (?=\d+\. )/m)
  .slice(1)
  .map((section) => ({
    name: section.slice(0, section.indexOf('\n')),
    commands: section.match(/^```sh$/gm)?.length ?? 0,
    steps: Array.from(
      section.matchAll(STEP),
      ([, command = '', language = '', reply = '', taken = '']): Step => ({
        command,
        language,
        reply,
        taken: Array.from(taken.matchAll(/<!-- ([A-Z]+) = ([\w.]+) -->/g), ([, name = '', path = '']) => ({
          name,
          path: path.split('.'),
        })),
      }),
    ),
  }));

/** What the page says, with anything for `…`; at the end of a list it stands for any number of entries. */
function pattern(documented: unknown, actual: unknown): unknown {
  if (documented === '…') return expect.anything() as unknown;
  if (Array.isArray(documented)) {
    const list = Array.isArray(actual) ? (actual as unknown[]) : [];
    const hasMore = documented.length > 1 && documented.at(-1) === '…';
    const named = hasMore ? documented.slice(0, -1) : documented;
    return [
      ...named.map((entry, index) => pattern(entry, list[index])),
      ...(hasMore ? list.slice(named.length) : []),
    ];
  }
  if (typeof documented !== 'object' || documented === null) return documented;
  const members = (actual ?? {}) as Record<string, unknown>;
  return Object.fromEntries(
    Object.entries(documented).map(([name, value]) => [name, pattern(value, members[name])]),
  );
}

// Each is several processes, and what a later one needs is in the reply to an earlier one.
describe('the tasks of docs/graphql.md', { timeout: 90_000 }, () => {
  let server: TestOrderServer;
  const known: Record<string, string> = {};
  beforeAll(async () => {
    server = await startOrderServer();
    known['USHER'] = server.url;
    known['STAFF'] = await server.tokenOf('staff');
  }, 180_000);
  afterAll(() => server.close());

  it('are ten, and each request has its reply beside it', () => {
    expect(tasks).toHaveLength(10);
    expect(tasks.map(({ steps }) => steps.length)).toEqual(tasks.map(({ commands }) => commands));
  });

  it.each(tasks)('$name', async ({ steps }) => {
    for (const { command, language, reply, taken } of steps) {
      const { stdout } = await promisify(execFile)('bash', ['-c', command], {
        env: { PATH: process.env['PATH'], ...known },
        timeout: 60_000,
      });
      if (language === 'csv') {
        expect(stdout.trim()).toBe(reply);
        continue;
      }
      const actual: unknown = JSON.parse(stdout);
      expect(actual).toEqual(pattern(JSON.parse(reply), actual));
      for (const { name, path } of taken) {
        let value = actual;
        for (const step of path) value = (value as Record<string, unknown>)[step];
        known[name] = String(value);
      }
    }
  });
});
