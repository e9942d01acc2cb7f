/** UDP sockets for RTP and RTCP. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';

const PAIR_TRIES = 20;

/** @param host address, and no name */
export async function bindUdp(host: string, port: number): Promise<Socket> {
  const family = isIPv6(host) ? 6 : 4;
  const socket = createSocket({
    type: `udp${family}`,
    // Every peer is an address: there is nothing to ask anybody for.
    lookup: (address, _options, found) => found(null, address, family),
  });
  try {
    // Before it binds: with that lookup it listens at once.
    const listening = once(socket, 'listening');
    socket.bind(port, host);
    await listening;
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** RTP on an even port and RTCP on the next one (RFC 3550 section 11), wherever there are two. */
export async function bindAnyUdpPair(host: string): Promise<[Socket, Socket]> {
  for (let tries = 1; ; tries++) {
    const rtp = await bindUdp(host, 0);
    const { port } = rtp.address();
    try {
      if (port % 2 === 0) return [rtp, await bindUdp(host, port + 1)];
    } catch (error) {
      if (tries === PAIR_TRIES) throw error;
    }
    rtp.close();
    if (tries > 10 * PAIR_TRIES) throw new Error('there are no two UDP ports beside each other');
  }
}
