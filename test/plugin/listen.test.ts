import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { requireFreePort, requireFreeUdpPort } from '../../plugin/listen.ts';

/** Takes a port until the test has ended. */
async function takeTcp(ip: string): Promise<number> {
  const server = createServer().listen(0, ip);
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

async function takeUdp(ip: string): Promise<number> {
  const socket = createSocket(ip.includes(':') ? 'udp6' : 'udp4');
  socket.bind(0, ip);
  await once(socket, 'listening');
  onTestFinished(() => void socket.close());
  return socket.address().port;
}

describe.each(['127.0.0.1', '::1', '0.0.0.0', '::'])('on %s', (ip) => {
  it('a TCP port that is taken is refused with its number and its setting', async () => {
    const port = await takeTcp(ip);
    await expect(requireFreePort(port, ip, 'USHER_TEST')).rejects.toThrow(
      `port ${port} is taken; set USHER_TEST to another one`,
    );
  });

  it('a UDP port that is taken is refused with its number and its setting', async () => {
    const port = await takeUdp(ip);
    await expect(requireFreeUdpPort(port, ip, 'USHER_TEST')).rejects.toThrow(
      `UDP port ${port} is taken; set USHER_TEST to another one`,
    );
  });

  it('a UDP port that is free is free afterwards too', async () => {
    const port = await takeTcp(ip);
    await requireFreeUdpPort(port, ip, 'USHER_TEST');
    await requireFreeUdpPort(port, ip, 'USHER_TEST');
  });
});

it('an address that is none of this machine’s is told as what it is', async () => {
  await expect(requireFreeUdpPort(0, '192.0.2.1', 'USHER_TEST')).rejects.toMatchObject({
    code: 'EADDRNOTAVAIL',
  });
});
