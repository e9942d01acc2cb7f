import { describe, expect, it } from 'vitest';
import {
  commandList,
  findCommand,
  UsageError,
  type Command,
  type CommandTable,
} from '../../../admin/cli/command.ts';
import { KEY_COMMANDS } from '../../../admin/cli/keys.ts';
import { MEDIA_COMMANDS } from '../../../admin/cli/media.ts';

const command = (summary: string): Command => ({ usage: '', summary, run: () => Promise.resolve(undefined) });
const TABLE: CommandTable = { media: command('one'), 'media enrol': command('two'), keys: command('three') };

it.each<[string[], string | null, string[]]>([
  [['media'], 'media', []],
  [['media', 'enrol'], 'media enrol', []],
  [['media', 'enrol', '--code', 'x'], 'media enrol', ['--code', 'x']],
  [['media', '--code', 'enrol'], 'media', ['--code', 'enrol']],
  [['keys', 'media'], 'keys', ['media']],
  [['enrol'], null, []],
  [['toString'], null, []],
  [['__proto__'], null, []],
  [[], null, []],
])('finds the command of %j', (words, name, args) => {
  const found = findCommand(TABLE, words);
  expect(found?.name ?? null).toBe(name);
  expect(found?.args ?? []).toEqual(args);
});

it('lists the commands with their summaries in one column', () => {
  expect(commandList(TABLE)).toBe('  media        one\n  media enrol  two\n  keys         three');
});

describe('wrong use', () => {
  const all: CommandTable = { ...KEY_COMMANDS, ...MEDIA_COMMANDS };
  it.each([
    [['keys', 'rotate', '--alg', 'RS256']],
    [['keys', 'rotate', 'now']],
    [['keys', 'rotate', '--alg']],
    [['keys', 'list', 'all']],
    [['keys', 'generate-master', '2']],
    [['media', 'enrol', '--cod', 'x']],
    [['media', 'enrol']],
    [['media', 'rotate-keys', 'x']],
  ])('%j is refused before anything is done', async (words) => {
    const found = findCommand(all, words);
    await expect(found?.command.run(found.args)).rejects.toThrow(UsageError);
  });
});
