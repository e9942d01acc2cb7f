import { readConfig, type Config } from '../config.ts';
import { openDatabase, type Database } from '../db/connect.ts';

/** Runs a chore on the order server's database, as the environment names it. */
export async function withDatabase(work: (config: Config, db: Database) => Promise<void>): Promise<void> {
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
