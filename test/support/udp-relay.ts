/**
 * A bad network for UDP: a relay that loses, doubles, damages, delays and reorders datagrams, each direction apart. What happens
 * to the nth datagram of a direction follows from the seed and n alone, so that a run can be repeated.
 */
import { randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** What one direction does to its datagrams; all off by default. Shares are from 0 to 1. */
export interface Impairment {
  /** Share that never arrives. */
  readonly loss?: number;
  /** Share that arrives twice. */
  readonly duplication?: number;
  /** Share of bits that arrive as their opposite. */
  readonly bitErrors?: number;
  /** Share that is held back by `reorderMs` more, so that later ones overtake it. */
  readonly reordering?: number;
  /** Default 20. */
  readonly reorderMs?: number;
  readonly delayMs?: number;
  /** Evenly spread from 0 up to this, on top of the delay; it changes no order. */
  readonly jitterMs?: number;
  /** What passes in a second; what would wait for more than 300 ms is lost. */
  readonly bitsPerSecond?: number;
  /** Those that never arrive, whatever the seed. */
  readonly blocks?: (datagram: Buffer) => boolean;
}

export interface DirectionCounts {
  readonly received: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly damaged: number;
  readonly reordered: number;
  /** Dropped because too many waited, or because there were too many clients. */
  readonly overflowed: number;
  readonly sent: number;
}

export interface Fate {
  /** When to send it, in the milliseconds of the question: not at all, once or twice. */
  readonly dueMs: readonly number[];
  readonly isReordered: boolean;
}

/** Numbers from 0 to below 1 that follow from the seed: mulberry32. Not for secrets. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

const DEFAULT_REORDER_MS = 20;
/** What the buffers of a slow line hold. */
const MAX_QUEUE_MS = 300;
const BLOCKED: Fate = { dueMs: [], isReordered: false };

/** Decides on one datagram after the other. Each takes four random numbers, whatever the impairment is. */
export function createFates(seed: number): (impairment: Impairment, nowMs: number) => Fate {
  const random = createRandom(seed);
  let lastInOrderMs = -Infinity;
  return (impairment, nowMs) => {
    const [lossDraw, duplicationDraw, reorderingDraw, jitterDraw] = [random(), random(), random(), random()];
    const { loss = 0, duplication = 0, reordering = 0, reorderMs = DEFAULT_REORDER_MS } = impairment;
    const { delayMs = 0, jitterMs = 0 } = impairment;
    if (lossDraw < loss) return { dueMs: [], isReordered: false };
    const inOrderMs = Math.max(lastInOrderMs, nowMs + delayMs + jitterMs * jitterDraw);
    const isReordered = reorderingDraw < reordering;
    if (!isReordered) lastInOrderMs = inOrderMs;
    const dueMs = isReordered ? inOrderMs + reorderMs : inOrderMs;
    return { dueMs: duplicationDraw < duplication ? [dueMs, dueMs] : [dueMs], isReordered };
  };
}

interface Waiting {
  readonly dueMs: number;
  readonly send: () => void;
}

interface Direction {
  impairment: Impairment;
  take(datagram: Buffer, send: (datagram: Buffer) => void): void;
  refuse(): void;
  counts(): DirectionCounts;
  close(): void;
}

/** Turns bits over, as many as are asked for on average; what is drawn does not depend on where datagrams begin. */
export function createDamage(seed: number): (datagram: Buffer, bitErrors: number) => Buffer {
  const random = createRandom(seed);
  const gap = (bitErrors: number): number => Math.floor(Math.log(1 - random()) / Math.log(1 - bitErrors));
  let next: number | undefined;
  return (datagram, bitErrors) => {
    if (bitErrors === 0) return datagram;
    const bits = datagram.length * 8;
    let at = next ?? gap(bitErrors);
    const damaged = at < bits ? Buffer.from(datagram) : datagram;
    for (; at < bits; at += 1 + gap(bitErrors)) damaged[at >> 3] = (damaged[at >> 3] ?? 0) ^ (1 << (at & 7));
    next = at - bits;
    return damaged;
  };
}

function createDirection(seed: number, initial: Impairment, maxWaiting: number): Direction {
  const decide = createFates(seed);
  const damage = createDamage(seed ^ 0x3333_3333);
  const counts = { received: 0, lost: 0, duplicated: 0, damaged: 0, reordered: 0, overflowed: 0, sent: 0 };
  let waiting: Waiting[] = [];
  let timer: NodeJS.Timeout | undefined;
  let lineFreeMs = -Infinity;

  /** Milliseconds until a datagram has passed a line of so many bits a second; `undefined` when it does not wait. */
  function passLine(bytes: number, nowMs: number, bitsPerSecond = Infinity): number | undefined {
    const startMs = Math.max(nowMs, lineFreeMs);
    if (startMs - nowMs > MAX_QUEUE_MS) return undefined;
    lineFreeMs = startMs + (bytes * 8 * 1000) / bitsPerSecond;
    return lineFreeMs - nowMs;
  }

  function flush(): void {
    timer = undefined;
    const nowMs = performance.now();
    while (waiting[0] !== undefined && waiting[0].dueMs <= nowMs) {
      counts.sent += 1;
      waiting.shift()?.send();
    }
    if (waiting[0] !== undefined) timer = setTimeout(flush, waiting[0].dueMs - nowMs);
  }

  function enqueue(entry: Waiting): void {
    if (waiting.length >= maxWaiting) {
      counts.overflowed += 1;
      return;
    }
    // Almost always the last one: what comes first and is due at the same time stays first.
    let at = waiting.length;
    while (at > 0 && (waiting[at - 1]?.dueMs ?? 0) > entry.dueMs) at -= 1;
    waiting.splice(at, 0, entry);
  }

  return {
    impairment: initial,
    take(datagram, send) {
      counts.received += 1;
      const nowMs = performance.now();
      const fate = decide(this.impairment, nowMs);
      const { dueMs, isReordered } = this.impairment.blocks?.(datagram) === true ? BLOCKED : fate;
      if (dueMs.length === 0) counts.lost += 1;
      if (dueMs.length === 2) counts.duplicated += 1;
      const arriving = damage(datagram, this.impairment.bitErrors ?? 0);
      if (arriving !== datagram && dueMs.length > 0) counts.damaged += 1;
      if (isReordered) counts.reordered += 1;
      for (const due of dueMs) {
        const lineMs = passLine(datagram.length, nowMs, this.impairment.bitsPerSecond);
        if (lineMs === undefined) counts.overflowed += 1;
        else enqueue({ dueMs: due + lineMs, send: () => send(arriving) });
      }
      clearTimeout(timer);
      flush();
    },
    refuse: () => void (counts.overflowed += 1),
    counts: () => ({ ...counts }),
    close() {
      clearTimeout(timer);
      waiting = [];
    },
  };
}

export interface UdpRelayOptions {
  /** Where datagrams of clients go. */
  readonly server: { readonly address: string; readonly port: number };
  /** An integer; random when absent. */
  readonly seed?: number;
  readonly towardsServer?: Impairment;
  readonly towardsClients?: Impairment;
  /** Datagrams that may wait in each direction; default 4,096. */
  readonly maxWaiting?: number;
  /** Addresses that may send through it; default 16. */
  readonly maxClients?: number;
}

export interface UdpRelay {
  /** Where clients send to, at 127.0.0.1. */
  readonly port: number;
  /** What repeats this run. */
  readonly seed: number;
  /** From now on; the random numbers go on. */
  change(impairments: { readonly towardsServer?: Impairment; readonly towardsClients?: Impairment }): void;
  counts(): { readonly towardsServer: DirectionCounts; readonly towardsClients: DirectionCounts };
  close(): void;
}

async function bind(): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 }).bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

/** Starts a relay on loopback. Each client reaches the server from a port of its own, and gets the replies to it. */
export async function startUdpRelay(options: UdpRelayOptions): Promise<UdpRelay> {
  const { server, seed = randomInt(2 ** 31), maxWaiting = 4096, maxClients = 16 } = options;
  const towardsServer = createDirection(seed, options.towardsServer ?? {}, maxWaiting);
  const towardsClients = createDirection(seed ^ 0x5555_5555, options.towardsClients ?? {}, maxWaiting);
  const entrance = await bind();
  const upstreams = new Map<string, Socket>();

  function openUpstream(client: { address: string; port: number }): Socket {
    const upstream = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
    upstream.on('message', (datagram) => {
      towardsClients.take(datagram, (arriving) => entrance.send(arriving, client.port, client.address));
    });
    upstream.on('error', () => undefined); // A server that has gone answers with ICMP.
    return upstream;
  }

  entrance.on('error', () => undefined);
  entrance.on('message', (datagram, client) => {
    const key = `${client.address}:${String(client.port)}`;
    let upstream = upstreams.get(key);
    if (upstream === undefined) {
      if (upstreams.size >= maxClients) return towardsServer.refuse();
      upstream = openUpstream(client);
      upstreams.set(key, upstream);
    }
    const socket = upstream;
    towardsServer.take(datagram, (arriving) => socket.send(arriving, server.port, server.address));
  });

  return {
    port: entrance.address().port,
    seed,
    change(impairments) {
      if (impairments.towardsServer) towardsServer.impairment = impairments.towardsServer;
      if (impairments.towardsClients) towardsClients.impairment = impairments.towardsClients;
    },
    counts: () => ({ towardsServer: towardsServer.counts(), towardsClients: towardsClients.counts() }),
    close() {
      towardsServer.close();
      towardsClients.close();
      entrance.close();
      for (const upstream of upstreams.values()) upstream.close();
    },
  };
}
