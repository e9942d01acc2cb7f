/** A real reverse proxy in front of a stack: nginx or Caddy by its example's configuration, with ports and files of the test. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const EXAMPLES = new URL('../../examples/proxy/', import.meta.url);
const STARTS_WITHIN_MS = 10_000;

export interface ProxyOptions {
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

export interface Proxy {
  /** All that it has written, of requests and of errors. */
  log(): Promise<string>;
  stop(): Promise<void>;
}

export type ProxyName = 'nginx' | 'Caddy';

function findProgram(name: string): string {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin'];
  const found = folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
  if (found === undefined) throw new Error(`no ${name}; \`npm test\` installs it`);
  return found;
}

type Change = readonly [from: string, to: string];

/** The example with what differs here; each of the changes must find its place. */
async function adaptedExample(name: string, changes: readonly Change[]): Promise<string> {
  let text = await readFile(new URL(name, EXAMPLES), 'utf8');
  for (const [from, to] of changes) {
    if (!text.includes(from)) throw new Error(`${name} has no "${from}"`);
    text = text.replaceAll(from, to);
  }
  return text;
}

const nginxTemporaryFolders = (folder: string): string =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${folder}/${name};`)
    .join('\n');

const nginxChanges = (options: ProxyOptions): readonly Change[] => [
  ['worker_processes auto', 'worker_processes 1'],
  ['/run/nginx.pid', `${options.folder}/nginx.pid`],
  ['/var/log/nginx/error.log', `${options.folder}/error.log`],
  ['/var/log/nginx/access.log', `${options.folder}/access.log`],
  ['listen 80;', `listen 127.0.0.1:${String(options.httpPort)};`],
  ['listen [::]:80;', `listen [::1]:${String(options.httpPort)};`],
  ['listen 443 ssl;', `listen 127.0.0.1:${String(options.httpsPort)} ssl;`],
  ['listen [::]:443 ssl;', `listen [::1]:${String(options.httpsPort)} ssl;`],
  ['https://example.com$request_uri', `https://localhost:${String(options.httpsPort)}$request_uri`],
  ['/etc/ssl/certs/example.com.pem', options.certificate],
  ['/etc/ssl/private/example.com.key', options.key],
  ['127.0.0.1:4000;', `127.0.0.1:${options.orderPort};`],
  ['127.0.0.1:4001;', `127.0.0.1:${options.mediaPort};`],
  ['127.0.0.1:8000;', `127.0.0.1:${options.flvPort};`],
  ['http {', `http {\n${nginxTemporaryFolders(options.folder)}`],
];

/** No administration, nothing outside of the folder, no waiting for connections that have no end. */
const caddyGlobals = ({ folder, httpPort }: ProxyOptions): string => `grace_period 100ms
	admin off
	storage file_system ${folder}/caddy
	http_port ${String(httpPort)}
	auto_https disable_redirects
	default_bind 127.0.0.1 ::1`;

const caddyChanges = (options: ProxyOptions): readonly Change[] => [
  ['grace_period 5s', caddyGlobals(options)],
  [
    'example.com {',
    `https://localhost:${String(options.httpsPort)} {\n\ttls ${options.certificate} ${options.key}`,
  ],
  ['127.0.0.1:4000', `127.0.0.1:${options.orderPort}`],
  ['127.0.0.1:4001', `127.0.0.1:${options.mediaPort}`],
  ['127.0.0.1:8000', `127.0.0.1:${options.flvPort}`],
];

interface Program {
  readonly file: string;
  readonly args: readonly string[];
  /** What it writes beside its outputs. */
  readonly logFiles: readonly string[];
}

/** @throws Error with what nginx complains of in the configuration */
async function prepareNginx(options: ProxyOptions): Promise<Program> {
  const { folder } = options;
  const configuration = join(folder, 'nginx.conf');
  await writeFile(configuration, await adaptedExample('nginx.conf', nginxChanges(options)));
  const file = findProgram('nginx');
  // Its workers must reach files that only we can.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const common = ['-p', folder, '-e', join(folder, 'error.log'), '-c', configuration];
  execFileSync(file, [...common, '-t', '-g', user], { stdio: ['ignore', 'ignore', 'pipe'] });
  const logFiles = ['access.log', 'error.log'].map((name) => join(folder, name));
  return { file, args: [...common, '-g', `daemon off; ${user}`], logFiles };
}

async function prepareCaddy(options: ProxyOptions): Promise<Program> {
  const configuration = join(options.folder, 'Caddyfile');
  await writeFile(configuration, await adaptedExample('Caddyfile', caddyChanges(options)));
  const args = ['run', '--config', configuration, '--adapter', 'caddyfile'];
  return { file: findProgram('caddy'), args, logFiles: [] };
}

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
 * Starts one.
 * @throws Error with what it complains of
 */
export async function startProxy(name: ProxyName, options: ProxyOptions): Promise<Proxy> {
  await mkdir(options.folder, { recursive: true });
  const { file, args, logFiles } = await (name === 'nginx' ? prepareNginx : prepareCaddy)(options);
  const env = { ...process.env, HOME: options.folder };
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const log = async (): Promise<string> =>
    [output, ...(await Promise.all(logFiles.map((path) => readFile(path, 'utf8'))))].join('\n');
  const exited = once(child, 'exit');
  const deadlineMs = Date.now() + STARTS_WITHIN_MS;
  while (!(await isListening(options.httpsPort))) {
    if (child.exitCode !== null || Date.now() > deadlineMs) {
      child.kill();
      throw new Error(`${name} does not start: ${await log()}`);
    }
    await sleep(50);
  }
  return {
    log,
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
