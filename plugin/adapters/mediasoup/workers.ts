/**
 * The stage's workers. Each has a WebRtcServer on a port of its own and routers of its own; viewers go to the one with
 * the fewest. A worker that dies takes its own viewers with it and nobody else's.
 */
import type { types } from 'mediasoup';
import { Denial } from '../../errors.ts';
import type { Log } from '../../ports.ts';
import { listenInfos, type StageListen } from './listen.ts';
import { createRouterPool, type RouterPool } from './routers.ts';

/** What the viewers of one worker share. */
export interface Station {
  readonly webRtcServer: types.WebRtcServer;
  readonly routers: RouterPool;
}

/** A viewing's place on a worker. */
export interface Place {
  readonly station: Station;
  /** Idempotent. */
  release(): void;
}

export interface WorkerPoolOptions {
  readonly workers: readonly types.Worker[];
  /** Makes a worker in the place of one that died. */
  readonly createWorker: (() => Promise<types.Worker>) | undefined;
  /** One or more addresses, on each of which every worker listens. */
  readonly listen: StageListen | readonly StageListen[];
  /** Of each worker. */
  readonly maxRouters: number;
  readonly log: Log;
  /** Called for each worker that dies: what was on it has gone. */
  readonly onDied: (station: Station) => void;
  /** Called once, when the last worker has died and none will come. */
  readonly onNoneLeft: (error: Error) => void;
}

export interface WorkerPool {
  /**
   * A place on the worker with the fewest viewings.
   * @throws Denial `overloaded` when all that are alive, if any, are among those `except`ed
   */
  place(except?: readonly Station[]): Place;
  /** Resolves when there is a worker; when one is being made in the place of the last, that takes 3 s at most. */
  ready(): Promise<void>;
  isAlive(station: Station): boolean;
  /** Workers that are alive. */
  alive(): number;
  /** Routers kept for offer profiles, in use or not. */
  routers(): number;
  /** Closes what it made on the workers, and the workers that it made. */
  close(): void;
}

const READY_WITHIN_MS = 3000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 30_000;
/** A worker that lived this long did not die of its start. */
const SOUND_AFTER_MS = 60_000;

/** Milliseconds to wait before a worker is made anew: at once after the first death, then longer each time. */
export function retryDelayMs(deathsInARow: number): number {
  return deathsInARow <= 1 ? 0 : Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (deathsInARow - 2));
}

interface Post {
  readonly index: number;
  station: Station | undefined;
  viewings: number;
  deathsInARow: number;
  startedMs: number;
}

/** @throws TypeError when a list of ports has too few; Error when a port is taken or a worker dies at once */
export async function createWorkerPool(options: WorkerPoolOptions): Promise<WorkerPool> {
  const { workers, createWorker, listen, maxRouters, log, onDied, onNoneLeft } = options;
  const own = new Set<types.Worker>();
  const retries = new Set<NodeJS.Timeout>();
  /** Resolves with the next worker that takes another's place. */
  let replaced = Promise.withResolvers<undefined>();
  let open = true;
  let lostAtStart: Error | undefined;
  let started = false;

  /** The worker starts to serve: from here on it may die at any time. */
  async function staff(post: Post, worker: types.Worker): Promise<void> {
    const webRtcServer = await worker.createWebRtcServer({ listenInfos: listenInfos(listen, post.index) });
    const station: Station = { webRtcServer, routers: createRouterPool(worker, maxRouters) };
    post.station = station;
    post.viewings = 0;
    post.startedMs = performance.now();
    worker.once('died', (error) => lose(post, station, worker, error));
  }

  function lose(post: Post, station: Station, worker: types.Worker, error: Error): void {
    own.delete(worker);
    if (!open) return;
    log.error({ worker: post.index, viewings: post.viewings }, 'a mediasoup worker has died');
    post.station = undefined;
    post.deathsInARow = performance.now() - post.startedMs < SOUND_AFTER_MS ? post.deathsInARow + 1 : 1;
    if (!started) return void (lostAtStart = error);
    onDied(station);
    if (createWorker !== undefined) retry(post, createWorker);
    else if (posts.every((each) => each.station === undefined)) onNoneLeft(error);
  }

  function retry(post: Post, create: () => Promise<types.Worker>): void {
    const timer = setTimeout(() => {
      retries.delete(timer);
      replace(post, create).catch((error: unknown) => {
        if (!open) return;
        post.deathsInARow += 1;
        log.error({ worker: post.index, error: String(error) }, 'no worker could be put in its place');
        retry(post, create);
      });
    }, retryDelayMs(post.deathsInARow));
    retries.add(timer);
  }

  async function replace(post: Post, create: () => Promise<types.Worker>): Promise<void> {
    const worker = await create();
    own.add(worker);
    try {
      await staff(post, worker);
    } catch (error) {
      own.delete(worker);
      worker.close();
      throw error;
    }
    if (!open) return worker.close();
    replaced.resolve(undefined);
    replaced = Promise.withResolvers();
    log.info({ worker: post.index }, 'another mediasoup worker has taken its place');
  }

  const posts = workers.map((_worker, index): Post => ({
    index,
    station: undefined,
    viewings: 0,
    deathsInARow: 0,
    startedMs: 0,
  }));
  await Promise.all(workers.map((worker, index) => staff(posts[index] as Post, worker)));
  if (lostAtStart !== undefined) throw new Error('a worker died at its start', { cause: lostAtStart });
  started = true;

  return {
    place(except = []) {
      let best: { post: Post; station: Station } | undefined;
      for (const post of posts) {
        const { station } = post;
        if (station === undefined || except.includes(station)) continue;
        if (best === undefined || post.viewings < best.post.viewings) best = { post, station };
      }
      if (best === undefined) throw new Denial('overloaded', { detail: 'no worker' });
      const { post, station } = best;
      let taken = true;
      post.viewings += 1;
      return {
        station,
        release() {
          if (taken && post.station === station) post.viewings -= 1;
          taken = false;
        },
      };
    },
    async ready() {
      if (createWorker === undefined || posts.some(({ station }) => station !== undefined)) return;
      const late = new Promise((resolve) => setTimeout(resolve, READY_WITHIN_MS).unref());
      await Promise.race([late, replaced.promise]);
    },
    isAlive: (station) => posts.some((post) => post.station === station),
    alive: () => posts.filter(({ station }) => station !== undefined).length,
    routers: () => posts.reduce((sum, { station }) => sum + (station?.routers.size() ?? 0), 0),
    close() {
      open = false;
      for (const timer of retries) clearTimeout(timer);
      for (const { station } of posts) {
        station?.routers.close();
        station?.webRtcServer.close();
      }
      for (const worker of own) worker.close();
    },
  };
}
