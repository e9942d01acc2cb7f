/** The lane of a fan-out that another thread has. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Lane, LaneOutlet } from './fan-out-lane.ts';
import { COUNTERS, type OutletKey } from './fan-out-outlet.ts';
import type { UdpPeer } from './fan-out-socket.ts';

/** What the thread is told; packets come as `[stream, length, octets]...`. */
export type ThreadMessage =
  | {
      readonly do: 'add';
      readonly stream: number;
      readonly id: number;
      readonly outlet: LaneOutlet;
      readonly counters: Float64Array;
    }
  | { readonly do: 'rekey'; readonly id: number; readonly key: OutletKey }
  | { readonly do: 'pause'; readonly id: number; readonly isPaused: boolean }
  | { readonly do: 'remove'; readonly id: number }
  | { readonly do: 'closeStream'; readonly stream: number }
  | { readonly do: 'send'; readonly packets: Uint8Array }
  | { readonly do: 'close' };

export interface ThreadData {
  readonly local: UdpPeer;
  readonly maxQueuedBytes: number;
  /** Octets of packets that the thread has sent, modulo 2^32. */
  readonly done: SharedArrayBuffer;
}

export interface ThreadLane extends Lane {
  /** False once the thread has ended, by itself or as it was told: nothing goes out of it any more. */
  isRunning(): boolean;
  /** Resolves when the thread has ended. */
  ended(): Promise<void>;
}

export const RECORD_HEAD_BYTES = 8;
const BATCH_BYTES = 64 * 1024;
/** About a second of a stream of 16 Mb/s; what the thread is behind by more is dropped. */
const MAX_WAITING_BYTES = 2 << 20;

/**
 * Starts a thread that sends from `local`, which a socket of `openSocket` is bound to.
 * @param onLost told when it ends by itself
 * @throws Error when the thread cannot bind it too
 */
export async function openThread(
  local: UdpPeer,
  maxQueuedBytes: number,
  onLost: (error: Error) => void,
): Promise<ThreadLane> {
  const done = new SharedArrayBuffer(4);
  const doneBytes = new Uint32Array(done);
  const workerData: ThreadData = { local, maxQueuedBytes, done };
  // Running from source or from the build.
  const file = import.meta.url.endsWith('.ts') ? './fan-out-worker.ts' : './fan-out-worker.js';
  const worker = new Worker(new URL(file, import.meta.url), { workerData });
  await once(worker, 'message');
  let isRunning = true;
  worker.on('error', onLost);
  const exit = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      isRunning = false;
      resolve();
    });
  });
  /** Receivers' counters, by streams: those of whom packets have no room for are counted here. */
  const receivers = new Map<number, { readonly stream: number; readonly counters: Float64Array }>();
  let batch = Buffer.allocUnsafeSlow(BATCH_BYTES);
  let [filled, postedBytes] = [0, 0];
  let isScheduled = false;

  /** Keys alone: a view of larger memory would be sent with all of it. */
  const alone = <K extends OutletKey>(key: K): K => ({
    ...key,
    master: { key: Uint8Array.from(key.master.key), salt: Uint8Array.from(key.master.salt) },
    ...(key.mki === undefined ? {} : { mki: Uint8Array.from(key.mki) }),
  });

  const post = (message: ThreadMessage, transfer: ArrayBuffer[] = []): void =>
    worker.postMessage(message, transfer);

  function flush(): void {
    isScheduled = false;
    if (filled === 0) return;
    post({ do: 'send', packets: batch.subarray(0, filled) }, [batch.buffer]);
    batch = Buffer.allocUnsafeSlow(BATCH_BYTES);
    filled = 0;
  }

  /** In order with the packets before it. */
  function tell(message: ThreadMessage): void {
    flush();
    post(message);
  }

  function drop(stream: number): void {
    for (const receiver of receivers.values()) {
      const { counters } = receiver;
      if (receiver.stream === stream) counters[COUNTERS.unqueued] = (counters[COUNTERS.unqueued] ?? 0) + 1;
    }
  }

  return {
    add(stream, id, outlet, counters) {
      receivers.set(id, { stream, counters });
      tell({ do: 'add', stream, id, outlet: alone(outlet), counters });
    },
    rekey: (id, key) => tell({ do: 'rekey', id, key: alone(key) }),
    setPaused: (id, isPaused) => tell({ do: 'pause', id, isPaused }),
    remove(id) {
      receivers.delete(id);
      tell({ do: 'remove', id });
    },
    closeStream(stream) {
      for (const [id, receiver] of receivers) if (receiver.stream === stream) receivers.delete(id);
      tell({ do: 'closeStream', stream });
    },
    send(stream, packet) {
      const bytes = RECORD_HEAD_BYTES + packet.length;
      const waitingBytes = (postedBytes - (doneBytes[0] ?? 0)) >>> 0;
      if (!isRunning || waitingBytes + bytes > MAX_WAITING_BYTES) {
        drop(stream);
        return;
      }
      if (filled + bytes > BATCH_BYTES) flush();
      batch.writeUInt32LE(stream, filled);
      batch.writeUInt32LE(packet.length, filled + 4);
      batch.set(packet, filled + RECORD_HEAD_BYTES);
      filled += bytes;
      postedBytes = (postedBytes + bytes) >>> 0;
      if (!isScheduled) setImmediate(flush);
      isScheduled = true;
    },
    close() {
      receivers.clear();
      tell({ do: 'close' });
    },
    isRunning: () => isRunning,
    ended: () => exit,
  };
}
