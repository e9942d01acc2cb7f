/** The thread that a target is fuzzed in: it may crash, hang or use up its memory. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parentPort, workerData } from 'node:worker_threads';
import { inputOf, type Inputs } from './inputs.ts';
import type { FuzzTarget } from './target.ts';
import { loadTarget } from './targets.ts';

export interface FuzzWorkerData {
  readonly module: string;
  readonly inputs: Inputs;
  /** Number of the input that is being taken, for whoever watches. */
  readonly current: SharedArrayBuffer;
  readonly milliseconds: number;
  /** Milliseconds that an input may take. */
  readonly slowMs: number;
}

export interface FuzzWorkerMessage {
  readonly inputs: number;
  readonly refused: number;
  readonly grownBytes: number;
  readonly find?: {
    readonly number: number;
    readonly kind: 'crash' | 'slow' | 'growth';
    readonly detail: string;
  };
}

/** A first part of the time makes what stays: code, memories that are full. */
const WARM_SHARE = 0.4;
const MAX_GROWTH_BYTES = 8 << 20;
const COLLECTIONS = 5;
const COLLECTION_PAUSE_MS = 20;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** What is left after collections: V8 gives memory of buffers back in the background, later on a busy machine. */
function usedBytes(): number {
  const used = Array.from({ length: COLLECTIONS }, () => {
    collect();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, COLLECTION_PAUSE_MS);
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  });
  return Math.min(...used);
}

/** Milliseconds that an input takes, at best: the machine has other things to do as well. */
async function timeOf(target: FuzzTarget, input: Buffer): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < 3; run++) {
    const copy = Buffer.from(input);
    const startMs = performance.now();
    await take(target, copy);
    times.push(performance.now() - startMs);
  }
  return Math.min(...times);
}

/** True when it was refused. */
async function take(target: FuzzTarget, input: Buffer): Promise<boolean> {
  try {
    await target.take(input);
    return false;
  } catch (error) {
    if (!target.refusals.some((refusal) => error instanceof refusal)) throw error;
    return true;
  }
}

async function fuzz({
  module,
  inputs,
  current,
  milliseconds,
  slowMs,
}: FuzzWorkerData): Promise<FuzzWorkerMessage> {
  const target = await loadTarget(new URL(module));
  const watched = new Int32Array(current);
  const startMs = performance.now();
  let refused = 0;
  let warmBytes: number | undefined;
  for (let number = 0; ; number++) {
    const elapsedMs = performance.now() - startMs;
    if (number >= inputs.seeds.length && elapsedMs >= milliseconds) {
      const grownBytes = usedBytes() - (warmBytes ?? Infinity);
      const detail = `${(grownBytes / 2 ** 20).toFixed(1)} MiB more after than before the second part`;
      const grown = grownBytes > MAX_GROWTH_BYTES ? { number, kind: 'growth' as const, detail } : undefined;
      return { inputs: number, refused, grownBytes, ...(grown === undefined ? {} : { find: grown }) };
    }
    if (warmBytes === undefined && elapsedMs >= milliseconds * WARM_SHARE) warmBytes = usedBytes();
    const found = (kind: 'crash' | 'slow', detail: string): FuzzWorkerMessage => {
      return { inputs: number, refused, grownBytes: 0, find: { number, kind, detail } };
    };
    Atomics.store(watched, 0, number);
    const input = inputOf(inputs, number);
    const fromMs = performance.now();
    try {
      if (await take(target, Buffer.from(input))) refused += 1;
      if (performance.now() - fromMs > slowMs) {
        const ms = await timeOf(target, input);
        if (ms > slowMs) return found('slow', `${ms.toFixed(0)} ms`);
      }
    } catch (error) {
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      return found('crash', detail);
    }
  }
}

parentPort?.postMessage(await fuzz(workerData as FuzzWorkerData));
