import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { HostBroadcast, HostSubscriber } from '../../../../plugin/adapters/node-media-server/host.ts';
import { createStreams } from '../../../../plugin/adapters/node-media-server/streams.ts';
import type { Viewer } from '../../../../plugin/adapters/node-media-server/viewer.ts';
import { asDenial } from '../../../../plugin/errors.ts';
import { fakeTimerClock, silentLog } from '../../../support/doubles.ts';
import { flvOf } from './messages.ts';

beforeEach(() => void vi.useFakeTimers({ now: 1_800_000_000_000 }));
afterEach(() => void vi.useRealTimers());

function setUp() {
  const events: string[] = [];
  /** What there was to report at each change. */
  const onAir: string[][] = [];
  const pushed: { tag: Buffer; timestampMs: number }[] = [];
  const streams = createStreams({
    graceMs: 30_000,
    clock: fakeTimerClock,
    log: silentLog,
    onChange: () => onAir.push(streams.statuses().map(({ uri }) => uri)),
    onPublisher(path) {
      events.push(`open ${path}`);
      return {
        pushTag: (tag, timestampMs) => void pushed.push({ tag, timestampMs }),
        restart: () => events.push(`restart ${path}`),
        close: () => events.push(`close ${path}`),
      };
    },
  });
  return { events, onAir, pushed, streams };
}

function fakeBroadcast() {
  const subscribers = new Map<string, HostSubscriber>();
  const send = (tag: Buffer): void => subscribers.forEach(({ sendBuffer }) => sendBuffer(tag));
  return { broadcast: { subscribers } as Partial<HostBroadcast> as HostBroadcast, subscribers, send };
}

function fakeViewer() {
  const reasons: string[] = [];
  return { reasons, viewer: { gone: (reason: string) => reasons.push(reason) } as Partial<Viewer> as Viewer };
}

function codeOf(run: () => unknown): string {
  try {
    run();
    return 'taken';
  } catch (error) {
    return asDenial(error).code;
  }
}

test('one publisher per stream; the second one is refused', () => {
  const { streams } = setUp();
  streams.claim('/a/b');
  expect(codeOf(() => streams.claim('/a/c'))).toBe('taken');
  expect(codeOf(() => streams.claim('/a/b'))).toBe('stream_busy');
  expect([streams.isFree('/a/b'), streams.isFree('/a/d')]).toEqual([false, true]);
});

test('tags reach the tap with the publisher’s own time, and count as media', () => {
  const { streams, pushed } = setUp();
  const { broadcast, send, subscribers } = fakeBroadcast();
  const claim = streams.claim('/a/b');
  claim.listen(broadcast, () => 7);
  const tag = flvOf('keyframe', 90_000);
  send(tag);
  expect(pushed).toEqual([{ tag, timestampMs: 7 }]);
  // Without an address the host takes it for one of its own, not for a player.
  expect([...subscribers.values()].map(({ ip, protocol }) => [ip, protocol])).toEqual([['', 'flv']]);
});

test('who comes back within the grace time gets the same stream, tap and viewers; who comes later another', () => {
  const { events, streams } = setUp();
  const { viewer, reasons } = fakeViewer();
  const first = streams.claim('/a/b');
  const stream = streams.find('/a/b');
  stream?.add(viewer);
  first.leave();
  expect(streams.isFree('/a/b')).toBe(true);
  expect(streams.find('/a/b')).toBe(stream);
  vi.advanceTimersByTime(29_999);
  const second = streams.claim('/a/b');
  vi.advanceTimersByTime(60_000);
  expect([events, reasons]).toEqual([['open /a/b', 'restart /a/b'], []]);
  second.leave();
  vi.advanceTimersByTime(30_000);
  expect(streams.find('/a/b')).toBeUndefined();
  expect(reasons).toEqual(['source_ended']);
  streams.claim('/a/b');
  expect(streams.find('/a/b')).not.toBe(stream);
  expect(events.slice(2)).toEqual(['close /a/b', 'open /a/b']);
});

test('what an earlier connection does late changes nothing', () => {
  const { events, streams } = setUp();
  const first = streams.claim('/a/b');
  first.leave();
  const second = streams.claim('/a/b');
  first.leave();
  vi.advanceTimersByTime(60_000);
  expect(streams.isFree('/a/b')).toBe(false);
  second.leave();
  second.leave();
  vi.advanceTimersByTime(30_000);
  expect(events.filter((event) => event.startsWith('close'))).toEqual(['close /a/b']);
});

test('each coming and going of a publisher is told of; while he is away the stream is not on the air', () => {
  const { onAir, streams } = setUp();
  streams.claim('/a/b').leave();
  const again = streams.claim('/a/b');
  streams.claim('/a/c');
  again.leave();
  vi.advanceTimersByTime(30_000);
  expect(onAir).toEqual([['/a/b'], [], ['/a/b'], ['/a/b', '/a/c'], ['/a/c'], ['/a/c']]);
});

test('while its publisher is away a stream listens to nobody', () => {
  const { streams, pushed } = setUp();
  const { broadcast, send, subscribers } = fakeBroadcast();
  const claim = streams.claim('/a/b');
  claim.listen(broadcast, () => 0);
  claim.leave();
  send(flvOf('keyframe'));
  expect([pushed.length, subscribers.size]).toEqual([0, 0]);
});

test('a viewer who has left is not told of the end, and is not counted', () => {
  const { streams } = setUp();
  const [stays, leaves] = [fakeViewer(), fakeViewer()];
  streams.claim('/a/b');
  const stream = streams.find('/a/b');
  stream?.add(stays.viewer);
  stream?.add(leaves.viewer);
  expect(streams.statuses()).toMatchObject([{ uri: '/a/b', onAirSince: 1_800_000_000, viewers: 2 }]);
  stream?.remove(leaves.viewer);
  expect(streams.statuses()).toMatchObject([{ viewers: 1 }]);
  streams.closeAll();
  expect([stays.reasons, leaves.reasons]).toEqual([['source_ended'], []]);
});

test('the end closes every tap once', () => {
  const { events, streams } = setUp();
  streams.claim('/a/b');
  streams.claim('/a/c').leave();
  streams.closeAll();
  streams.closeAll();
  vi.advanceTimersByTime(60_000);
  expect(events.filter((event) => event.startsWith('close'))).toEqual(['close /a/b', 'close /a/c']);
  expect(streams.statuses()).toEqual([]);
});
