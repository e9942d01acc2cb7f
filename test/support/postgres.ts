/** A PostgreSQL cluster of its own for one test file: temporary directory, a free port on loopback, no fsync. */
import { execFile, spawn } from 'node:child_process';
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
      if (tries >= 100) throw error;
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
  const server = spawn(
    join(bin, 'postgres'),
    [
      '-D',
      data,
      '-k',
      directory,
      '-c',
      'listen_addresses=127.0.0.1',
      '-p',
      String(port),
      '-c',
      'fsync=off',
      '-c',
      'max_connections=60',
    ],
    { ...as, stdio: 'ignore' },
  );
  const gone = once(server, 'exit');
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const stop = async () => {
    server.kill('SIGINT');
    await gone;
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await waitUntilUp(url);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, stop };
}
