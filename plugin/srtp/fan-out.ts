/**
 * One RTP packet in, one protected packet out to every receiver, each with an SSRC, sequence numbers and a key of its
 * own.
 */
import { once } from 'node:events';
import { createLane, MAX_PACKET_BYTES, type Lane, type PacketSink } from './fan-out-lane.ts';
import { COUNTERS, COUNTERS_LENGTH, type OutletKey, type OutletRewrite } from './fan-out-outlet.ts';
import { findFreePort, openSocket, type UdpPeer } from './fan-out-socket.ts';
import { openThread, type ThreadLane } from './fan-out-thread.ts';
import { rtpHeaderBytes } from './packet.ts';
import { createSrtpSender, type SrtpSender } from './srtp.ts';

export type { PacketSink } from './fan-out-lane.ts';
export type { OutletKey, OutletRewrite } from './fan-out-outlet.ts';
export type { UdpPeer } from './fan-out-socket.ts';

export interface FanOutOptions {
  /** Address that the UDP sockets are bound to. */
  readonly address: string;
  /** Port that all packets come from; default 0: any. */
  readonly port?: number;
  /** What may wait for the network, in bytes by receivers; packets on top are dropped and counted. Default 1 MiB. */
  readonly maxQueuedBytes?: number;
  /** Threads that protect and send what goes over UDP, 0 to 64; default 0: the caller's own does it. */
  readonly threads?: number;
  /** Told when a thread has failed: its receivers are sent nothing any more, and what they miss is counted as dropped. */
  readonly onThreadLost?: (error: Error) => void;
}

/**
 * One receiver. A master key may be used for one outlet only, and never again after it: not for a second receiver, and
 * not after `remove`.
 */
export interface Outlet extends OutletKey, OutletRewrite {
  /** UDP, from the fan-out's own socket, or whatever else takes packets, in the caller's thread. */
  readonly to: UdpPeer | PacketSink;
  /** Begins without packets, until `resume()`. Default false. */
  readonly isPaused?: boolean;
}

/** What a receiver has been sent. */
export interface OutletCounters {
  readonly packets: number;
  /** Without RTP headers: the octet count of a sender report. */
  readonly payloadBytes: number;
  /** What UDP or the sink has carried, with headers and tags. */
  readonly wireBytes: number;
  /** Packets of the stream that did not go out: queues that were full, a sink that refused, late in the source. */
  readonly dropped: number;
  /** RTP timestamp of the last packet, `undefined` before. */
  readonly timestamp: number | undefined;
  /** Sequence number that the next packet has, unless packets are missing before it. */
  readonly nextSequence: number;
}

export interface OutletHandle {
  /** Where packets come from; `undefined` for a sink. */
  readonly localPort: number | undefined;
  /** With threads, as far as they have come. */
  counters(): OutletCounters;
  /** Protects an RTCP packet (a sender report) under this receiver's key; the caller sends it. See `SrtpSender`. */
  protectRtcp(packet: Buffer): Buffer;
  /**
   * Changes the key, of the same or another suite; SSRC, sequence numbers, rollover counter and RTCP index go on (RFC
   * 3711 sections 3.3.1 and 3.4).
   * @throws RangeError for a key, salt or MKI of a wrong length
   */
  rekey(key: OutletKey): void;
  /** No packets until `resume()`, after which sequence numbers go on where they were. */
  pause(): void;
  resume(): void;
  /** Idempotent. */
  remove(): void;
}

/** Packets with one source, say a video track. */
export interface FanOutStream {
  /** @throws RangeError for a key, salt or MKI of a wrong length, or a stream that is closed */
  add(outlet: Outlet): OutletHandle;
  /**
   * Sends an RTP packet, of at most 16 KiB, to all receivers; gaps in its sequence numbers are passed on, packets that
   * come late are dropped. Nothing happens once the stream is closed.
   * @throws RangeError for what is no RTP packet or too long
   */
  send(packet: Uint8Array): void;
  /** Removes all receivers. Idempotent. */
  close(): void;
}

export interface FanOut {
  openStream(): FanOutStream;
  close(): Promise<void>;
}

const DEFAULT_QUEUED_BYTES = 1 << 20;
const MAX_THREADS = 64;

const requireInteger = (value: number, most: number, what: string): void => {
  if (!Number.isInteger(value) || value < 0 || value > most) throw new RangeError(`${what} is out of range`);
};

function check({ ssrc, sequence, payloadType, timestampOffset = 0, to }: Outlet): void {
  requireInteger(ssrc, 0xffff_ffff, 'the SSRC');
  requireInteger(sequence, 0xffff, 'the sequence number');
  requireInteger(payloadType, 0x7f, 'the payload type');
  requireInteger(timestampOffset, 0xffff_ffff, 'the timestamp offset');
  if (typeof to !== 'function' && (to.port < 1 || to.port > 0xffff))
    throw new RangeError('a peer has a port');
}

/** Closes what is open when a later thread fails. */
async function openThreads(count: number, open: () => Promise<ThreadLane>): Promise<ThreadLane[]> {
  const opening = await Promise.allSettled(Array.from({ length: count }, open));
  const lanes = opening.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const failed = opening.find((each) => each.status === 'rejected');
  if (failed === undefined) return lanes;
  for (const lane of lanes) lane.close();
  throw failed.reason;
}

/**
 * Opens a fan-out.
 * @throws Error when the address or port cannot be bound, or is another's; RangeError for a number of threads out of range
 */
export async function createFanOut(options: FanOutOptions): Promise<FanOut> {
  const { address, port = 0, maxQueuedBytes = DEFAULT_QUEUED_BYTES, threads: threadCount = 0 } = options;
  requireInteger(threadCount, MAX_THREADS, 'the number of threads');
  const socket = await openSocket({ address, port: await findFreePort({ address, port }) });
  const local = socket.address();
  const closeSocket = async (): Promise<void> => {
    const closed = once(socket, 'close');
    socket.close();
    await closed;
  };
  const own = createLane(socket, maxQueuedBytes);
  const { onThreadLost = () => undefined } = options;
  const open = (): Promise<ThreadLane> => openThread(local, maxQueuedBytes, onThreadLost);
  const threads = await openThreads(threadCount, open).catch(async (error: unknown) => {
    await closeSocket();
    throw error;
  });
  /** Receivers of each lane. */
  const load = new Map<Lane, number>(threads.map((lane) => [lane, 0]));
  let lastId = 0;

  function laneFor({ to }: Outlet): Lane {
    if (typeof to === 'function') return own;
    const [first = own, ...others] = threads.filter((thread) => thread.isRunning());
    return others.reduce(
      (least, lane) => ((load.get(lane) ?? 0) < (load.get(least) ?? 0) ? lane : least),
      first,
    );
  }

  function addTo(stream: number, lane: Lane, outlet: Outlet, onRemove: () => void): OutletHandle {
    check(outlet);
    const id = (lastId += 1);
    const counters = new Float64Array(
      new SharedArrayBuffer(COUNTERS_LENGTH * Float64Array.BYTES_PER_ELEMENT),
    );
    const count = (which: keyof typeof COUNTERS): number => counters[COUNTERS[which]] ?? 0;
    // RTCP has session keys and an index of its own (RFC 3711 sections 3.2.1 and 4.3.1): no packet shares a key stream.
    let rtcp: SrtpSender = createSrtpSender(outlet);
    let rtcpIndex = 0;
    let isRemoved = false;
    counters[COUNTERS.timestamp] = -1;
    counters[COUNTERS.nextSequence] = outlet.sequence;
    lane.add(stream, id, { isPaused: false, ...outlet }, counters);
    return {
      localPort: typeof outlet.to === 'function' ? undefined : local.port,
      counters: () => ({
        packets: count('packets'),
        payloadBytes: count('payloadBytes'),
        wireBytes: count('wireBytes'),
        dropped: count('dropped') + count('unqueued'),
        timestamp: count('timestamp') < 0 ? undefined : count('timestamp'),
        nextSequence: count('nextSequence'),
      }),
      protectRtcp(packet) {
        const into = Buffer.alloc(packet.length + rtcp.overheadBytes);
        const bytes = rtcp.protectRtcp(packet, into);
        rtcpIndex += 1;
        return into.subarray(0, bytes);
      },
      rekey(key) {
        rtcp = createSrtpSender({ ...key, rtcpIndex });
        lane.rekey(id, key);
      },
      pause: () => lane.setPaused(id, true),
      resume: () => lane.setPaused(id, false),
      remove() {
        if (isRemoved) return;
        isRemoved = true;
        lane.remove(id);
        onRemove();
      },
    };
  }

  function openStream(): FanOutStream {
    const id = (lastId += 1);
    /** Receivers of this stream, by lanes that have any. */
    const lanes = new Map<Lane, number>();
    const count = (lane: Lane, by: number): void => {
      load.set(lane, (load.get(lane) ?? 0) + by);
      const left = (lanes.get(lane) ?? 0) + by;
      if (left > 0) lanes.set(lane, left);
      else lanes.delete(lane);
    };
    let isOpen = true;
    return {
      add(outlet) {
        if (!isOpen || isClosed) throw new RangeError('the stream is closed');
        const lane = laneFor(outlet);
        const handle = addTo(id, lane, outlet, () => isOpen && count(lane, -1));
        count(lane, 1);
        return handle;
      },
      send(packet) {
        if (packet.length > MAX_PACKET_BYTES || rtpHeaderBytes(packet) < 0)
          throw new RangeError('not an RTP packet, or too long');
        if (isOpen && !isClosed) for (const lane of lanes.keys()) lane.send(id, packet);
      },
      close() {
        isOpen = false;
        for (const [lane, receivers] of lanes) {
          lane.closeStream(id);
          load.set(lane, (load.get(lane) ?? 0) - receivers);
        }
        lanes.clear();
      },
    };
  }

  let isClosed = false;
  return {
    openStream,
    async close() {
      if (isClosed) return;
      isClosed = true;
      own.close();
      for (const thread of threads) thread.close();
      await Promise.all([closeSocket(), ...threads.map((thread) => thread.ended())]);
    },
  };
}
