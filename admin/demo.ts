/** `npm start`: the whole demo. Two processes as in production, and an encoder that publishes the demo channel. */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { readMediaConfig } from '../plugin/config.ts';
import { loadOrCreateServerKeys } from '../plugin/server-keys.ts';
import { hostOf, loadTls } from '../plugin/tls.ts';
import { mediaKeyVault } from '../plugin/trusted-order-server.ts';
import { readConfig, type Config } from './config.ts';
import { demoEncoderArguments } from './demo-encoder.ts';
import { demoText } from './demo-text.ts';

/** Children get this long to end by themselves; then they are killed. The whole end takes at most 2 s. */
const CHILD_ENDS_WITHIN_MS = 1900;
const ENCODER_RESTART_MS = 1000;

const readySchema = z.object({
  ready: z.literal(true),
  demo: z.object({ streamKey: z.string(), streamPath: z.string() }).optional(),
});
type Ready = z.infer<typeof readySchema>;

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const entry = (path: string): string => fileURLToPath(new URL(`${path}.${extension}`, import.meta.url));

const children = new Set<ChildProcess>();
let stopping = false;

function track(child: ChildProcess): ChildProcess {
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** Starts a server and waits until it says that it serves; its death ends the demo. */
function startServer(path: string, env: NodeJS.ProcessEnv): Promise<Ready> {
  // In a group of its own: Ctrl-C in a terminal goes to the whole group, and would end mediasoup's worker before the
  // last counters are read. When this process dies, the IPC channel closes and the server ends by itself.
  const child = track(
    fork(entry(path), { env, detached: true, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
  );
  const { promise, resolve: ready, reject } = Promise.withResolvers<Ready>();
  child.on('message', (message) => {
    const parsed = readySchema.safeParse(message);
    if (parsed.success) ready(parsed.data);
  });
  child.once('exit', () => {
    reject(new Error('a server did not start'));
    void stop(1);
  });
  return promise;
}

/** Publishes the demo channel for as long as the demo runs, and says once when that fails. */
function startEncoder(ffmpeg: string, url: string, withClock = true, silent = false): void {
  if (stopping) return;
  const child = track(
    spawn(ffmpeg, demoEncoderArguments(url, withClock), { stdio: ['ignore', 'ignore', 'pipe'] }),
  );
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-2000)));
  child.once('error', () => (complaint = `${ffmpeg} cannot be run`));
  child.once('close', () => {
    if (stopping) return;
    // Without a font ffmpeg cannot draw the clock; then the picture goes without.
    const fontMissing = withClock && /font|drawtext/i.test(complaint);
    if (!fontMissing && !silent) {
      // ffmpeg repeats the URL, and with it the stream key.
      console.error(`usher: the demo encoder stopped: ${complaint.replaceAll(url, 'rtmp URL').trim()}`);
    }
    const again = (): void => startEncoder(ffmpeg, url, withClock && !fontMissing, !fontMissing);
    setTimeout(again, ENCODER_RESTART_MS).unref();
  });
}

async function stop(code: number): Promise<void> {
  if (stopping) return;
  stopping = true;
  const running = [...children];
  const ended = running.map((child) => new Promise((done) => child.once('exit', done)));
  for (const child of running) child.kill('SIGTERM');
  const timer = setTimeout(() => {
    for (const child of children) child.kill('SIGKILL');
  }, CHILD_ENDS_WITHIN_MS);
  await Promise.all(ended);
  clearTimeout(timer);
  process.exit(code);
}

/** Both servers show one certificate, so that a browser asks once; and the media server trusts it. */
async function sharedTls(
  { tls, tlsCertFile, dataDir, publicUrl }: Config,
  mediaUrl: string,
): Promise<NodeJS.ProcessEnv> {
  if (tls !== 'self-signed' || tlsCertFile === undefined) return {};
  await loadTls({ mode: tls, dataDir, hosts: [hostOf(publicUrl), hostOf(mediaUrl)] });
  return {
    USHER_TLS: 'files',
    USHER_TLS_CERT: tlsCertFile,
    USHER_TLS_KEY: join(dataDir, 'tls', 'key.pem'),
    NODE_EXTRA_CA_CERTS: tlsCertFile,
  };
}

async function main(): Promise<void> {
  const order = readConfig(process.env);
  const media = readMediaConfig({
    USHER_ORDER_SERVER_URL: order.publicUrl,
    USHER_MEDIA_DATA: join(order.dataDir, 'media'),
    USHER_LOG_LEVEL: 'warn',
    ...process.env,
  });
  const dataDir = resolve(order.dataDir);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const keys = await loadOrCreateServerKeys(
    media.USHER_MEDIA_DATA,
    media.USHER_SERVER_ID,
    media.publicUrl,
    mediaKeyVault(media),
  );
  const registration = join(dataDir, 'demo-server.json');
  await writeFile(registration, JSON.stringify(keys.registration), { mode: 0o600 });

  const tls = await sharedTls(order, media.publicUrl);
  const quiet = { USHER_LOG_LEVEL: 'warn', ...process.env };
  const [orderServer] = await Promise.all([
    startServer('./main', { ...quiet, USHER_DEMO: '1', USHER_DEMO_SERVER: registration }),
    startServer('../plugin/main', {
      ...quiet,
      USHER_ORDER_SERVER_URL: media.USHER_ORDER_SERVER_URL,
      USHER_MEDIA_DATA: media.USHER_MEDIA_DATA,
      ...tls,
    }),
  ]);
  if (orderServer.demo === undefined) throw new Error('the order server made no demo data');
  const { streamKey, streamPath } = orderServer.demo;
  // "All addresses" is none to connect to.
  const isWildcard = ['0.0.0.0', '::'].includes(media.USHER_MEDIA_HOST);
  const host = isWildcard ? 'localhost' : media.USHER_MEDIA_HOST;
  const rtmpHost = host.includes(':') ? `[${host}]` : host;
  const rtmp = `rtmp://${rtmpHost}:${String(media.USHER_RTMP_PORT)}${streamPath}?key=${streamKey}`;
  if (process.env.USHER_DEMO_ENCODER !== 'off') startEncoder(media.USHER_FFMPEG, rtmp);
  console.log(demoText({ order, media, streamKey, streamPath }));
}

process
  .once('SIGINT', () => void stop(0))
  .once('SIGTERM', () => void stop(0))
  .once('SIGHUP', () => void stop(0));
main().catch((error: unknown) => {
  console.error(`usher: ${error instanceof Error ? error.message : String(error)}`);
  void stop(1);
});
