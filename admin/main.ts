/** The order server as a process: `node admin/main.ts`, or `usher serve`. */
import { pino } from 'pino';
import { readConfig } from './config.ts';
import { errorFields } from './http/error-fields.ts';
import { seedDemo } from './seed.ts';
import { createOrderServer } from './server.ts';

/** Shutting down takes at most this long after the time to drain, whatever hangs. */
const GIVE_UP_AFTER_MS = 1800;

/** Runs the order server until a signal, or the end of the parent that started it over IPC. */
export async function runOrderServer(env: NodeJS.ProcessEnv): Promise<void> {
  const config = readConfig(env);
  const log = pino({ name: 'orders', level: config.logLevel });
  const server = await createOrderServer(config, log);
  const stop = (): void => {
    setTimeout(() => process.exit(1), config.drainSeconds * 1000 + GIVE_UP_AFTER_MS).unref();
    void server.close().finally(() => process.exit(0));
  };
  process.once('SIGINT', stop).once('SIGTERM', stop).once('disconnect', stop);
  // One request must never take the others with it: what escapes a handler is logged, and the process stays up.
  process.on('unhandledRejection', (error) => {
    log.error(errorFields(error), 'a promise was rejected and nobody listened');
  });

  const demo = config.demo
    ? await seedDemo(server.db, {
        dataDir: config.dataDir,
        serverFile: config.demoServerFile,
        now: new Date(),
      })
    : undefined;
  log.info({ url: server.url, publicUrl: config.publicUrl }, 'the order server is up');
  process.send?.({ ready: true, url: server.url, demo });
}

if (import.meta.main) {
  runOrderServer(process.env).catch((error: unknown) => {
    console.error(`usher: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  });
}
