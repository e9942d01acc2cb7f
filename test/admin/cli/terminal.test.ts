import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { askHidden } from '../../../admin/cli/terminal.ts';

function terminal() {
  const [input, output] = [new PassThrough(), new PassThrough()];
  return { input, output, shown: () => String(output.read() ?? '') };
}

it('asks for a password and shows nothing of it', async () => {
  const { input, output, shown } = terminal();
  const asked = askHidden('Password: ', input, output);
  input.write('correct horse\r\n');
  expect(await asked).toBe('correct horse');
  expect(shown()).toBe('Password: \n');
});

it('asks twice of one terminal', async () => {
  const { input, output } = terminal();
  const first = askHidden('Password: ', input, output);
  input.write('one\r');
  expect(await first).toBe('one');
  const second = askHidden('Once more: ', input, output);
  input.write('two\r');
  expect(await second).toBe('two');
});

it.each([
  ['who goes away', (input: PassThrough) => input.end()],
  ['Ctrl-C', (input: PassThrough) => input.write('abc\u0003')],
])('takes %s for no answer', async (_what, leave) => {
  const { input, output } = terminal();
  const asked = askHidden('Password: ', input, output);
  leave(input);
  await expect(asked).rejects.toThrow('no answer');
});
