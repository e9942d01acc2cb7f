import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createTimeline, type Timeline, type Track } from '../../../plugin/media/timeline.ts';
import { createManualClock, type ManualClock } from './fakes.ts';

function create(): { clock: ManualClock; timeline: Timeline } {
  const clock = createManualClock();
  return { clock, timeline: createTimeline(clock) };
}

type Step = readonly [track: Track, tagMs: number, expectedMs: number, afterMs?: number];

function play(timeline: Timeline, clock: ManualClock, steps: readonly Step[]): void {
  for (const [track, tagMs, expectedMs, afterMs = 0] of steps) {
    clock.advance(afterMs);
    expect([track, tagMs, timeline.map(track, tagMs >>> 0)]).toEqual([track, tagMs, expectedMs]);
  }
}

describe('one timeline from timestamps of any kind', () => {
  test('it starts at 0 wherever the publisher starts, and keeps the tracks apart as they were', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [
      ['video', 123_456, 0],
      ['audio', 123_466, 10],
      ['video', 123_496, 40, 40],
      ['audio', 123_489, 33],
    ]);
  });

  test('it goes on over the end of 32 bits', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [
      ['video', 0xffff_ffd8, 0],
      ['audio', 0xffff_fff0, 24],
      ['video', 0, 40, 40],
      ['audio', 7, 47],
      ['video', 40, 80, 40],
    ]);
  });

  test('a publisher who returns and starts at 0 goes on where the time is now', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [
      ['video', 0, 0],
      ['video', 40, 40, 40],
    ]);
    timeline.restart();
    play(timeline, clock, [
      ['audio', 0, 5040, 5000],
      ['video', 10, 5050],
      ['video', 50, 5090, 40],
    ]);
  });

  test('a jump back without a new connection is a step of one picture; late tags of the other track stay where they were', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [
      ['video', 90_000, 0],
      ['audio', 90_000, 0],
      ['video', 90_040, 40, 40],
      ['video', 0, 80, 40],
      ['audio', 90_030, 30],
      ['audio', 0, 80],
      ['video', 40, 120, 40],
      ['audio', 23, 103],
    ]);
  });

  test('a jump forward that took no time is a step of one picture', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [
      ['video', 0, 0],
      ['video', 86_400_000, 40, 40],
      ['video', 86_400_040, 80, 40],
    ]);
  });

  test('a gap that took its time is a gap', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [
      ['video', 0, 0],
      ['video', 8000, 8000, 8000],
    ]);
  });

  test('sound that starts late, on a clock of its own, starts now and stays where it is', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [['video', 60_000, 0]]);
    for (let ms = 40; ms <= 4000; ms += 40) {
      play(timeline, clock, [['video', 60_000 + ms, ms, 40]]);
      if (ms >= 1000) play(timeline, clock, [['audio', ms - 1000, ms + 20]]);
    }
  });

  test('a track that jumps alone goes on from now, and the other one as before', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [
      ['video', 10_000, 0],
      ['audio', 10_000, 0],
    ]);
    for (let ms = 40; ms <= 4000; ms += 40) {
      play(timeline, clock, [
        ['video', 10_000 + ms, ms, 40],
        ['audio', 500_000 + ms, ms + 20],
      ]);
    }
  });

  test('one tag with a wrong timestamp changes nothing for those that follow', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [
      ['video', 90_000, 0],
      ['audio', 90_010, 10],
      ['video', 0, 50, 40],
      ['audio', 90_050, 50],
      ['video', 90_080, 80, 40],
      ['audio', 90_090, 90],
      ['audio', 7_000_000, 110, 20],
      ['video', 90_120, 120, 20],
      ['audio', 90_130, 130],
    ]);
  });

  test('tracks that jump one after the other are in step again, forward and back', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [
      ['video', 0, 0],
      ['audio', 3, 3],
      ['video', 9_000_000, 40, 37],
      ['audio', 40, 40],
      ['audio', 9_000_013, 53],
      ['video', 9_000_040, 80, 40],
      ['audio', 5000, 100, 10],
      ['video', 9_000_080, 120, 30],
      ['video', 5070, 170, 40],
      ['audio', 5080, 180, 10],
    ]);
  });

  test('no track ever runs backwards, whatever the timestamps', () => {
    const tag = fc.record({
      track: fc.constantFrom<Track>('audio', 'video'),
      tagMs: fc.oneof(
        fc.nat(5000),
        fc.nat(2 ** 32 - 1),
        fc.integer({ min: 2 ** 32 - 3000, max: 2 ** 32 - 1 }),
      ),
      afterMs: fc.nat(3000),
      restart: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    });
    fc.assert(
      fc.property(fc.array(tag, { maxLength: 60 }), (tags) => {
        const { clock, timeline } = create();
        const last = { audio: 0, video: 0 };
        let counted = 0;
        let wallMs = 0;
        for (const { track, tagMs, afterMs, restart } of tags) {
          clock.advance(afterMs);
          wallMs += afterMs;
          if (restart) timeline.restart();
          const mediaMs = timeline.map(track, tagMs);
          expect(Number.isInteger(mediaMs)).toBe(true);
          expect(mediaMs).toBeGreaterThanOrEqual(last[track]);
          expect(timeline.mediaMs()).toBeGreaterThanOrEqual(counted);
          expect(timeline.mediaMs()).toBeLessThanOrEqual(Math.max(last.audio, last.video, mediaMs));
          last[track] = mediaMs;
          counted = timeline.mediaMs();
        }
        // Jumps do not make time: beyond the clock by at most the slack of each step.
        expect(Math.max(last.audio, last.video)).toBeLessThanOrEqual(wallMs + tags.length * 6020);
      }),
      { numRuns: 500 },
    );
  });

  test('without jumps media time is tag time, in any interleaving', () => {
    const pair = fc.tuple(fc.nat(2 ** 32 - 1), fc.array(fc.nat(120), { minLength: 1, maxLength: 60 }));
    fc.assert(
      fc.property(pair, ([startMs, deltas]) => {
        const { clock, timeline } = create();
        let tagMs = startMs;
        expect(timeline.map('video', tagMs)).toBe(0);
        deltas.forEach((deltaMs, index) => {
          tagMs += deltaMs;
          clock.advance(deltaMs);
          expect(timeline.map(index % 2 === 0 ? 'audio' : 'video', tagMs >>> 0)).toBe(tagMs - startMs);
        });
      }),
    );
  });

  test('a pause whose timestamps go on is as long as it was, though the last tags before it come only after it', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [
      ['video', 4954, 0],
      ['audio', 4970, 16, 10],
      ['video', 4988, 34, 3030],
      ['audio', 4992, 38, 98],
      ['audio', 5013, 59, 3],
      ['audio', 8042, 3088, 1],
      ['video', 8054, 3100, 2],
    ]);
    expect(timeline.mapping()).toBe(1);
  });
});

describe('published milliseconds', () => {
  test('gaps over a second do not count, smaller ones do', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [
      ['video', 0, 0],
      ['video', 40, 40, 40],
      ['video', 940, 940, 900],
      ['video', 5000, 5000, 4060],
      ['audio', 5023, 5023, 23],
    ]);
    expect(timeline.mediaMs()).toBe(940 + 23);
  });
});

describe('the mapping to the wall clock', () => {
  test('this moment is where the media would be by now', () => {
    const { clock, timeline } = create();
    expect(timeline.nowMs()).toBe(0);
    play(timeline, clock, [['video', 777, 0]]);
    clock.advance(33);
    expect(timeline.nowMs()).toBe(33);
  });

  test('tags that come early or late do not move it, a clock that is 2 s off does', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [
      ['video', 0, 0],
      ['video', 900, 900],
      ['video', 1800, 1800],
    ]);
    expect(timeline.nowMs()).toBe(0);
    play(timeline, clock, [['video', 2700, 2700]]);
    expect(timeline.nowMs()).toBe(2700);
  });

  test('what was held up and then comes all at once does not move it', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [
      ['video', 0, 0],
      ['video', 33, 33, 4000],
      ['video', 66, 66],
      ['video', 4000, 4000, 20],
    ]);
    expect(timeline.mapping()).toBe(1);
    expect(timeline.nowMs()).toBe(4020);
  });

  test('what stays late for five seconds does', () => {
    const { clock, timeline } = create();
    play(timeline, clock, [['video', 0, 0]]);
    clock.advance(3000);
    for (let tagMs = 40; tagMs <= 4960; tagMs += 40) play(timeline, clock, [['video', tagMs, tagMs, 40]]);
    expect(timeline.nowMs()).toBe(7960);
    play(timeline, clock, [['video', 5040, 5040, 80]]);
    expect(timeline.nowMs()).toBe(5040);
  });
});
