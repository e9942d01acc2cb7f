import { expect, test } from 'vitest';
import type { HostBroadcast, HostPacket } from '../../../../plugin/adapters/node-media-server/host.ts';
import { createPacketGuard } from '../../../../plugin/adapters/node-media-server/packet-guard.ts';

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

const packet = (size: number, flags = PICTURE, dts = 0, held = size): HostPacket => ({
  dts,
  size,
  flags,
  data: { length: held } as Buffer,
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
