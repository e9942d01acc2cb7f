/** How media comes: UDP ports of this machine, or channels of the connection. */
import type { RemoteInfo, Socket } from 'node:dgram';
import { bindAnyUdpPair } from '../../../plugin/rtsp/udp-pair.ts';

/** Where one line's packets are told of. */
export interface PacketTaker {
  rtp(packet: Buffer): void;
  rtcp(packet: Buffer): void;
}

export interface LineTransport {
  /** What `Transport` offers. */
  readonly offer: string;
  /** Begins, once the keys are known. @param serverPorts where the server has named them */
  receive(taker: PacketTaker, serverPorts: readonly [number, number] | undefined): void;
}

export interface Transports {
  /** A way for one more line. */
  open(): Promise<LineTransport>;
  /** A packet on a channel of the connection. */
  packet(channel: number, packet: Buffer): void;
  close(): void;
}

export type Lower = 'udp' | 'tcp';

function createInterleaved(): Transports {
  const takers = new Map<number, (packet: Buffer) => void>();
  let lines = 0;
  return {
    open() {
      const first = 2 * lines++;
      return Promise.resolve({
        offer: `RTP/SAVP/TCP;unicast;interleaved=${String(first)}-${String(first + 1)}`,
        receive({ rtp, rtcp }) {
          takers.set(first, rtp);
          takers.set(first + 1, rtcp);
        },
      });
    },
    packet: (channel, packet) => takers.get(channel)?.(packet),
    close: () => takers.clear(),
  };
}

/** Of what a kernel holds for us while we write pictures. */
const RECEIVE_BUFFER_BYTES = 1024 * 1024;

/** @param local and @param remote addresses of the connection's ends: packets come from there, to here */
function createDatagrams(local: string, remote: string): Transports {
  const sockets: Socket[] = [];

  function listen(socket: Socket, take: (packet: Buffer) => void): void {
    socket.on('message', (packet: Buffer, { address }: RemoteInfo) => {
      if (address === remote) take(packet);
    });
    socket.on('error', () => undefined);
  }

  return {
    async open() {
      const [rtpSocket, rtcpSocket] = await bindAnyUdpPair(local);
      sockets.push(rtpSocket, rtcpSocket);
      rtpSocket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
      const port = rtpSocket.address().port;
      return {
        offer: `RTP/SAVP;unicast;client_port=${String(port)}-${String(port + 1)}`,
        receive({ rtp, rtcp }, serverPorts) {
          listen(rtpSocket, rtp);
          listen(rtcpSocket, rtcp);
          // Opens a firewall between: what is sent back is an answer.
          for (const [index, socket] of [rtpSocket, rtcpSocket].entries()) {
            const to = serverPorts?.[index];
            if (to !== undefined) socket.send(Buffer.alloc(0), to, remote, () => undefined);
          }
        },
      };
    },
    packet: () => undefined,
    close() {
      for (const socket of sockets.splice(0)) socket.close();
    },
  };
}

/** @param ends of the connection */
export function createTransports(
  lower: Lower,
  ends: { readonly localAddress: string; readonly remoteAddress: string },
): Transports {
  return lower === 'tcp' ? createInterleaved() : createDatagrams(ends.localAddress, ends.remoteAddress);
}
