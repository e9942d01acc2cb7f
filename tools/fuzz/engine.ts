/** Runs a target on inputs, and says what it finds. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { collectInputs, inputOf } from './inputs.ts';
import { loadTarget } from './targets.ts';
import type { FuzzWorkerData, FuzzWorkerMessage } from './worker.ts';

export interface FuzzOptions {
  readonly module: URL;
  /** Folder of files to begin with, relative to the clone. */
  readonly corpus: string;
  /** 32 bits: the same inputs again. */
  readonly seed: number;
  readonly milliseconds: number;
  /** What an input may take. Default 250 ms: 64 KiB are parsed in far less. */
  readonly slowMs?: number;
  /** An input that takes longer hangs. Default 20 s. */
  readonly hangMs?: number;
}

export interface FuzzFind {
  readonly kind: 'crash' | 'slow' | 'growth' | 'hang';
  readonly number: number;
  readonly detail: string;
  readonly input: Buffer;
}

export interface FuzzResult {
  readonly inputs: number;
  /** Those that were refused as they should be. */
  readonly refused: number;
  readonly find: FuzzFind | undefined;
}

const DEFAULT_SLOW_MS = 250;
const DEFAULT_HANG_MS = 20_000;
const MAX_HEAP_MB = 256;

/** Answers after the time that was given, or with the first find. */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { module, seed, milliseconds, slowMs = DEFAULT_SLOW_MS, hangMs = DEFAULT_HANG_MS } = options;
  const inputs = collectInputs(await loadTarget(module), seed, options.corpus);
  const current = new SharedArrayBuffer(4);
  const watched = new Int32Array(current);
  const data: FuzzWorkerData = { module: module.href, inputs, current, milliseconds, slowMs };
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: data,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
  const findOf = (kind: FuzzFind['kind'], detail: string): FuzzResult => {
    const number = Atomics.load(watched, 0);
    return { inputs: number, refused: 0, find: { kind, number, detail, input: inputOf(inputs, number) } };
  };
  const stuck = watch(watched, hangMs);
  try {
    return await Promise.race([
      once(worker, 'message').then(([message]) => {
        const { inputs: count, refused, find } = message as FuzzWorkerMessage;
        const found = find && { ...find, input: inputOf(inputs, find.number) };
        return { inputs: count, refused, find: found };
      }),
      // Out of memory, or what no `catch` sees.
      once(worker, 'error').then(([error]) => findOf('crash', String(error))),
      stuck.hung.then(() => findOf('hang', `more than ${String(hangMs / 1000)} s`)),
    ]);
  } finally {
    stuck.stop();
    await worker.terminate();
  }
}

/** @returns `hung`: resolves when the number stays the same for so long */
function watch(watched: Int32Array, hangMs: number): { hung: Promise<void>; stop: () => void } {
  let last = -1;
  let sinceMs = performance.now();
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = setInterval(
    () => {
      const number = Atomics.load(watched, 0);
      if (number !== last) sinceMs = performance.now();
      last = number;
      if (performance.now() - sinceMs > hangMs) resolve(undefined);
    },
    Math.min(1000, hangMs / 4),
  );
  return { hung: promise, stop: () => clearInterval(timer) };
}
