import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { PgliteWorkerData, PgliteWorkerMessage } from './pglite-worker.ts';

export interface PgliteServer {
  /** Path of the PostgreSQL socket, in a directory that only this user may enter. */
  readonly socketPath: string;
  close(): Promise<void>;
}

/**
 * Starts PGlite in a worker thread.
 * @param directory where the data lives; `null` for memory only.
 * @throws Error when another process has the directory open, or when it can't be opened.
 */
export async function startPglite(directory: string | null): Promise<PgliteServer> {
  // Its own short path: a socket's path has about 100 characters, a data directory's may have more.
  const socketDirectory = await mkdtemp(join(tmpdir(), 'usher-pg-'));
  const socketPath = join(socketDirectory, '.s.PGSQL.5432');
  // Running from source or from the build.
  const file = import.meta.url.endsWith('.ts') ? './pglite-worker.ts' : './pglite-worker.js';
  const workerData: PgliteWorkerData = { directory, socketPath };
  const worker = new Worker(new URL(file, import.meta.url), { workerData });
  const gone = once(worker, 'exit');
  const removeSocket = () => rm(socketDirectory, { recursive: true, force: true });
  try {
    const [message] = (await Promise.race([
      once(worker, 'message'),
      gone.then(() => [{ type: 'failed', message: 'the worker ended' }]),
    ])) as [PgliteWorkerMessage];
    if (message.type === 'locked') {
      throw new Error(`the database in ${directory ?? 'memory'} is open in another process; set USHER_DATA`);
    }
    if (message.type === 'failed') throw new Error(`the embedded database does not open: ${message.message}`);
  } catch (error) {
    await worker.terminate();
    await removeSocket();
    throw error;
  }
  return {
    socketPath,
    close: async () => {
      worker.postMessage('close');
      await gone;
      await removeSocket();
    },
  };
}
