import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { mappedTo, openConnected, openSocket } from '../../../plugin/srtp/fan-out-socket.ts';

const opened: { close(): unknown }[] = [];

afterEach(() => {
  for (const each of opened.splice(0)) each.close();
});

it.each(['127.0.0.1', '::1'])('sockets for many peers send from one port of %s', async (address) => {
  const shared = await openSocket({ address, port: 0 });
  opened.push(shared);
  for (let count = 0; count < 3; count++) {
    const peer = createSocket(address === '::1' ? 'udp6' : 'udp4');
    opened.push(peer);
    const bound = once(peer, 'listening');
    peer.bind(0, address);
    await bound;
    const socket = await openConnected(shared.address(), { address, port: peer.address().port });
    opened.push(socket);
    const arrival = once(peer, 'message') as Promise<[Buffer, { address: string; port: number }]>;
    socket.send('packet');
    const [message, from] = await arrival;
    expect(message.toString()).toBe('packet');
    expect(from).toMatchObject({ address, port: shared.address().port });
  }
});

it('an address that is not this machine’s is an error', async () => {
  await expect(openSocket({ address: '192.0.2.1', port: 0 })).rejects.toThrow('EADDRNOTAVAIL');
});

it('an IPv4 peer has a mapped address for an IPv6 socket, and only there', () => {
  const peer = { address: '192.0.2.1', port: 9 };
  expect(mappedTo('::', peer)).toEqual({ address: '::ffff:192.0.2.1', port: 9 });
  expect(mappedTo('0.0.0.0', peer)).toEqual(peer);
  expect(mappedTo('::', { address: '2001:db8::1', port: 9 }).address).toBe('2001:db8::1');
});
