/** The two UDP sockets that all viewers by UDP are served from: RTP, and RTCP on the next port. */
import type { RemoteInfo, Socket } from 'node:dgram';
import { portTaken } from '../../listen.ts';
import { bindAnyUdpPair, bindUdp } from '../../rtsp/udp-pair.ts';
import type { LineOutlet } from './outlets.ts';

export interface UdpPeer {
  /** Of the connection that asked: RTP goes nowhere else. */
  readonly address: string;
  /** RTP and RTCP. */
  readonly ports: readonly [number, number];
}

export interface UdpDoor {
  readonly ports: readonly [number, number];
  /**
   * Opens a way to a peer.
   * @param onRtcp told of what comes from its RTCP port: anybody who can forge its address may have sent it
   * @returns `undefined` when another viewer has these ports; `close` is idempotent
   */
  open(peer: UdpPeer, onRtcp: (packet: Buffer) => void): (LineOutlet & { close(): void }) | undefined;
  close(): void;
}

/** What the system has not taken of all viewers' packets; more is lost. */
const MAX_SEND_QUEUE_BYTES = 4 * 1024 * 1024;

async function bindPair(host: string, port: number, setting: string): Promise<[Socket, Socket]> {
  if (port === 0) return bindAnyUdpPair(host);
  const opened: Socket[] = [];
  try {
    opened.push(await bindUdp(host, port));
    return [...opened, await bindUdp(host, port + 1)] as [Socket, Socket];
  } catch (cause) {
    for (const socket of opened) socket.close();
    const isTaken = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE';
    throw isTaken ? new Error(`UDP ${portTaken(port, setting).message}`, { cause }) : cause;
  }
}

/**
 * @param host address to bind
 * @param port of RTP, RTCP has the next; 0: any two that are free
 * @throws Error naming port and setting when one is taken
 */
export async function openUdpDoor(host: string, port: number, setting: string): Promise<UdpDoor> {
  const [rtp, rtcp] = await bindPair(host, port, setting);
  /** By address and RTCP port. */
  const listeners = new Map<string, (packet: Buffer) => void>();
  /** Addresses and ports that viewers have. */
  const taken = new Set<string>();
  const nameOf = (address: string, at: number): string => `${address} ${String(at)}`;
  let closed = false;

  rtcp.on('message', (packet: Buffer, { address, port: from }: RemoteInfo) => {
    listeners.get(nameOf(address, from))?.(packet);
  });
  // Clients send something there to open their firewalls.
  rtp.on('message', () => undefined);
  // Told of packets that could not be delivered; a viewer who has gone is seen by his connection.
  for (const socket of [rtp, rtcp]) socket.on('error', () => undefined);

  /** True when the system was handed the packet. */
  function send(socket: Socket, packet: Buffer, at: number, address: string): boolean {
    if (closed || socket.getSendQueueSize() > MAX_SEND_QUEUE_BYTES) return false;
    socket.send(packet, at, address, () => undefined);
    return true;
  }

  return {
    ports: [rtp.address().port, rtcp.address().port],
    open({ address, ports: [rtpPort, rtcpPort] }, onRtcp) {
      const names = [nameOf(address, rtpPort), nameOf(address, rtcpPort)];
      if (names.some((name) => taken.has(name))) return undefined;
      for (const name of names) taken.add(name);
      let isOpen = true;
      listeners.set(nameOf(address, rtcpPort), onRtcp);
      return {
        headroomBytes: 0,
        rtp: (packet) => send(rtp, packet, rtpPort, address),
        rtcp: (packet) => void send(rtcp, packet, rtcpPort, address),
        close() {
          if (!isOpen) return;
          isOpen = false;
          for (const name of names) taken.delete(name);
          listeners.delete(nameOf(address, rtcpPort));
        },
      };
    },
    close() {
      if (closed) return;
      closed = true;
      rtp.close();
      rtcp.close();
    },
  };
}
