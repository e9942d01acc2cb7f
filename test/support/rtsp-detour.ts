/** RTSP in the clear by a detour: a proxy that has RTP by UDP sent to other ports than the player's. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';

export interface Detour {
  readonly port: number;
  close(): void;
}

type Ports = readonly [number, number];

const CLIENT_PORTS = /client_port=([0-9]+)-([0-9]+)/;

/**
 * @param rtspPort of the server, on this machine
 * @param route what the server is told instead of a player's ports, of RTP and RTCP
 */
export async function startDetour(
  rtspPort: number,
  route: (ports: Ports) => Promise<Ports>,
): Promise<Detour> {
  async function reroute(request: string): Promise<string> {
    const [named, rtp, rtcp] = CLIENT_PORTS.exec(request) ?? [];
    if (named === undefined) return request;
    const ports = await route([Number(rtp), Number(rtcp)]);
    return request.replace(named, `client_port=${ports.join('-')}`);
  }
  const proxy = createServer((player) => {
    const server = connect(rtspPort, '127.0.0.1');
    let before = Promise.resolve();
    player.on('data', (chunk: Buffer) => {
      before = before.then(async () => void server.write(await reroute(chunk.toString('latin1')), 'latin1'));
    });
    server.pipe(player);
    for (const socket of [player, server]) socket.on('error', () => undefined);
    player.on('close', () => server.destroy());
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  return { port: (proxy.address() as AddressInfo).port, close: () => proxy.close() };
}
