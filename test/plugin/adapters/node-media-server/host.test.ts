import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import {
  isOnAir,
  isRtmpSession,
  isTestedVersion,
  openHost,
  type HostBroadcast,
} from '../../../../plugin/adapters/node-media-server/host.ts';
import { isHostPath } from '../../../../plugin/adapters/node-media-server/host-path.ts';

test.each([
  ['4.0.21', true],
  ['4.0.30', true],
  ['4.0.100', true],
  ['4.1.0', true],
  ['4.4.3', true],
  ['4.4.99', true],
  ['4.0.20', false],
  ['4.0.9', false],
  ['4.5.0', false],
  ['4.10.1', false],
  ['4.4', false],
  ['4.4.0-beta.1', false],
  ['5.0.0', false],
  ['14.4.0', false],
  ['2.7.4', false],
])('version %s is tested: %s', (version, tested) => {
  expect(isTestedVersion(version)).toBe(tested);
});

describe('what cannot be guarded is refused', () => {
  const require = createRequire(import.meta.url);
  const NodeMediaServer = require('node-media-server') as new (settings: object) => object;
  const logger = require('node-media-server/src/core/logger.js') as object;
  Object.defineProperty(logger, 'level', { get: () => 'error', set: () => undefined });

  test('something else than a node-media-server', () => {
    expect(() => openHost({}, false)).toThrow(/no node-media-server/);
  });

  test('an instance of another copy of the package', () => {
    expect(() => openHost({ httpServer: {}, rtmpServer: {}, store: {} }, true)).toThrow(/another copy/);
  });

  test.each([
    ['auth.play', { play: true, secret: 'insecure-test-secret' }],
    ['auth.publish', { publish: true, secret: 'insecure-test-secret' }],
  ])('the host’s own %s, which would refuse whom the gate admits', (name, auth) => {
    expect(() => openHost(new NodeMediaServer({ auth, record: { auto: false } }), false)).toThrow(name);
  });

  test('an instance that a later one has taken the place of', () => {
    const first = new NodeMediaServer({ record: { auto: false } });
    const second = new NodeMediaServer({ record: { auto: false } });
    expect(() => openHost(first, false)).toThrow(/latest/);
    expect(isTestedVersion(openHost(second, false).version)).toBe(true);
  });
});

test('only sessions of the shape that the guard relies on are RTMP sessions', () => {
  const run = (): void => undefined;
  const names = ['onConnectCallback', 'onPushCallback', 'onPlayCallback', 'onPacketCallback'];
  const more = ['respondPublish', 'respondPlay', 'packetAlloc', 'sendStatusMessage'];
  const rtmp = Object.fromEntries([...names, ...more].map((name) => [name, run]));
  const session = { onData: run, onClose: run, rtmp: { ...rtmp, inPackets: new Map() } };
  expect(isRtmpSession(session)).toBe(true);
  for (const name of [...names, ...more, 'inPackets']) {
    expect(isRtmpSession({ ...session, rtmp: { ...session.rtmp, [name]: undefined } })).toBe(false);
  }
  for (const other of [null, undefined, 1, {}, { ...session, onData: 1 }, { ...session, onClose: null }]) {
    expect(isRtmpSession(other)).toBe(false);
  }
});

const ON_AIR: readonly (readonly [string, Partial<HostBroadcast> | undefined, boolean])[] = [
  ['nothing', undefined, false],
  ['a publisher', { publisher: {}, getPublishStatus: () => 'publishing' }, true],
  ['a publisher who is away', { publisher: {}, getPublishStatus: () => 'reconnecting' }, false],
  ['no publisher', { publisher: null, getPublishStatus: () => 'idle' }, false],
  ['a publisher of a host before 4.3', { publisher: {} }, true],
  ['no publisher of a host before 4.3', { publisher: null }, false],
];

test.each(ON_AIR)('on air with %s', (_, broadcast, expected) => {
  expect(isOnAir(broadcast as HostBroadcast | undefined)).toBe(expected);
});

test.each([
  ['/live/a', true],
  [`/${'a'.repeat(64)}/${'b'.repeat(64)}`, true],
  ['/live/a/b', false],
  ['/live', false],
  ['live/a', false],
  ['/live/a.b', false],
  ['/live/a~b', false],
  ['/live/a\n', false],
  [`/live/${'a'.repeat(65)}`, false],
])('the host can carry %j: %s', (path, ok) => {
  expect(isHostPath(path)).toBe(ok);
});
