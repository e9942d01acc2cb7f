/** Runs a target on inputs, and says what it finds. */
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
  /** What memory has grown by in the second part of the time; 0 where it did not come so far. */
  readonly grownBytes: number;
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
    const find = { kind, number, detail, input: inputOf(inputs, number) };
    return { inputs: number, refused: 0, grownBytes: 0, find };
  };
  const { promise: result, resolve } = Promise.withResolvers<FuzzResult>();
  worker.once('message', ({ find, ...counts }: FuzzWorkerMessage) => {
    resolve({ ...counts, find: find && { ...find, input: inputOf(inputs, find.number) } });
  });
  // Out of memory, or what no `catch` sees; and a target that ends the thread.
  worker.once('error', (error) => resolve(findOf('crash', String(error))));
  worker.once('exit', (status) => resolve(findOf('crash', `the thread ended with ${String(status)}`)));
  const stop = watch(watched, hangMs, () => resolve(findOf('hang', `more than ${String(hangMs / 1000)} s`)));
  try {
    return await result;
  } finally {
    stop();
    await worker.terminate();
  }
}

/**
 * @param onHung told when the number stays the same for so long
 * @returns what ends the watch
 */
function watch(watched: Int32Array, hangMs: number, onHung: () => void): () => void {
  let last = -1;
  let sinceMs = performance.now();
  const timer = setInterval(
    () => {
      const number = Atomics.load(watched, 0);
      if (number !== last) sinceMs = performance.now();
      last = number;
      if (performance.now() - sinceMs > hangMs) onHung();
    },
    Math.min(1000, hangMs / 4),
  );
  return () => clearInterval(timer);
}
