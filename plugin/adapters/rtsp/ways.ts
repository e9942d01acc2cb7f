/** The ways that the lines of one viewer take: UDP ports, or channels of his connection. */
import type { ChosenTransport, RtspTransport } from '../../rtsp/transport.ts';
import type { LineKind } from '../../rtsp/url.ts';
import type { SrtpReceiver } from '../../srtp/index.ts';
import { DATAGRAMS, interleavedOutlet, type LineOutlet, type Link, type SocketLink } from './outlets.ts';
import type { UdpDoor } from './udp.ts';

export interface WaysOptions {
  /** `undefined`: there is only TCP. */
  readonly udp: UdpDoor | undefined;
  readonly link: SocketLink;
  /** Where RTP by UDP goes to. */
  readonly address: string;
  /** Something authentic has come from the viewer. */
  readonly onSign: () => void;
}

export interface Way {
  readonly chosen: ChosenTransport;
  readonly outlet: LineOutlet;
  readonly link: Link;
}

export interface Ways {
  /**
   * Opens the first way that there is for a line, in the place of the one that it has: a player that UDP does not reach
   * takes TCP. `undefined`: there is none, and the line keeps what it has.
   * @param receiver opens the viewer's reports
   */
  take(
    kind: LineKind,
    offered: readonly RtspTransport[],
    receiver: SrtpReceiver | undefined,
  ): Way | undefined;
  /** True when all lines go by UDP or all by TCP: what waits is measured for all of them. */
  areAlike(): boolean;
  has(kind: LineKind): boolean;
  readonly lines: number;
  /** A packet on a channel of the connection. */
  frame(channel: number, data: Buffer): void;
  close(): void;
}

interface Open extends Way {
  close(): void;
}

const MAX_RTCP_BYTES = 1500;
/** Where the client names none. */
const CHANNELS: Readonly<Record<LineKind, readonly [number, number]>> = { video: [0, 1], audio: [2, 3] };

export function createWays({ udp, link, address, onSign }: WaysOptions): Ways {
  const open = new Map<LineKind, Open>();
  const receivers = new Map<number, SrtpReceiver | undefined>();

  function noteRtcp(receiver: SrtpReceiver | undefined, packet: Buffer): void {
    if (receiver === undefined || packet.length > MAX_RTCP_BYTES) return;
    if (typeof receiver.unprotectRtcp(packet) !== 'string') onSign();
  }

  function takeChannels(
    transport: Extract<RtspTransport, { lower: 'tcp' }>,
    kind: LineKind,
    receiver: SrtpReceiver | undefined,
  ): Open | undefined {
    const channels = transport.channels ?? CHANNELS[kind];
    const before = open.get(kind);
    const own: readonly number[] = before?.chosen.lower === 'tcp' ? before.chosen.channels : [];
    if (channels.some((channel) => receivers.has(channel) && !own.includes(channel))) return undefined;
    before?.close();
    for (const channel of channels) receivers.set(channel, receiver);
    return {
      chosen: { ...transport, channels },
      outlet: interleavedOutlet(link.write, channels),
      link,
      close: () => channels.forEach((channel) => receivers.delete(channel)),
    };
  }

  function takePorts(
    transport: Extract<RtspTransport, { lower: 'udp' }>,
    kind: LineKind,
    receiver: SrtpReceiver | undefined,
  ): Open | undefined {
    if (udp === undefined) return undefined;
    const before = open.get(kind);
    const { clientPorts } = transport;
    // The same ones again are his, and would be taken.
    const isSame =
      before?.chosen.lower === 'udp' &&
      before.chosen.clientPorts.every((at, index) => at === clientPorts[index]);
    if (isSame) before.close();
    const door = udp.open({ address, ports: clientPorts }, (packet) => noteRtcp(receiver, packet));
    if (door === undefined) return undefined;
    before?.close();
    return {
      chosen: { ...transport, serverPorts: udp.ports },
      outlet: door,
      link: DATAGRAMS,
      close: door.close,
    };
  }

  const lowersOf = (ways: Iterable<Way>): Set<string> => new Set([...ways].map(({ chosen }) => chosen.lower));

  return {
    take(kind, offered, receiver) {
      const isAgain = open.has(kind);
      for (const transport of offered) {
        // Lines that have a way are changed one after the other.
        if (!isAgain && open.size > 0 && !lowersOf(open.values()).has(transport.lower)) continue;
        const way =
          transport.lower === 'tcp'
            ? takeChannels(transport, kind, receiver)
            : takePorts(transport, kind, receiver);
        if (way === undefined) continue;
        open.set(kind, way);
        return way;
      }
      return undefined;
    },
    areAlike: () => lowersOf(open.values()).size <= 1,
    has: (kind) => open.has(kind),
    get lines() {
      return open.size;
    },
    frame: (channel, data) => noteRtcp(receivers.get(channel), data),
    close() {
      for (const way of open.values()) way.close();
      open.clear();
    },
  };
}
