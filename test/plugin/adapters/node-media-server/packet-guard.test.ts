import { expect, test } from 'vitest';
import type { HostBroadcast, HostPacket } from '../../../../plugin/adapters/node-media-server/host.ts';
import { createPacketGuard } from '../../../../plugin/adapters/node-media-server/packet-guard.ts';
import { bodyOf } from './messages.ts';

const MiB = 1024 * 1024;
const KEYFRAME = 3;
const PICTURE = 4;

function setUp() {
  const taken: HostPacket[] = [];
  const times: number[] = [];
  const caches = { flvGopCache: new Set<Buffer>(), rtmpGopCache: new Set<Buffer>() };
  const broadcast = {
    ...caches,
    broadcastMessage(packet: HostPacket) {
      taken.push(packet);
      times.push(guard.timeOf());
      caches.flvGopCache.add(Buffer.alloc(1));
      caches.rtmpGopCache.add(Buffer.alloc(1));
    },
  } as Partial<HostBroadcast> as HostBroadcast;
  const guard = createPacketGuard(broadcast);
  return { guard, taken, times, ...caches };
}

const VIDEO = 9;
const BODIES = new Map([
  [KEYFRAME, bodyOf('keyframe', 4 * MiB)],
  [PICTURE, bodyOf('picture', 4 * MiB)],
]);

const packet = (size: number, flags = PICTURE, dts = 0, held = size): HostPacket => ({
  dts,
  size,
  flags,
  codec_type: VIDEO,
  data: BODIES.get(flags)!.subarray(0, held),
});

test('packets go to the broadcast as they are, and while one does its own time can be asked for', () => {
  const { guard, taken, times } = setUp();
  const [first, second] = [packet(10, KEYFRAME, 40), packet(20, PICTURE, 80)];
  guard.take(first);
  guard.take(second);
  expect(taken).toEqual([first, second]);
  expect(times).toEqual([40, 80]);
});

test('a packet that claims more than it holds goes nowhere', () => {
  const { guard, taken } = setUp();
  expect(() => guard.take(packet(11, PICTURE, 0, 10))).toThrow('length');
  expect(taken).toEqual([]);
  guard.take(packet(10, PICTURE, 0, 4096));
  expect(taken).toHaveLength(1);
});

test('the host’s caches of one group hold 32 MiB, and the message behind that empties them', () => {
  const { guard, flvGopCache, rtmpGopCache } = setUp();
  guard.take(packet(4 * MiB, KEYFRAME));
  for (let count = 0; count < 7; count++) guard.take(packet(4 * MiB));
  expect(flvGopCache.size).toBe(8);
  guard.take(packet(1));
  // Emptied before the broadcast adds this one.
  expect([flvGopCache.size, rtmpGopCache.size]).toEqual([1, 1]);
});

test('a keyframe starts the count anew', () => {
  const { guard, flvGopCache } = setUp();
  for (let group = 0; group < 4; group++) {
    guard.take(packet(4 * MiB, KEYFRAME));
    for (let count = 0; count < 6; count++) guard.take(packet(4 * MiB));
  }
  expect(flvGopCache.size).toBe(28);
});

test.each([
  ['enhanced H.264 configuration, which it takes for that of the sound', 9, '9061766331', 0, 2],
  ['an enhanced H.264 keyframe', 9, '9161766331000000', 0, 3],
  ['an enhanced H.264 picture', 9, 'a161766331000000', 0, 4],
  ['the configuration of another track', 9, '9600' + '6876633101', 0, 4],
  ['Opus configuration, sound to its older versions', 8, '904f707573', 1, 0],
  ['Opus', 8, '914f707573ff', 1, 1],
  ['the end of a sequence, a keyframe to it', 9, '1702000000', 3, 4],
  ['an H.265 configuration of the old kind', 9, '1c00000000', 4, 2],
  ['metadata', 18, '02000a', 5, 5],
])('the host is told what it has: %s', (_, codec_type, hex, hostFlags, flags) => {
  const { guard, taken } = setUp();
  const data = Buffer.concat([Buffer.from(hex, 'hex'), Buffer.alloc(100, 0xff)]);
  guard.take({ dts: 0, size: hex.length / 2, flags: hostFlags, codec_type, data });
  expect(taken[0]!.flags).toBe(flags);
});
