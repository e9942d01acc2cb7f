#!/usr/bin/env node
/** `usher`: the servers and their chores from one command. */
import { commandList, findCommand, UsageError, type Command, type CommandTable } from './cli/command.ts';
import { ACCOUNT_COMMANDS } from './cli/accounts.ts';
import { KEY_COMMANDS } from './cli/keys.ts';
import { MEDIA_COMMANDS } from './cli/media.ts';
import { play } from './cli/play.ts';
import { reconcileCommand } from './cli/reconcile.ts';
import { receiptVerify } from './cli/receipt-verify.ts';
import { REPORT_COMMANDS } from './cli/report.ts';
import { ticketInspect } from './cli/ticket-inspect.ts';
import { whepCheck } from './cli/whep-check.ts';

/** A command without arguments. */
function plain(summary: string, work: () => Promise<void>): Command {
  return {
    usage: '',
    summary,
    async run(args) {
      if (args.length > 0) throw new UsageError('this command takes no arguments');
      await work();
    },
  };
}

// Each command loads what it needs: a chore should not wait for the servers.

async function serve(): Promise<void> {
  const { runOrderServer } = await import('./main.ts');
  await runOrderServer(process.env);
}

async function runMedia(): Promise<void> {
  const { runMediaServer } = await import('../plugin/main.ts');
  await runMediaServer(process.env);
}

async function migrate(): Promise<void> {
  const { withDatabase } = await import('./cli/database.ts');
  await withDatabase(async () => {
    console.log('The database is up to date.');
  });
}

async function seed(): Promise<void> {
  const [{ withDatabase }, { seedDemo }] = await Promise.all([
    import('./cli/database.ts'),
    import('./seed.ts'),
  ]);
  await withDatabase(async (config, db) => {
    const { streamPath } = await seedDemo(db, {
      dataDir: config.dataDir,
      serverFile: config.demoServerFile,
      now: new Date(),
    });
    console.log(`The demo is in place: ${streamPath}`);
  });
}

const COMMANDS: CommandTable = {
  serve: plain('the order server', serve),
  media: plain('a media server with the gate in front of it', runMedia),
  ...MEDIA_COMMANDS,
  migrate: plain('bring the database up to date', migrate),
  seed: plain("make the demo's titles and accounts", seed),
  ...ACCOUNT_COMMANDS,
  ...KEY_COMMANDS,
  ...REPORT_COMMANDS,
  reconcile: reconcileCommand,
  play,
  'receipt verify': receiptVerify,
  'ticket inspect': ticketInspect,
  'whep-check': whepCheck,
};

const HELP = `usher <command>

${commandList({ ...COMMANDS, help: plain('this text, or that of one command', async () => undefined) })}

Settings come from the environment (USHER_*, DATABASE_URL); see the documentation.`;

const WRONG_USE = 2;

async function run(words: readonly string[]): Promise<number> {
  const named = words[0] === 'help' ? words.slice(1) : words;
  // Said either way.
  const wanted = named[0] === 'key' ? ['keys', ...named.slice(1)] : named;
  const found = findCommand(COMMANDS, wanted);
  const asksForHelp =
    words.length !== wanted.length || words.some((word) => word === '--help' || word === '-h');
  if (asksForHelp || words.length === 0) {
    console.log(
      found === null
        ? HELP
        : [
            `usher ${found.name} ${found.command.usage}`.trimEnd(),
            found.command.summary,
            ...(found.command.details === undefined ? [] : [found.command.details]),
          ].join('\n\n'),
    );
    return 0;
  }
  if (found === null) throw new UsageError(`no such command\n\n${HELP}`);
  try {
    return (await found.command.run(found.args)) ?? 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${error.message}\n\nusher ${found.name} ${found.command.usage}`.trimEnd());
  }
}

run(process.argv.slice(2)).then(
  (code) => {
    // A server goes on running: only a code that says something ends the process.
    if (code !== 0) process.exitCode = code;
  },
  (error: unknown) => {
    console.error(`usher: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = error instanceof UsageError ? WRONG_USE : 1;
  },
);
