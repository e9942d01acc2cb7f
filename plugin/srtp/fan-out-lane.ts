/** What one thread of a fan-out does: packets of streams in, those of every receiver out of one socket. */
import type { Socket } from 'node:dgram';
import { createOutlet, type FanOutOutlet, type OutletKey, type OutletRewrite } from './fan-out-outlet.ts';
import { mappedTo, openConnected, type UdpPeer } from './fan-out-socket.ts';
import { rtpHeaderBytes } from './packet.ts';

/** Longest packet of a stream. */
export const MAX_PACKET_BYTES = 16_384;
/** An MKI, a tag, and what RTCP would need. */
const MAX_OVERHEAD_BYTES = 128 + 20;
const SEQUENCES = 0x1_0000;
/** Gaps up to here are losses, packets that are late by no more are late (RFC 3550 appendix A.1): else a new start. */
const MAX_DROPOUT = 3000;
const MAX_MISORDER = 100;

/**
 * Takes a receiver's packets where they do not go over UDP; false: it could not, and the packet counts as dropped.
 * @param packet valid during the call
 */
export type PacketSink = (packet: Buffer) => boolean;

export interface LaneOutlet extends OutletKey, OutletRewrite {
  readonly to: UdpPeer | PacketSink;
  readonly isPaused: boolean;
}

export interface Lane {
  /** @throws RangeError for a key, salt or MKI of a wrong length */
  add(stream: number, id: number, outlet: LaneOutlet, counters: Float64Array): void;
  rekey(id: number, key: OutletKey): void;
  setPaused(id: number, isPaused: boolean): void;
  remove(id: number): void;
  closeStream(stream: number): void;
  /** Closes the receivers' sockets, and not the shared one. */
  close(): void;
  /** @throws RangeError for what is no RTP packet or too long */
  send(stream: number, packet: Uint8Array): void;
}

interface Receiver {
  readonly outlet: FanOutOutlet;
  readonly stream: number;
  readonly sink: PacketSink | undefined;
  readonly peer: UdpPeer;
  /** The lane's, and then one of its own. */
  socket: Socket;
  isConnected: boolean;
  /** More waits in the socket than may. */
  isFull: boolean;
  isGone: boolean;
}

interface Stream {
  /** Replaced, never changed: a sink may remove receivers. */
  receivers: readonly Receiver[];
  /** Of the last packet; -1 before. */
  index: number;
  sequence: number;
}

/** Where the next packet is in its stream; -1 when it is late. */
function follow(stream: Stream, sequence: number): number {
  const ahead = (sequence - stream.sequence + SEQUENCES) % SEQUENCES;
  if (stream.index >= 0 && (ahead === 0 || ahead >= SEQUENCES - MAX_MISORDER)) return -1;
  stream.index += ahead < MAX_DROPOUT ? Math.max(1, ahead) : 1;
  stream.sequence = sequence;
  return stream.index;
}

/** A peer that is none: packets go to a sink. */
const NOWHERE: UdpPeer = { address: '', port: 0 };

/**
 * @param shared from `openSocket`: what receivers' packets come from
 * @param maxQueuedBytes what may wait for the network, by receivers; what comes on top is dropped
 */
export function createLane(shared: Socket, maxQueuedBytes: number): Lane {
  const local = shared.address();
  const streams = new Map<number, Stream>();
  const receivers = new Map<number, Receiver>();
  /** The packet that is being sent, its header rewritten for each receiver; a usual payload is aligned for words. */
  const source = Buffer.alloc(MAX_PACKET_BYTES);
  /** A receiver's packet. */
  let into = Buffer.alloc(MAX_PACKET_BYTES + MAX_OVERHEAD_BYTES);

  function streamOf(id: number): Stream {
    const known = streams.get(id);
    if (known !== undefined) return known;
    const stream: Stream = { receivers: [], index: -1, sequence: 0 };
    streams.set(id, stream);
    return stream;
  }

  /** Packets take the shared socket until the receiver has its own, and if it can have none. */
  async function connect(receiver: Receiver): Promise<void> {
    const socket = await openConnected(local, receiver.peer).catch(() => undefined);
    if (socket === undefined) return;
    if (receiver.isGone) {
      socket.close();
      return;
    }
    receiver.socket = socket;
    receiver.isConnected = true;
  }

  function forget(receiver: Receiver): void {
    receiver.isGone = true;
    if (receiver.isConnected) receiver.socket.close();
  }

  function transmit(receiver: Receiver, sealed: Buffer): boolean {
    const { sink, socket, peer } = receiver;
    if (sink !== undefined) return sink(sealed);
    if (receiver.isConnected) socket.send(sealed);
    else socket.send(sealed, peer.port, peer.address);
    const queuedBytes = socket.getSendQueueSize();
    if (queuedBytes > 0) {
      // Node keeps what the network does not take at once: it is not to be written over.
      into = Buffer.alloc(into.length);
      receiver.isFull = queuedBytes > maxQueuedBytes;
    }
    return true;
  }

  function isFull(receiver: Receiver): boolean {
    if (receiver.isFull) receiver.isFull = receiver.socket.getSendQueueSize() > maxQueuedBytes;
    return receiver.isFull;
  }

  return {
    add(streamId, id, { to, isPaused, ...rest }, counters) {
      const outlet = createOutlet(rest, rest, counters);
      outlet.isPaused = isPaused;
      const isSink = typeof to === 'function';
      const receiver: Receiver = {
        outlet,
        stream: streamId,
        sink: isSink ? to : undefined,
        peer: isSink ? NOWHERE : mappedTo(local.address, to),
        socket: shared,
        isConnected: false,
        isFull: false,
        isGone: false,
      };
      const stream = streamOf(streamId);
      stream.receivers = [...stream.receivers, receiver];
      receivers.set(id, receiver);
      if (!isSink) void connect(receiver);
    },
    rekey: (id, key) => receivers.get(id)?.outlet.rekey(key),
    setPaused(id, isPaused) {
      const receiver = receivers.get(id);
      if (receiver !== undefined) receiver.outlet.isPaused = isPaused;
    },
    remove(id) {
      const receiver = receivers.get(id);
      if (receiver === undefined) return;
      receivers.delete(id);
      forget(receiver);
      const stream = streams.get(receiver.stream);
      if (stream !== undefined) stream.receivers = stream.receivers.filter((other) => other !== receiver);
    },
    closeStream(id) {
      for (const [receiverId, receiver] of receivers) {
        if (receiver.stream !== id) continue;
        receivers.delete(receiverId);
        forget(receiver);
      }
      streams.delete(id);
    },
    close() {
      for (const receiver of receivers.values()) forget(receiver);
      receivers.clear();
      streams.clear();
    },
    send(streamId, packet) {
      const headerBytes = packet.length > MAX_PACKET_BYTES ? -1 : rtpHeaderBytes(packet);
      if (headerBytes < 0) throw new RangeError('not an RTP packet, or too long');
      const stream = streams.get(streamId);
      if (stream === undefined || stream.receivers.length === 0) return;
      source.set(packet);
      const index = follow(stream, source.readUInt16BE(2));
      const place = {
        packet: source.subarray(0, packet.length),
        index,
        start: source.readUInt16BE(0) & 0xff80,
        timestamp: source.readUInt32BE(4),
      };
      for (const receiver of stream.receivers) {
        const { outlet } = receiver;
        // A sink of one may have removed the other.
        if (receiver.isGone) continue;
        if (index < 0 || isFull(receiver)) {
          outlet.drop();
          continue;
        }
        const length = outlet.protect(place, into);
        if (length === 0) continue;
        if (transmit(receiver, into.subarray(0, length))) outlet.sent(length, packet.length - headerBytes);
        else outlet.drop();
      }
    },
  };
}
