/** What one thread of a fan-out does: packets of streams in, those of every receiver out of one socket. */
import type { Socket } from 'node:dgram';
import { isIPv4 } from 'node:net';
import { createOutlet, type FanOutOutlet, type OutletKey, type OutletRewrite } from './fan-out-outlet.ts';
import { rtpHeaderBytes } from './packet.ts';

/** Longest packet of a stream. */
export const MAX_PACKET_BYTES = 16_384;
/** An MKI, a tag, and what RTCP would need. */
const MAX_OVERHEAD_BYTES = 128 + 20;
const SEQUENCES = 0x1_0000;
/** Gaps up to here are losses, packets that are late by no more are late (RFC 3550 appendix A.1): else a new start. */
const MAX_DROPOUT = 3000;
const MAX_MISORDER = 100;

export interface UdpPeer {
  /** IP address; an IPv4 address also where the fan-out's own is an IPv6 one. */
  readonly address: string;
  readonly port: number;
}

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
  /** @throws RangeError for what is no RTP packet or too long */
  send(stream: number, packet: Uint8Array): void;
}

interface Receiver {
  readonly outlet: FanOutOutlet;
  readonly stream: number;
  readonly sink: PacketSink | undefined;
  readonly address: string;
  readonly port: number;
}

interface Stream {
  /** Replaced, never changed: a sink may remove receivers. */
  receivers: readonly Receiver[];
  /** Of the last packet; -1 before. */
  index: number;
  sequence: number;
}

/** Packets that may wait in the socket without being looked for: as many have memory of their own. */
const SLOTS = 64;

/** Memory for packets that are being sent. */
interface Slots {
  readonly slotBytes: number;
  readonly slots: readonly Buffer[];
}

function createSlots(packetBytes: number): Slots {
  const slotBytes = Math.ceil((packetBytes + MAX_OVERHEAD_BYTES) / 1024) * 1024;
  const memory = Buffer.alloc(SLOTS * slotBytes);
  const slots = Array.from({ length: SLOTS }, (_, slot) =>
    memory.subarray(slot * slotBytes, (slot + 1) * slotBytes),
  );
  return { slotBytes, slots };
}

/** Where the next packet is in its stream; -1 when it is late. */
function follow(stream: Stream, sequence: number): number {
  const ahead = (sequence - stream.sequence + SEQUENCES) % SEQUENCES;
  if (stream.index >= 0 && (ahead === 0 || ahead >= SEQUENCES - MAX_MISORDER)) return -1;
  stream.index += ahead < MAX_DROPOUT ? Math.max(1, ahead) : 1;
  stream.sequence = sequence;
  return stream.index;
}

/**
 * @param socket bound; looks up no names
 * @param maxQueuedBytes what may wait in the socket for the network; what comes on top is dropped
 */
export function createLane(socket: Socket, maxQueuedBytes: number): Lane {
  const isIpv6 = socket.address().family === 'IPv6';
  const streams = new Map<number, Stream>();
  const receivers = new Map<number, Receiver>();
  /** The packet that is being sent, its header rewritten for each receiver; a usual payload is aligned for words. */
  const source = Buffer.alloc(MAX_PACKET_BYTES);
  let memory = createSlots(1500);
  let slot = 0;
  let isFull = false;

  function lookAtQueue(): number {
    const queuedBytes = socket.getSendQueueSize();
    isFull = queuedBytes > maxQueuedBytes;
    return queuedBytes;
  }

  /** Node keeps what the network does not take at once: what it keeps is not to be written over. */
  function nextSlot(): Buffer {
    slot = (slot + 1) % SLOTS;
    if (slot === 0 && lookAtQueue() > 0) memory = createSlots(memory.slotBytes - MAX_OVERHEAD_BYTES);
    return memory.slots[slot] ?? Buffer.alloc(memory.slotBytes);
  }

  function streamOf(id: number): Stream {
    const known = streams.get(id);
    if (known !== undefined) return known;
    const stream: Stream = { receivers: [], index: -1, sequence: 0 };
    streams.set(id, stream);
    return stream;
  }

  return {
    add(streamId, id, { to, isPaused, ...rest }, counters) {
      const outlet = createOutlet(rest, rest, counters);
      outlet.isPaused = isPaused;
      const sink = typeof to === 'function' ? to : undefined;
      const { address, port } = typeof to === 'function' ? { address: '', port: 0 } : to;
      const mapped = isIpv6 && isIPv4(address) ? `::ffff:${address}` : address;
      const receiver = { outlet, stream: streamId, sink, address: mapped, port };
      const stream = streamOf(streamId);
      stream.receivers = [...stream.receivers, receiver];
      receivers.set(id, receiver);
    },
    rekey: (id, key) => receivers.get(id)?.outlet.rekey(key),
    setPaused(id, isPaused) {
      const receiver = receivers.get(id);
      if (receiver !== undefined) receiver.outlet.isPaused = isPaused;
    },
    remove(id) {
      const receiver = receivers.get(id);
      const stream = receiver && streams.get(receiver.stream);
      receivers.delete(id);
      if (stream !== undefined) stream.receivers = stream.receivers.filter((other) => other !== receiver);
    },
    closeStream(id) {
      for (const [receiverId, receiver] of receivers)
        if (receiver.stream === id) receivers.delete(receiverId);
      streams.delete(id);
    },
    send(streamId, packet) {
      const headerBytes = packet.length > MAX_PACKET_BYTES ? -1 : rtpHeaderBytes(packet);
      if (headerBytes < 0) throw new RangeError('not an RTP packet, or too long');
      const stream = streams.get(streamId);
      if (stream === undefined || stream.receivers.length === 0) return;
      source.set(packet);
      const index = follow(stream, source.readUInt16BE(2));
      const bytes = packet.length;
      if (bytes + MAX_OVERHEAD_BYTES > memory.slotBytes) memory = createSlots(bytes);
      lookAtQueue();
      const place = {
        packet: source.subarray(0, bytes),
        index,
        start: source.readUInt16BE(0) & 0xff80,
        timestamp: source.readUInt32BE(4),
      };
      for (const { outlet, sink, address, port } of stream.receivers) {
        if (index < 0 || (isFull && sink === undefined)) {
          outlet.drop();
          continue;
        }
        const into = nextSlot();
        const length = outlet.protect(place, into);
        if (length === 0) continue;
        const sealed = into.subarray(0, length);
        if (sink === undefined) socket.send(sealed, port, address);
        else if (!sink(sealed)) {
          outlet.drop();
          continue;
        }
        outlet.sent(length, bytes - headerBytes);
      }
    },
  };
}
