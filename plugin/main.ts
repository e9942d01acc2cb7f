/** The media server as a process: `node plugin/main.ts`, or `usher media`. */
import { pino } from 'pino';
import { readMediaConfig } from './config.ts';
import { errorFields } from './error-fields.ts';
import { exitOnSignals } from './exit.ts';
import { startMediaServer } from './media-server.ts';

/** Runs the media server until a signal, or the end of the parent that started it over IPC. */
export async function runMediaServer(env: NodeJS.ProcessEnv): Promise<void> {
  const config = readMediaConfig(env);
  const log = pino({ name: 'media', level: config.USHER_LOG_LEVEL });
  // One viewer must never take the others along: what escapes a handler is logged, and the process stays up.
  process.on('unhandledRejection', (error) => {
    log.error(errorFields(error), 'a promise was rejected and nobody listened');
  });
  const server = await startMediaServer(config, log);

  exitOnSignals(server.close);
  process.send?.({ ready: true, url: server.url });
}

if (import.meta.main) {
  runMediaServer(process.env).catch((error: unknown) => {
    console.error(`usher media: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  });
}
