/** A real nginx of our own in front of a stack: by the example's configuration, with ports and files of the test. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const EXAMPLE = new URL('../../examples/proxy/nginx.conf', import.meta.url);
const STARTS_WITHIN_MS = 10_000;

export interface NginxOptions {
  /** Takes its files. */
  readonly folder: string;
  readonly httpPort: number;
  readonly httpsPort: number;
  /** Where the three listeners are that it stands in front of. */
  readonly orderPort: string;
  readonly mediaPort: string;
  readonly flvPort: string;
  /** PEM files. */
  readonly certificate: string;
  readonly key: string;
}

export interface Nginx {
  /** What it has written of requests. */
  accessLog(): Promise<string>;
  stop(): Promise<void>;
}

function findNginx(): string {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin'];
  const found = folders.map((folder) => join(folder, 'nginx')).find((file) => existsSync(file));
  if (found === undefined) throw new Error('no nginx; `npm test` installs it');
  return found;
}

/** The example with what differs here; each of them must be there. */
async function adapted(options: NginxOptions): Promise<string> {
  const { folder, httpPort, httpsPort } = options;
  const changes: [string, string][] = [
    ['worker_processes auto', 'worker_processes 1'],
    ['/run/nginx.pid', `${folder}/nginx.pid`],
    ['/var/log/nginx/error.log', `${folder}/error.log`],
    ['/var/log/nginx/access.log', `${folder}/access.log`],
    ['listen 80;', `listen 127.0.0.1:${String(httpPort)};`],
    ['listen [::]:80;', `listen [::1]:${String(httpPort)};`],
    ['listen 443 ssl;', `listen 127.0.0.1:${String(httpsPort)} ssl;`],
    ['listen [::]:443 ssl;', `listen [::1]:${String(httpsPort)} ssl;`],
    ['https://example.com$request_uri', `https://localhost:${String(httpsPort)}$request_uri`],
    ['/etc/ssl/certs/example.com.pem', options.certificate],
    ['/etc/ssl/private/example.com.key', options.key],
    ['127.0.0.1:4000;', `127.0.0.1:${options.orderPort};`],
    ['127.0.0.1:4001;', `127.0.0.1:${options.mediaPort};`],
    ['127.0.0.1:8000;', `127.0.0.1:${options.flvPort};`],
    ['http {', `http {\n${temporary(folder)}`],
  ];
  let text = await readFile(EXAMPLE, 'utf8');
  for (const [from, to] of changes) {
    if (!text.includes(from)) throw new Error(`the example has no "${from}"`);
    text = text.replaceAll(from, to);
  }
  return text;
}

const temporary = (folder: string): string =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${folder}/${name};`)
    .join('\n');

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/**
 * Starts it, after it has found the configuration good.
 * @throws Error with what it complains of
 */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const { folder, httpsPort } = options;
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'nginx.conf');
  await writeFile(file, await adapted(options));
  const program = findNginx();
  // Its workers must reach files that only we can.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const common = ['-p', folder, '-e', join(folder, 'error.log'), '-c', file];
  execFileSync(program, [...common, '-t', '-g', user], { stdio: ['ignore', 'ignore', 'pipe'] });
  const child = spawn(program, [...common, '-g', `daemon off; ${user}`], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  const deadlineMs = Date.now() + STARTS_WITHIN_MS;
  while (!(await isListening(httpsPort))) {
    if (child.exitCode !== null || Date.now() > deadlineMs) {
      child.kill();
      throw new Error(`nginx does not start: ${await readFile(join(folder, 'error.log'), 'utf8')}`);
    }
    await sleep(50);
  }
  return {
    accessLog: () => readFile(join(folder, 'access.log'), 'utf8'),
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
