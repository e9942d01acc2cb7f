import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Check } from '../../admin/cli/whep-check/check.ts';
import { ANSWER_CHECKS } from '../../admin/cli/whep-check/checks/answer.ts';
import { END_CHECKS } from '../../admin/cli/whep-check/checks/end.ts';
import { ENDPOINT_CHECKS } from '../../admin/cli/whep-check/checks/endpoint.ts';
import { OPENING_CHECKS } from '../../admin/cli/whep-check/checks/opening.ts';
import { SESSION_CHECKS } from '../../admin/cli/whep-check/checks/session.ts';
import { UNSEEN } from '../../admin/cli/whep-check/checks/unseen.ts';

it('docs/whep.md lists each check with its section, level and requirement', () => {
  const text = readFileSync(new URL('../../docs/whep.md', import.meta.url), 'utf8');
  const rows = text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .map(([, id, section, level, title, ours]) => ({ row: [id, section, level, title], ours }));
  const listed = ({
    id,
    section,
    level,
    title,
  }: Pick<Check<unknown>, 'id' | 'section' | 'level' | 'title'>) => [...[`\`${id}\``, section, level, title]];
  expect(rows.map(({ row }) => row)).toEqual([
    ...ENDPOINT_CHECKS.map(listed),
    ...OPENING_CHECKS.map(listed),
    ...ANSWER_CHECKS.map(listed),
    ...SESSION_CHECKS.map(listed),
    ...END_CHECKS.map(listed),
    ...UNSEEN.map(listed),
  ]);
  expect(rows.filter(({ ours }) => ours === undefined || ours === '')).toEqual([]);
});
