/**
 * Worker thread that runs PGlite and serves it on a socket, so that a query never stalls the main thread.
 *
 * PGlite has no lock of its own and two openers lose rows. The lock here is an operating system lock (through
 * SQLite's exclusive transaction on an empty file): it goes with its process, however that ends, and holds across
 * containers that share the directory, where process ids mean nothing.
 */
import { PGlite } from '@electric-sql/pglite';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

export interface PgliteWorkerData {
  /** Directory of the data; `null` keeps everything in memory. */
  readonly directory: string | null;
  /** Path of the socket to serve. */
  readonly socketPath: string;
}

export type PgliteWorkerMessage =
  { type: 'ready' } | { type: 'locked' } | { type: 'failed'; message: string };

function takeLock(directory: string): DatabaseSync | null {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = new DatabaseSync(join(directory, 'lock'));
  try {
    lock.exec('pragma busy_timeout = 0; begin exclusive');
    return lock;
  } catch {
    lock.close();
    return null;
  }
}

async function run(data: PgliteWorkerData): Promise<void> {
  if (parentPort === null) throw new TypeError('pglite-worker runs as a worker thread');
  const port = parentPort;
  const say = (message: PgliteWorkerMessage) => {
    port.postMessage(message);
  };
  const lock = data.directory === null ? undefined : takeLock(data.directory);
  if (lock === null) {
    say({ type: 'locked' });
    return;
  }
  try {
    const database =
      data.directory === null
        ? await PGlite.create('memory://')
        : await PGlite.create(join(data.directory, 'data'));
    const server = new PGLiteSocketServer({ db: database, path: data.socketPath, maxConnections: 4 });
    await server.start();
    port.once('message', () => {
      void (async () => {
        await server.stop();
        await database.close();
        lock?.close();
        port.close();
      })();
    });
    say({ type: 'ready' });
  } catch (error) {
    lock?.close();
    say({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  }
}

await run(workerData as PgliteWorkerData);
