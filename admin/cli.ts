#!/usr/bin/env node
/** `usher`: the servers and their chores from one command. */
import { parseArgs } from 'node:util';
import { readMediaConfig } from '../plugin/config.ts';
import { loadOrCreateServerKeys } from '../plugin/server-keys.ts';
import { readConfig } from './config.ts';
import { openDatabase } from './db/connect.ts';
import { runOrderServer } from './main.ts';
import { seedDemo } from './seed.ts';

const HELP = `usher <command>

  serve         the order server
  media         a media server with the gate in front of it
  registration  what the order server must know of this media server: variables of registerStreamingServer
  migrate       bring the database up to date
  seed          make the demo's titles and accounts
  help          this text

Settings come from the environment (USHER_*, DATABASE_URL); see the documentation.`;

async function withDatabase(
  work: (
    config: ReturnType<typeof readConfig>,
    db: Awaited<ReturnType<typeof openDatabase>>['db'],
  ) => Promise<void>,
): Promise<void> {
  const config = readConfig(process.env);
  const database = await openDatabase(
    config.databaseUrl === undefined
      ? { kind: 'pglite', dataDirectory: config.dataDir }
      : { kind: 'postgres', url: config.databaseUrl },
  );
  try {
    await work(config, database.db);
  } finally {
    await database.close();
  }
}

async function runMedia(): Promise<void> {
  const { runMediaServer } = await import('../plugin/main.ts');
  await runMediaServer(process.env);
}

/** Public keys only; the private ones are made now if this media server has not been started yet. */
async function printRegistration(): Promise<void> {
  const { USHER_MEDIA_DATA, USHER_SERVER_ID, publicUrl } = readMediaConfig(process.env);
  const { registration } = await loadOrCreateServerKeys(USHER_MEDIA_DATA, USHER_SERVER_ID, publicUrl);
  console.log(JSON.stringify(registration, null, 2));
}

const COMMANDS: Readonly<Record<string, () => Promise<void>>> = {
  serve: () => runOrderServer(process.env),
  media: runMedia,
  registration: printRegistration,
  migrate: () =>
    withDatabase(async () => {
      console.log('The database is up to date.');
    }),
  seed: () =>
    withDatabase(async (config, db) => {
      const { streamPath } = await seedDemo(db, {
        dataDir: config.dataDir,
        serverFile: config.demoServerFile,
        now: new Date(),
      });
      console.log(`The demo is in place: ${streamPath}`);
    }),
  help: async () => {
    console.log(HELP);
  },
};

async function run(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { help: { type: 'boolean', short: 'h' } },
  });
  const [name = 'help', ...rest] = values.help === true ? ['help'] : positionals;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined || rest.length > 0) throw new TypeError(`no such command\n\n${HELP}`);
  await command();
}

run().catch((error: unknown) => {
  console.error(`usher: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
