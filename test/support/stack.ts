/** The demo's two servers as real processes on their own ports, for end-to-end tests and benches. */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadOrCreateServerKeys } from '../../plugin/server-keys.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Ports that are free now, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

export interface StackEnvironment {
  readonly dataDir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly orderUrl: string;
  readonly mediaUrl: string;
  readonly rtmpPort: number;
  readonly httpFlvPort: number;
  readonly rtspPort: number;
  readonly rtspsPort: number;
}

export interface PublicUrls {
  readonly orderUrl: string;
  readonly mediaUrl: string;
}

/**
 * Settings of a stack of its own: data directory and ports that nobody else uses.
 * @param publicUrlsOf the servers' public URLs by their ports, where they are not on `localhost`
 */
export async function stackEnvironment(
  publicUrlsOf?: (orderPort: number, mediaPort: number) => PublicUrls,
): Promise<StackEnvironment> {
  const dataDir = await mkdtemp(join(tmpdir(), 'usher-stack-'));
  const ports = await freePorts(9);
  const [order = 0, media = 0, rtc = 0, rtmp = 0, flv = 0, rtmps = 0, flvTls = 0] = ports;
  const [rtsp = 0, rtsps = 0] = ports.slice(7);
  const publicUrls = publicUrlsOf?.(order, media);
  const orderUrl = publicUrls?.orderUrl ?? `http://localhost:${String(order)}`;
  const mediaUrl = publicUrls?.mediaUrl ?? `http://localhost:${String(media)}`;
  const keys = await loadOrCreateServerKeys(join(dataDir, 'media'), 'demo', mediaUrl);
  const registration = join(dataDir, 'server.json');
  await writeFile(registration, JSON.stringify(keys.registration));
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    MEDIASOUP_WORKER_BIN: process.env.MEDIASOUP_WORKER_BIN,
    USHER_DATA: dataDir,
    USHER_MEDIA_DATA: join(dataDir, 'media'),
    USHER_PORT: String(order),
    USHER_MEDIA_PORT: String(media),
    USHER_RTC_PORT: String(rtc),
    USHER_RTMP_PORT: String(rtmp),
    USHER_NMS_HTTP_PORT: String(flv),
    USHER_RTMPS_PORT: String(rtmps),
    USHER_NMS_HTTPS_PORT: String(flvTls),
    USHER_RTSP_PORT: String(rtsp),
    USHER_RTSPS_PORT: String(rtsps),
    USHER_RTSP_UDP_PORT: '0',
    USHER_ORDER_SERVER_URL: orderUrl,
    ...(publicUrls === undefined ? {} : { USHER_PUBLIC_URL: orderUrl, USHER_MEDIA_PUBLIC_URL: mediaUrl }),
    USHER_DEMO: '1',
    USHER_DEMO_SERVER: registration,
    USHER_LOG_LEVEL: process.env.USHER_TEST_LOG ?? 'warn',
  };
  const playPorts = { rtmpPort: rtmp, httpFlvPort: flv, rtspPort: rtsp, rtspsPort: rtsps };
  return { dataDir, env, orderUrl, mediaUrl, ...playPorts };
}

export interface RunningProcess {
  readonly child: ChildProcess;
  /** The message with which it said that it was ready. */
  readonly ready: Record<string, unknown>;
  /** Everything that it wrote to its outputs. */
  output(): string;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/**
 * Starts one of the servers and waits until it says that it serves.
 * @param execPath what runs it, where that is not this Node itself
 */
export async function startProcess(
  entry: 'admin/main.ts' | 'plugin/main.ts',
  env: NodeJS.ProcessEnv,
  execPath = process.execPath,
): Promise<RunningProcess> {
  const stdio = ['ignore', 'pipe', 'pipe', 'ipc'] as const;
  const child = fork(join(ROOT, entry), { cwd: ROOT, env, execPath, stdio: [...stdio] });
  let output = '';
  const keep = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(-200_000));
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  const ready = await new Promise<Record<string, unknown>>((resolve, reject) => {
    child.once('message', (message) => resolve(message as Record<string, unknown>));
    child.once('exit', (code) => reject(new Error(`${entry} ended with ${String(code)}\n${output}`)));
  });
  return {
    child,
    ready,
    output: () => output,
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
    },
  };
}

export interface Stack extends StackEnvironment {
  readonly order: RunningProcess;
  readonly media: RunningProcess;
  readonly streamKey: string;
  /** RTMP URL of a stream path, with its key as encoders are given it. */
  publishUrl(path?: string, key?: string): string;
  stop(): Promise<void>;
}

export const DEMO_PATH = '/live/demo';

/** @param settings of the servers' own, beyond those of `stackEnvironment` */
export async function startStack(settings: NodeJS.ProcessEnv = {}): Promise<Stack> {
  const plain = await stackEnvironment();
  const environment = { ...plain, env: { ...plain.env, ...settings } };
  // In this order: a media server that finds no order server admits nobody until it has tried again.
  const order = await startProcess('admin/main.ts', environment.env);
  const media = await startProcess('plugin/main.ts', environment.env);
  const { streamKey } = order.ready.demo as { streamKey: string };
  return {
    ...environment,
    order,
    media,
    streamKey,
    publishUrl: (path = DEMO_PATH, key = streamKey) =>
      `rtmp://127.0.0.1:${String(environment.rtmpPort)}${path}?key=${key}`,
    async stop() {
      await Promise.all([order.stop(), media.stop()]);
      await rm(environment.dataDir, { recursive: true, force: true });
    },
  };
}

export interface Encoder {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  stderr(): string;
  stop(): Promise<void>;
}

/**
 * Runs ffmpeg with the arguments given, quiet and without a terminal.
 * @param enter put before it: what runs it on another host
 */
export function runFfmpeg(args: readonly string[], enter: readonly string[] = []): Encoder {
  const [program, ...before] = [...enter, 'ffmpeg'] as const;
  const child = spawn(program, [...before, '-hide_banner', '-nostdin', '-loglevel', 'error', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-20_000)));
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  return {
    child,
    exited,
    stderr: () => stderr,
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

const H264 = '-c:v libx264 -preset ultrafast -tune zerolatency -profile:v baseline -pix_fmt yuv420p';

/** What OBS makes by default, with x264: B-frames, High profile, a keyframe every 250 pictures. */
export function obsDefaults(bFrames = 2): readonly string[] {
  return [
    ...['-c:v', 'libx264', '-preset', 'veryfast', '-profile:v', 'high', '-bf', String(bFrames), '-g', '250'],
    ...['-b:v', '2500k', '-maxrate', '2500k', '-bufsize', '2500k', '-pix_fmt', 'yuv420p'],
    ...['-c:a', 'aac', '-b:a', '160k', '-ar', '48000', '-ac', '2'],
  ];
}

/**
 * The picture of the test card, as ffmpeg describes it: four quadrants of fixed colours (red, green, blue, yellow), and a
 * white flash over the lower half in the first 100 ms of each second.
 */
export const testCardPicture = (fps: number): string =>
  [
    `color=c=red:s=640x360:r=${String(fps)}`,
    'drawbox=x=320:y=0:w=320:h=180:color=green:t=fill',
    'drawbox=x=0:y=180:w=320:h=180:color=blue:t=fill',
    'drawbox=x=320:y=180:w=320:h=180:color=yellow:t=fill',
    "drawbox=x=240:y=240:w=160:h=120:color=white:t=fill:enable='lt(mod(t,1),0.1)'",
  ].join(',');

/** Its sound: a 1,000 Hz beep with each flash. */
export const TEST_CARD_SOUND = "aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.1)':s=48000";

function testCardInputs(fps: number): string[] {
  return ['-re', '-f', 'lavfi', '-i', testCardPicture(fps), '-re', '-f', 'lavfi', '-i', TEST_CARD_SOUND];
}

export interface TestCardOptions {
  /** Frames from one keyframe to the next. */
  readonly keyframeFrames?: number;
  readonly fps?: number;
  /** Arguments that say how it is encoded; default: what every browser shows. */
  readonly codecs?: readonly string[];
  /** As `runFfmpeg` has it. */
  readonly enter?: readonly string[];
}

/** Publishes the test card by RTMP. */
export function publishTestCard(url: string, options: TestCardOptions = {}): Encoder {
  const { keyframeFrames = 15, fps = 30, enter = [] } = options;
  const simple = [...H264.split(' '), '-g', String(keyframeFrames), '-c:a', 'aac', '-b:a', '128k'];
  const args = [...testCardInputs(fps), ...(options.codecs ?? simple), ...['-f', 'flv', url]];
  return runFfmpeg(args, enter);
}

/** Sends the test card as RTP to this machine: H.264 to `port`, Opus to `port + 2`, RTCP to the ports after them. */
export function sendTestCard(port: number): Encoder {
  const to = (at: number, ssrc: number, payloadType: number): string[] => [
    ...['-ssrc', String(ssrc), '-payload_type', String(payloadType), '-f', 'rtp'],
    `rtp://127.0.0.1:${String(at)}?rtcpport=${String(at + 1)}&pkt_size=1200`,
  ];
  return runFfmpeg([
    ...testCardInputs(30),
    ...['-map', '0:v', ...H264.split(' '), '-g', '15', '-bsf:v', 'dump_extra', ...to(port, 1111, 96)],
    ...['-map', '1:a', '-c:a', 'libopus', '-ac', '2', ...to(port + 2, 2222, 97)],
  ]);
}
