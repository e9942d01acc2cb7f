import { describe, expect, it } from 'vitest';
import {
  clientOf,
  isConfidential,
  isLoopback,
  network,
  peerAddress,
  type ConnectionFacts,
} from '../../plugin/peer.ts';

it.each([
  ['127.0.0.1', true],
  ['127.255.0.9', true],
  ['::1', true],
  ['::ffff:127.0.0.1', true],
  ['::FFFF:127.0.0.1', true],
  ['128.0.0.1', false],
  ['0.0.0.0', false],
  ['::', false],
  ['::ffff:192.0.2.1', false],
  ['fe80::1', false],
  ['localhost', false],
  ['127.1', false],
  ['', false],
])('%j is of this machine: %s', (address, expected) => {
  expect(isLoopback(address)).toBe(expected);
});

it.each<[string, Parameters<typeof peerAddress>, string]>([
  ['no proxy: the socket, whatever the client says', ['192.0.2.1', '203.0.113.9', 0], '192.0.2.1'],
  ['one proxy: the last entry', ['10.0.0.1', '198.51.100.1, 203.0.113.9', 1], '203.0.113.9'],
  ['two proxies: the last but one', ['10.0.0.1', 'evil, 203.0.113.9, 10.0.0.2', 2], '203.0.113.9'],
  ['too few entries: the socket', ['10.0.0.1', '203.0.113.9', 2], '10.0.0.1'],
  ['no address: the socket', ['10.0.0.1', 'unknown', 1], '10.0.0.1'],
  ['IPv4 in IPv6', ['::ffff:192.0.2.1', null, 1], '192.0.2.1'],
])('the address of a client, %s', (_name, [socket, forwarded, proxies], expected) => {
  expect(peerAddress(socket, forwarded, proxies)).toBe(expected);
});

describe('a connection is confidential', () => {
  const far = { encrypted: false, address: '192.0.2.1', trustedProxies: 0 };
  const proxied = { encrypted: false, address: '127.0.0.1', forwardedFor: '192.0.2.1', trustedProxies: 1 };
  it.each<[string, boolean, ConnectionFacts]>([
    ['over TLS', true, { ...far, encrypted: true }],
    ['on loopback', true, { ...far, address: '::ffff:127.0.0.1' }],
    ['in the clear from afar', false, far],
    ['from nowhere', false, { ...far, address: undefined }],
    ['in the clear, whatever the client says of itself', false, { ...far, forwardedProto: 'https' }],
    ['through a proxy that had TLS', true, { ...proxied, forwardedProto: 'HTTPS' }],
    ['through a proxy that had none', false, { ...proxied, forwardedProto: 'http' }],
    ['through a proxy that does not say', false, proxied],
    ['through a proxy that had none, with TLS behind it', false, { ...proxied, encrypted: true }],
    [
      'through a proxy with a forged entry before its own',
      false,
      { ...proxied, forwardedProto: 'https, http' },
    ],
    [
      'through two, of which the outer had TLS',
      true,
      { ...proxied, forwardedProto: 'https, http', trustedProxies: 2 },
    ],
    [
      'through two, of which the inner left the field',
      true,
      { ...proxied, forwardedProto: 'https', trustedProxies: 2 },
    ],
    ['past the proxies, on loopback', true, { ...far, address: '127.0.0.1', trustedProxies: 1 }],
    ['past the proxies, from afar', false, { ...far, trustedProxies: 1 }],
  ])('%s: %s', (_name, expected, facts) => {
    expect(isConfidential(facts)).toBe(expected);
  });
});

it('reads both from a request, however often its fields were sent', () => {
  const request = (encrypted: boolean, headers: Record<string, string | string[]>) =>
    ({ socket: { remoteAddress: '10.0.0.1', encrypted }, headers }) as unknown as Parameters<
      typeof clientOf
    >[0];
  expect(clientOf(request(true, {}), 0)).toEqual({ peer: '10.0.0.1', confidential: true });
  const headers = { 'x-forwarded-for': ['evil', '203.0.113.9'], 'x-forwarded-proto': ['https', 'http'] };
  expect(clientOf(request(false, headers), 1)).toEqual({ peer: '203.0.113.9', confidential: false });
});

it.each([
  ['2001:db8:1:2::1', '2001:db8:1:2'],
  ['2001:0db8:0001:0002:ffff::9', '2001:db8:1:2'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8::1', '2001:db8:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['::1', '0:0:0:0'],
  ['192.0.2.7', '192.0.2.7'],
  ['', ''],
])('limits count %j as %j, and that as itself', (address, counted) => {
  expect(network(address)).toBe(counted);
  expect(network(counted)).toBe(counted);
});
