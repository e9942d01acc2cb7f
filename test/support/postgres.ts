/** A PostgreSQL cluster of its own for one test file: temporary directory, a free port on loopback, no fsync. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import postgres from 'postgres';

const run = promisify(execFile);

export interface TestPostgres {
  readonly url: string;
  /** Kills its main process by SIGKILL; the others end when they see that it has gone. */
  kill(): Promise<void>;
  /** Starts it again after `kill`; resolves when it has recovered. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** The folder of PostgreSQL's programs. */
export async function findPostgresBinaries(): Promise<string> {
  const root = '/usr/lib/postgresql';
  const versions = (await readdir(root)).map(Number).filter(Number.isInteger);
  if (versions.length === 0) throw new Error(`no PostgreSQL under ${root}`);
  // The oldest: the SQL must run on the floor.
  return join(root, String(Math.min(...versions)), 'bin');
}

/** PostgreSQL refuses to run as root: then it runs as its own user. */
async function findUser(): Promise<{ uid: number; gid: number } | null> {
  if (process.getuid?.() !== 0) return null;
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map(async (flag) => (await run('id', [flag, 'postgres'])).stdout),
  );
  return { uid: Number(uid), gid: Number(gid) };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

async function waitUntilUp(url: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const client = postgres(url, { max: 1, connect_timeout: 2 });
    try {
      await client`select 1`;
      return;
    } catch (error) {
      if (tries >= 400) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      await client.end({ timeout: 1 });
    }
  }
}

export async function startPostgres(): Promise<TestPostgres> {
  const bin = await findPostgresBinaries();
  const user = await findUser();
  const directory = await mkdtemp(join(tmpdir(), 'usher-postgres-'));
  if (user !== null) await chown(directory, user.uid, user.gid);
  const as = { ...(user ?? {}), cwd: directory, env: { PATH: process.env['PATH'], LC_ALL: 'C' } };
  const data = join(directory, 'data');
  await run(
    join(bin, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync'],
    as,
  );
  const port = await freePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const options = ['listen_addresses=127.0.0.1', 'fsync=off', 'max_connections=60'];
  const args = ['-D', data, '-k', directory, '-p', String(port), ...options.flatMap((one) => ['-c', one])];
  let server: ChildProcess;
  let gone: Promise<unknown>;

  /** Tries again while it ends by itself: what was killed may still hold its shared memory. */
  async function start(): Promise<void> {
    for (let tries = 0; ; tries++) {
      server = spawn(join(bin, 'postgres'), args, { ...as, stdio: 'ignore' });
      gone = once(server, 'exit');
      const ended = gone.then(() => false);
      if (await Promise.race([waitUntilUp(url).then(() => true), ended])) return;
      if (tries >= 50) throw new Error('PostgreSQL does not start');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    server.kill(signal);
    await gone;
  }

  const stop = async () => {
    await end('SIGINT');
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, kill: () => end('SIGKILL'), restart: start, stop };
}
