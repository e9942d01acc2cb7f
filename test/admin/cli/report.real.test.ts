import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

const CLI = fileURLToPath(new URL('../../../admin/cli.ts', import.meta.url));
let dataDir: string;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'usher-report-'));
});
afterAll(() => rm(dataDir, { recursive: true, force: true }));

function usher(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [CLI, ...args],
      { env: { PATH: process.env['PATH'], USHER_DATA: dataDir }, timeout: 60_000 },
      (error, out, err) => {
        resolve({ code: error === null ? 0 : Number(error.code), out, err });
      },
    );
  });
}

const MARCH = ['report', 'usage', '--from', '2026-03-01', '--until', '2026-04-01'];

it.each([
  ['a table', [], 'title  seconds  bytes  sessions  revenue\n'],
  ['CSV', ['--csv', '--by', 'day'], 'day,name,seconds,bytes,sessions\r\n'],
])('reports as %s', async (_what, options, out) => {
  expect(await usher(...MARCH, ...options)).toEqual({ code: 0, out, err: '' });
});

it.each([
  ['no time', ['report', 'usage'], /--from and --until are needed/],
  ['what is no day', ['report', 'usage', '--from', 'May', '--until', '2026-05-01'], /from: /],
  ['a group that is none', [...MARCH, '--by', 'viewer'], /groupBy: /],
  ['two forms at once', [...MARCH, '--csv', '--json'], /either --csv or --json/],
  ['an option that is none', [...MARCH, '--xml'], /--xml/],
])('explains the usage, and ends with 2, for %s', async (_what, args, message) => {
  const { code, err } = await usher(...args);
  expect(code).toBe(2);
  expect(err).toMatch(message);
  expect(err).toContain('usher report usage --from DAY --until DAY');
});

it('explains itself with --help, and is asked for by "key" and "keys" alike', async () => {
  const { code, out } = await usher('report', 'usage', '--help');
  expect([code, out.split('\n')[2]]).toEqual([0, 'what was watched and what it has earned']);
  expect(await usher('key', 'rotate', '--help')).toEqual(await usher('keys', 'rotate', '--help'));
});
