/** UDP sockets of a fan-out. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv4, isIPv6 } from 'node:net';

export interface UdpPeer {
  /** IP address; an IPv4 address also where the fan-out's own is an IPv6 one. */
  readonly address: string;
  readonly port: number;
}

/**
 * A port that no socket has: those of `openSocket` would share it, also with strangers, and get each other's packets.
 * @param port 0: any
 * @throws Error when it is taken, or the address cannot be bound
 */
export async function findFreePort({ address, port }: UdpPeer): Promise<number> {
  const probe = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  const bound = once(probe, 'listening');
  probe.bind(port, address);
  try {
    await bound;
    return probe.address().port;
  } finally {
    const closed = once(probe, 'close');
    probe.close();
    await closed;
  }
}

/**
 * Opens a socket that other sockets may share address and port with.
 * @throws Error when they cannot be bound
 */
export async function openSocket({ address, port }: UdpPeer): Promise<Socket> {
  const family = isIPv6(address) ? 6 : 4;
  const socket = createSocket({
    type: `udp${family}`,
    reuseAddr: true,
    // Peers are IP addresses: no packet waits for a name.
    lookup: (ip, _options, found) => found(null, ip, family),
  });
  try {
    const bound = once(socket, 'listening');
    socket.bind(port, address);
    await bound;
  } catch (error) {
    socket.close();
    throw error;
  }
  // What one peer makes of a packet ("port unreachable") is no matter of the others.
  socket.on('error', () => undefined);
  return socket;
}

/** The peer's address as a socket of the other address's family has it. */
export function mappedTo(local: string, { address, port }: UdpPeer): UdpPeer {
  return { address: isIPv6(local) && isIPv4(address) ? `::ffff:${address}` : address, port };
}

/**
 * Opens a socket for one peer, which the kernel need not find the way to for every packet.
 * @param local address and port of a socket of `openSocket`: packets come from the same
 * @throws Error when there can be no more sockets
 */
export async function openConnected(local: UdpPeer, peer: UdpPeer): Promise<Socket> {
  const socket = await openSocket(local);
  try {
    const connected = once(socket, 'connect');
    socket.connect(peer.port, peer.address);
    await connected;
  } catch (error) {
    socket.close();
    throw error;
  }
  return socket;
}
