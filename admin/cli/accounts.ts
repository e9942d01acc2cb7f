/** `usher admin ...`: accounts from the command line. */
import { parseArgs } from 'node:util';
import { UsageError, type CommandTable } from './command.ts';
import { askHidden } from './terminal.ts';

function parseCreate(args: readonly string[]): { email: string; name: string; generate: boolean } {
  const options = { name: { type: 'string' }, generate: { type: 'boolean' } } as const;
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    const [email, ...rest] = positionals;
    if (email === undefined || rest.length > 0) throw new TypeError('one EMAIL is needed');
    return { email, name: values.name ?? 'Admin', generate: values.generate ?? false };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : 'wrong arguments');
  }
}

async function askPassword(): Promise<string> {
  const password = await askHidden('Password (10 characters or more): ');
  if ((await askHidden('Once more: ')) !== password) throw new Error('the passwords differ');
  return password;
}

async function create(args: readonly string[]): Promise<void> {
  const { generate, ...input } = parseCreate(args);
  const [{ withDatabase }, { createAdmin, generatePassword }, { signUpSchema }, { Denial }] =
    await Promise.all([
      import('./database.ts'),
      import('../accounts/first-admin.ts'),
      import('../accounts/accounts.ts'),
      import('../../plugin/errors.ts'),
    ]);
  const shown = generate || !process.stdin.isTTY ? generatePassword() : null;
  const signUp = signUpSchema.safeParse({ ...input, password: shown ?? (await askPassword()) });
  if (!signUp.success) {
    throw new Error(
      signUp.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('\n'),
    );
  }
  await withDatabase(async (_config, db) => {
    try {
      const { email } = await createAdmin(db, signUp.data, new Date());
      console.log(`${email} may do everything now.`);
    } catch (error) {
      if (error instanceof Denial && error.code === 'conflict') {
        throw new Error('there is an account with this address already', { cause: error });
      }
      throw error;
    }
    if (shown !== null) console.log(`Password, shown this once: ${shown}`);
  });
}

export const ACCOUNT_COMMANDS: CommandTable = {
  'admin create': {
    usage: 'EMAIL [--name NAME] [--generate]',
    summary: 'open an account with all permissions',
    details:
      'The password is asked for; with --generate, or without a terminal, one is made and shown once. ' +
      'With the embedded database, stop the order server first.',
    run: create,
  },
};
