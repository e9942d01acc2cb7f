import { describe, expect, test } from 'vitest';
import { flvOf } from './messages.ts';
import { createViewerWorld, HEADS, MiB } from './viewer-world.ts';

describe('the start', () => {
  test('nothing leaves before it', () => {
    const { send, outlet, start, written } = createViewerWorld();
    send('keyframe');
    expect(outlet.written).toEqual([]);
    start();
    expect(written()).toEqual([]);
  });

  test('heads wait for a keyframe, and leave in their order before it', () => {
    const { send, start, written } = createViewerWorld();
    start();
    send('sound', 10);
    send('picture', 20);
    expect(written()).toEqual([]);
    send('keyframe', 40);
    send('sound', 50);
    send('picture', 60);
    expect(written()).toEqual([...HEADS, 'keyframe', 'sound', 'picture']);
  });

  test('what is cached leaves from its keyframe on', () => {
    const { start, written } = createViewerWorld();
    start([...HEADS, 'keyframe', 'sound', 'picture', 'picture']);
    expect(written()).toEqual([...HEADS, 'keyframe', 'sound', 'picture', 'picture']);
  });

  test('a cache without its keyframe is left out up to the next one', () => {
    const { start, send, written } = createViewerWorld();
    start([...HEADS, 'picture', 'sound', 'picture']);
    expect(written()).toEqual([]);
    send('keyframe', 100);
    expect(written()).toEqual([...HEADS, 'keyframe']);
  });

  test('a stream of sound alone starts with sound', () => {
    const { start, send, written } = createViewerWorld();
    start(['file-head', 'audio-head']);
    send('sound', 10);
    expect(written()).toEqual(['file-head', 'audio-head', 'sound']);
  });

  test('pictures that come to a stream of sound wait for their keyframe', () => {
    const { start, send, written } = createViewerWorld();
    start(['file-head', 'audio-head', 'sound']);
    send('picture', 10);
    send('sound', 20);
    send('video-head', 20);
    send('picture', 30);
    send('keyframe', 40);
    send('picture', 50);
    expect(written().slice(3)).toEqual(['sound', 'video-head', 'keyframe', 'picture']);
  });

  test('first media is told once, and not of heads', async () => {
    const { start, send, viewer } = createViewerWorld();
    const told: number[] = [];
    viewer.onFirstMedia(() => told.push(1));
    start();
    send('metadata-head');
    await Promise.resolve();
    expect(told).toEqual([]);
    send('keyframe');
    send('keyframe');
    await Promise.resolve();
    expect(told).toEqual([1]);
  });

  test('of a cache of more than 16 MiB the rest is left out, up to the next keyframe', () => {
    const { viewer, outlet, send, written } = createViewerWorld();
    const big = flvOf('picture', 0, 4 * MiB);
    viewer.start(outlet, () => {
      for (const kind of HEADS) viewer.send(flvOf(kind));
      viewer.send(flvOf('keyframe', 0, 4 * MiB));
      for (let count = 0; count < 20; count++) viewer.send(big);
    });
    expect(outlet.held).toBeLessThan(16 * MiB);
    const before = written().length;
    send('picture', 10);
    send('sound', 20);
    send('keyframe', 30);
    expect(written().slice(before)).toEqual(['keyframe']);
  });

  test('a viewer that was closed before is told, and gets nothing', () => {
    const { viewer, start, send, outlet } = createViewerWorld();
    viewer.close('expired');
    start([...HEADS, 'keyframe']);
    send('keyframe');
    expect([outlet.written.length, outlet.closed]).toEqual([0, ['viewer_left']]);
  });
});

describe('a slow reader', () => {
  /** Started, and blocked by a keyframe of 1,000 bytes. */
  function blocked(options: { stalledAfterMs?: number } = {}) {
    const world = createViewerWorld({ roomBytes: 500, ...options });
    world.outlet.roomBytes = 5000;
    world.start();
    world.send('keyframe', 0, 5000);
    world.clear();
    return world;
  }

  test('what it has no room for waits, in order, and leaves at the next drain', () => {
    const { send, drain, written } = blocked();
    send('sound', 10);
    send('picture', 20);
    expect(written()).toEqual([]);
    drain();
    expect(written()).toEqual(['sound', 'picture']);
  });

  test('a drain stops where the outlet is full again', () => {
    const { send, drain, written, outlet } = blocked();
    for (const time of [10, 20, 30]) send('picture', time, 3000);
    drain();
    expect(written()).toHaveLength(2);
    outlet.held = 0;
    drain();
    expect(written()).toHaveLength(3);
  });

  test('a second of media waits; with more, all is dropped up to the next keyframe', () => {
    const { send, drain, written, times } = blocked();
    for (let time = 40; time <= 1040; time += 40) send('picture', time);
    drain();
    expect(times()).toHaveLength(26);
    const again = blocked();
    for (let time = 40; time <= 1080; time += 40) again.send('picture', time);
    again.drain();
    again.send('picture', 1120);
    again.send('sound', 1130);
    expect(again.written()).toEqual([]);
    again.send('keyframe', 1160);
    expect(again.written()).toEqual(['keyframe']);
    expect(written().every((kind) => kind === 'picture')).toBe(true);
  });

  test('8 MiB wait; with more, all is dropped', () => {
    const { send, drain, written } = blocked();
    send('picture', 40, 4 * MiB);
    send('picture', 80, 4 * MiB - 4096);
    drain();
    drain();
    expect(written()).toHaveLength(2);
    const again = blocked();
    for (const time of [40, 80, 120]) again.send('picture', time, 4 * MiB);
    again.drain();
    expect(again.written()).toEqual([]);
  });

  test('heads that changed in what was dropped, or after it, come before the next keyframe', () => {
    const { send, drain, outlet, written } = blocked();
    send('picture', 40);
    const video = send('video-head', 50, 32, 1);
    send('keyframe', 50);
    send('picture', 1100);
    send('audio-head', 1120, 16, 1);
    const audio = send('audio-head', 1130, 16, 2);
    drain();
    send('keyframe', 1200);
    expect(written()).toEqual(['video-head', 'audio-head', 'keyframe']);
    expect(outlet.written.slice(0, 2)).toEqual([video, audio]);
  });

  test('the old timestamps of heads do not make a queue look full', () => {
    const { send, drain, written } = blocked();
    for (const time of [60_000, 60_500, 61_001]) send('picture', time);
    send('metadata-head', 0);
    send('keyframe', 61_100);
    send('metadata-head', 0);
    send('picture', 61_200);
    drain();
    expect(written()).toEqual(['metadata-head', 'keyframe', 'metadata-head', 'picture']);
  });

  test.each([
    ['wrap', 0xff_ff_ff_f0, 0x10, true],
    ['go back a little', 1000, 980, true],
    ['jump ahead', 1000, 100_000, false],
    ['jump back', 100_000, 0, false],
    ['jump half the range', 0, 0x80_00_00_00, false],
  ])('timestamps that %s', (_, from, to, waits) => {
    const { send, drain, written } = blocked();
    send('picture', from);
    send('picture', to);
    drain();
    expect(written()).toEqual(waits ? ['picture', 'picture'] : []);
    send('keyframe', to);
    send('picture', to);
    expect(written().slice(-2)).toEqual(['keyframe', 'picture']);
  });

  test('a stream of sound alone goes on with the newest', () => {
    const world = createViewerWorld({ roomBytes: 100 });
    world.start(['file-head', 'audio-head']);
    world.send('sound', 0, 200);
    world.clear();
    for (let time = 23; time < 3000; time += 23) world.send('sound', time);
    world.outlet.roomBytes = Number.POSITIVE_INFINITY;
    world.drain();
    expect(world.times().at(-1)).toBeGreaterThan(2900);
    expect(world.times()[0]).toBeGreaterThan(1900);
  });

  test('who takes nothing for 10 s has stalled', async () => {
    const { clock, send, viewer } = blocked();
    const reasons: string[] = [];
    viewer.onGone((reason) => reasons.push(reason));
    clock.advance(10_000);
    send('picture', 10_000);
    await Promise.resolve();
    expect(reasons).toEqual([]);
    clock.advance(1);
    send('picture', 10_040);
    send('picture', 10_080);
    await Promise.resolve();
    expect(reasons).toEqual(['viewer_stalled']);
  });

  test('who takes something now and then has not, and the limit can be set', async () => {
    const { clock, send, drain, viewer } = blocked({ stalledAfterMs: 500 });
    const reasons: string[] = [];
    viewer.onGone((reason) => reasons.push(reason));
    for (let count = 0; count < 10; count++) {
      clock.advance(400);
      send('keyframe', count * 400, 5000);
      drain();
    }
    await Promise.resolve();
    expect(reasons).toEqual([]);
    send('keyframe', 5000, 5000);
    clock.advance(501);
    send('picture', 5400);
    await Promise.resolve();
    expect(reasons).toEqual(['viewer_stalled']);
  });
});

describe('what is counted', () => {
  test('media time from the first message on, bytes that have left', async () => {
    const { viewer, start, send, play } = createViewerWorld();
    play(5000);
    start();
    expect(await viewer.counters()).toEqual({ mediaMs: 0, bytes: 0 });
    const keyframe = send('keyframe', 5000, 1000);
    play(2000);
    const heads = HEADS.map((kind) => flvOf(kind).length).reduce((sum, bytes) => sum + bytes);
    expect(await viewer.counters()).toEqual({ mediaMs: 2000, bytes: heads + keyframe.length });
  });

  test('bytes that have not left are not', async () => {
    const { viewer, start, send, drain, outlet } = createViewerWorld({ roomBytes: 1_000_000 });
    start();
    send('keyframe', 0, 5000);
    expect((await viewer.counters()).bytes).toBe(0);
    outlet.held = 0;
    drain();
    expect((await viewer.counters()).bytes).toBeGreaterThan(5000);
  });

  test('media that waits, or that was skipped, is not', async () => {
    const { viewer, start, send, play, drain, outlet } = createViewerWorld({ roomBytes: 4000 });
    start();
    send('keyframe', 0, 5000);
    const counted = async (): Promise<number> => (await viewer.counters()).mediaMs;
    // 3 s of pictures at 25 a second while the outlet takes nothing; the queue overflows in between.
    for (let time = 40; time <= 3000; time += 40) {
      play(40);
      send('picture', time);
      expect(await counted()).toBeLessThanOrEqual(40);
    }
    outlet.roomBytes = Number.POSITIVE_INFINITY;
    drain();
    play(40);
    send('keyframe', 3040);
    play(960);
    send('picture', 4000);
    expect(await counted()).toBeGreaterThanOrEqual(960);
    expect(await counted()).toBeLessThanOrEqual(1040);
  });

  test('at the end the figures stay what they were', async () => {
    const { viewer, start, send, play, outlet } = createViewerWorld();
    start();
    send('keyframe', 0, 1000);
    play(700);
    const before = await viewer.counters();
    viewer.close('expired');
    viewer.close('kicked');
    play(1000);
    send('keyframe', 700, 1000);
    expect(await viewer.counters()).toEqual(before);
    expect(before.mediaMs).toBe(700);
    expect(outlet.closed).toEqual(['expired']);
  });

  test('after the end nothing that waited leaves', () => {
    const { viewer, start, send, drain, clear, written } = createViewerWorld({ roomBytes: 100 });
    start();
    send('keyframe', 0, 1000);
    send('picture', 40);
    clear();
    viewer.close('expired');
    drain();
    expect(written()).toEqual([]);
  });
});
