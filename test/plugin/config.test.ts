import { expect, test } from 'vitest';
import { listenInfos } from '../../plugin/adapters/mediasoup/listen.ts';
import { readMediaConfig, type RtcAddress } from '../../plugin/config.ts';

test.each<[string, NodeJS.ProcessEnv, RtcAddress[]]>([
  ['nothing set', {}, [{ ip: '127.0.0.1' }]],
  ['IPv6', { USHER_RTC_IP: '::1' }, [{ ip: '::1' }]],
  ['both families', { USHER_RTC_IP: '192.0.2.1, 2001:db8::1' }, [{ ip: '192.0.2.1' }, { ip: '2001:db8::1' }]],
  [
    'an announced address',
    { USHER_RTC_IP: '0.0.0.0', USHER_RTC_ANNOUNCED_ADDRESS: 'media.example' },
    [{ ip: '0.0.0.0', announcedAddress: 'media.example' }],
  ],
  [
    'NAT for one family only',
    { USHER_RTC_IP: '0.0.0.0,2001:db8::1', USHER_RTC_ANNOUNCED_ADDRESS: '203.0.113.7,' },
    [{ ip: '0.0.0.0', announcedAddress: '203.0.113.7' }, { ip: '2001:db8::1' }],
  ],
])('WebRTC listens, with %s, where it should', (_what, env, addresses) => {
  expect(readMediaConfig(env).rtcAddresses).toEqual(addresses);
});

test.each<[string, NodeJS.ProcessEnv, RegExp]>([
  ['a name', { USHER_RTC_IP: 'localhost' }, /^USHER_RTC_IP: /],
  ['brackets', { USHER_RTC_IP: '[::1]' }, /^USHER_RTC_IP: /],
  ['an empty address', { USHER_RTC_IP: '127.0.0.1,' }, /^USHER_RTC_IP: /],
  [
    'all addresses, none of them announced',
    { USHER_RTC_IP: '0.0.0.0' },
    /^USHER_RTC_ANNOUNCED_ADDRESS: needed/,
  ],
  [
    'all of IPv6 beside an announced IPv4',
    { USHER_RTC_IP: '0.0.0.0,::', USHER_RTC_ANNOUNCED_ADDRESS: '203.0.113.7,' },
    /^USHER_RTC_ANNOUNCED_ADDRESS: needed for ::/,
  ],
  [
    'more announced than there are',
    { USHER_RTC_IP: '127.0.0.1', USHER_RTC_ANNOUNCED_ADDRESS: '203.0.113.7,203.0.113.8' },
    /^USHER_RTC_ANNOUNCED_ADDRESS: as many/,
  ],
  ['no worker', { USHER_WORKERS: '0' }, /^USHER_WORKERS: /],
  [
    'a port that leaves none for the second worker',
    { USHER_RTC_PORT: '65535', USHER_WORKERS: '2' },
    /^USHER_RTC_PORT: too high/,
  ],
])('%s is refused', (_what, env, message) => {
  expect(() => readMediaConfig(env)).toThrow(message);
});

test('mediasoup listens by UDP and TCP on each address, and an IPv6 socket leaves IPv4 alone', () => {
  const both = [
    { ip: '0.0.0.0', announcedAddress: '203.0.113.7', port: 4002 },
    { ip: '::', announcedAddress: '2001:db8::7', port: 4002 },
  ];
  expect(listenInfos(both, 0)).toEqual([
    { protocol: 'udp', ip: '0.0.0.0', announcedAddress: '203.0.113.7', port: 4002 },
    { protocol: 'tcp', ip: '0.0.0.0', announcedAddress: '203.0.113.7', port: 4002 },
    { protocol: 'udp', ip: '::', announcedAddress: '2001:db8::7', port: 4002, flags: { ipv6Only: true } },
    { protocol: 'tcp', ip: '::', announcedAddress: '2001:db8::7', port: 4002, flags: { ipv6Only: true } },
  ]);
});

test('what WebRTC viewers cannot be shown is re-encoded unless that is switched off', () => {
  expect(readMediaConfig({}).USHER_REENCODE).toBe('auto');
  expect(readMediaConfig({ USHER_REENCODE: 'off' }).USHER_REENCODE).toBe('off');
  expect(() => readMediaConfig({ USHER_REENCODE: 'on' })).toThrow(/^USHER_REENCODE: /);
  expect(readMediaConfig({}).USHER_REENCODE_MAX_BITRATE).toBe(8_000_000);
  for (const bits of ['99999', '100000001', '1.5e6.', '']) {
    const env = { USHER_REENCODE_MAX_BITRATE: bits };
    expect(() => readMediaConfig(env)).toThrow(/^USHER_REENCODE_MAX_BITRATE: /);
  }
});
