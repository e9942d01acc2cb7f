/** The servers that are killed: each is started again by itself, as a service manager does it, a little later. */
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { startPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import {
  publishTestCard,
  stackEnvironment,
  startProcess,
  type RunningProcess,
  type StackEnvironment,
} from '../../test/support/stack.ts';
import { eventually } from '../../test/support/flv-readers.ts';

export const VICTIMS = ['media server', 'order server', 'PostgreSQL'] as const;
export type Victim = (typeof VICTIMS)[number];

const RETRY_MS = 200;
const START_WITHIN_MS = 90_000;

/** One run of a server. */
interface Life {
  readonly gone: Promise<unknown>;
  kill(): unknown;
  /** In order. */
  stop(): Promise<unknown>;
  /** Its last words. */
  output(): string;
}

export interface Server {
  isUp(): boolean;
  /** Resolves when it serves. @throws Error (rejects with it) when it does not within 90 s */
  whenUp(): Promise<void>;
  /** Kills the process that runs now by SIGKILL; resolves when it has gone, and it stays away for so long. */
  kill(awayMs: number): Promise<void>;
  /** When it was killed, on the clock of `performance.now`. */
  readonly killedAtMs: readonly number[];
  /** Starts that failed, while something that it needs was away. */
  failedStarts(): number;
  /** Ends that nobody asked for. */
  readonly faults: readonly string[];
  stop(): Promise<void>;
}

/** Keeps a server running from now on. */
function keepRunning(name: string, start: () => Promise<Life>): Server {
  const killedAtMs: number[] = [];
  const faults: string[] = [];
  let life: Life | undefined;
  let awayMs = 0;
  let killed = false;
  let stopping = false;
  let failed = 0;
  const isStopping = (): boolean => stopping;
  const isExpected = (): boolean => killed || stopping;

  async function run(): Promise<void> {
    while (!isStopping()) {
      const started = await start().catch(() => undefined);
      if (started === undefined) {
        failed += 1;
        await sleep(RETRY_MS);
        continue;
      }
      killed = false;
      life = started;
      if (isStopping()) await started.stop();
      await started.gone;
      life = undefined;
      if (!isExpected()) faults.push(`the ${name} ended by itself: ${started.output().slice(-2000)}`);
      if (!isStopping()) await sleep(awayMs);
    }
  }
  const running = run();

  return {
    isUp: () => life !== undefined && !killed,
    async whenUp() {
      await eventually(() => life !== undefined && !killed, START_WITHIN_MS);
    },
    async kill(forMs) {
      if (life === undefined) return;
      awayMs = forMs;
      killed = true;
      killedAtMs.push(performance.now());
      const { gone } = life;
      life.kill();
      await gone;
    },
    killedAtMs,
    failedStarts: () => failed,
    faults,
    async stop() {
      stopping = true;
      await life?.stop();
      await running;
    },
  };
}

function lifeOf({ child, output, stop }: RunningProcess): Life {
  const gone = new Promise((resolve) => child.once('exit', resolve));
  return { gone, kill: () => child.kill('SIGKILL'), stop: () => stop(), output };
}

export interface ChaosStack extends StackEnvironment {
  readonly databaseUrl: string;
  readonly servers: Readonly<Record<Victim, Server>>;
  stop(): Promise<void>;
}

/** @param receiptSeconds from one receipt of a session to the next */
export async function startChaosStack(path: string, receiptSeconds: number): Promise<ChaosStack> {
  const environment = await stackEnvironment();
  const postgres: TestPostgres = await startPostgres();
  const env = {
    ...environment.env,
    DATABASE_URL: postgres.url,
    USHER_RECEIPT_SECONDS: String(receiptSeconds),
  };
  let streamKey = '';
  let isFirst = true;
  const database = keepRunning('PostgreSQL', async () => {
    if (!isFirst) await postgres.restart();
    isFirst = false;
    const gone = Promise.withResolvers<undefined>();
    const end = (how: () => Promise<void>) => async () => {
      await how();
      gone.resolve(undefined);
    };
    return { gone: gone.promise, kill: end(postgres.kill), stop: end(postgres.stop), output: () => '' };
  });
  const orders = keepRunning('order server', async () => {
    const process = await startProcess('admin/main.ts', env);
    ({ streamKey } = process.ready.demo as { streamKey: string });
    return lifeOf(process);
  });
  const started: { stop(): Promise<void> }[] = [orders, database, postgres];
  async function stop(): Promise<void> {
    for (const one of started) await one.stop();
    await rm(environment.dataDir, { recursive: true, force: true });
  }
  try {
    await orders.whenUp();
    const media = keepRunning('media server', async () => lifeOf(await startProcess('plugin/main.ts', env)));
    const publisher = keepPublishing(
      () => `rtmp://127.0.0.1:${String(environment.rtmpPort)}${path}?key=${streamKey}`,
    );
    started.unshift(publisher, media);
    await media.whenUp();
    const servers = { 'media server': media, 'order server': orders, PostgreSQL: database };
    return { ...environment, databaseUrl: postgres.url, servers, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Small pictures, ten a second: fifty viewers share two cores with three servers. */
const SMALL = [
  ...['-s', '160x90', '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency'],
  ...['-profile:v', 'baseline', '-pix_fmt', 'yuv420p', '-g', '10', '-b:v', '40k'],
  ...['-c:a', 'aac', '-b:a', '24k', '-ar', '48000', '-ac', '1'],
];

/** Publishes, and begins again whenever the media server has gone. */
function keepPublishing(url: () => string): { stop(): Promise<void> } {
  let stopping = false;
  let encoder: ReturnType<typeof publishTestCard> | undefined;
  const run = async (): Promise<void> => {
    while (!stopping) {
      encoder = publishTestCard(url(), { fps: 10, codecs: SMALL });
      await encoder.exited;
      await sleep(RETRY_MS);
    }
  };
  const running = run();
  return {
    async stop() {
      stopping = true;
      await encoder?.stop();
      await running;
    },
  };
}
