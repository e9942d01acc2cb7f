/** When a keyframe between two of the publisher's is made, and what the viewers are sent around it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createBridge, type Bridge } from '../../../plugin/media/bridge.ts';
import { createGopCache } from '../../../plugin/media/gop.ts';
import { createManualClock } from './fakes.ts';

const STEP_MS = 40;

interface Setup {
  readonly bridge: Bridge;
  /** Media time of the publisher's pictures that the viewers were sent. */
  readonly sent: number[];
  /** Media time of the publisher's latest picture. */
  nowMs(): number;
  /** The publisher's next picture, 40 ms after the one before. */
  push(keyframe?: boolean, heldBytes?: number): void;
  /** Pictures up to this media time, with keyframes at these times. */
  pushUntil(endMs: number, keyframesMs?: readonly number[]): void;
  /** What the re-encoder says of itself. */
  readonly child: { nextKeyframeMs: number | undefined; lagMs: number };
  /** Its keyframe; true if the viewers get it. */
  make(presentationMs: number): boolean;
  /** How often the re-encoder was said to be needed, or no longer. */
  changes(): number;
}

function create(): Setup {
  const clock = createManualClock();
  const gop = createGopCache();
  const sent: number[] = [];
  const child: Setup['child'] = { nextKeyframeMs: undefined, lagMs: 0 };
  let changes = 0;
  let timeMs = -STEP_MS;
  /** Stands for the viewers' pictures being the re-encoder's. */
  let isMade = false;
  const bridge = createBridge({
    clock,
    gop,
    reencoder: () => ({
      nextKeyframeMs: () => child.nextKeyframeMs,
      status: () => ({
        codec: 'H.264',
        running: true,
        restarts: 0,
        droppedPictures: 0,
        lagMs: child.lagMs,
      }),
    }),
    send: ({ presentationMs }) => sent.push(presentationMs),
    onNeed: () => (changes += 1),
  });
  function push(keyframe = false, heldBytes = 1): void {
    timeMs += STEP_MS;
    clock.advance(STEP_MS);
    const picture = { units: [Buffer.alloc(1)], presentationMs: timeMs, keyframe, heldBytes };
    gop.add(picture);
    if (keyframe) {
      bridge.keyframe(timeMs);
      isMade = false;
    }
    if (!isMade) bridge.pass(picture);
  }
  return {
    bridge,
    sent,
    child,
    push,
    nowMs: () => timeMs,
    pushUntil(endMs, keyframesMs = [0]) {
      while (timeMs < endMs) push(keyframesMs.includes(timeMs + STEP_MS));
    },
    make(presentationMs) {
      const opens = bridge.opensWith({ units: [], presentationMs, keyframe: true, heldBytes: 0 });
      isMade ||= opens;
      return opens;
    },
    changes: () => changes,
  };
}

const multiplesOf = (stepMs: number, endMs: number): number[] =>
  Array.from({ length: Math.floor(endMs / stepMs) + 1 }, (_, index) => index * stepMs);

describe('a bridge', () => {
  test.each<[string, number[], number, boolean]>([
    ['when no second keyframe has come yet', [0], 4000, true],
    ['when the next keyframe is 4 s away', [0, 8000], 12_000, true],
    ['when the next keyframe is 1.4 s away', [0, 8000], 14_600, false],
    ['when the next keyframe is just late', [0, 2000], 4400, false],
    ['when the next keyframe is later than any rhythm says', [0, 2000], 4600, true],
    ['when there is a keyframe each second', multiplesOf(1000, 4000), 4400, false],
  ])('%s: %s', (_, keyframesMs, askedMs, opens) => {
    const { bridge, pushUntil, push, changes } = create();
    pushUntil(askedMs - STEP_MS, keyframesMs);
    bridge.request();
    push();
    expect([bridge.isOpening(), changes()]).toEqual([opens, opens ? 1 : 0]);
  });

  test('needs a group that is cached whole', () => {
    const { bridge, pushUntil } = create();
    pushUntil(4000, []);
    bridge.request();
    pushUntil(6000, []);
    expect(bridge.isOpening()).toBe(false);
  });

  test('is for who asked since the last keyframe', () => {
    const { bridge, pushUntil } = create();
    bridge.request();
    pushUntil(4000);
    expect(bridge.isOpening()).toBe(false);
  });

  test('opens with the first keyframe that follows what was sent, and not a picture is left out before it', () => {
    const { bridge, pushUntil, child, make, sent } = create();
    pushUntil(4000);
    bridge.request();
    pushUntil(4040);
    child.nextKeyframeMs = 4320;
    pushUntil(4400);
    expect(sent.at(-1)).toBe(4280);
    // One picture later than it was said to be.
    expect(make(4360)).toBe(true);
    expect(sent).toEqual(multiplesOf(STEP_MS, 4320));
    expect(bridge.isOpening()).toBe(false);
    pushUntil(8000, [8000]);
    expect(sent.slice(-2)).toEqual([4320, 8000]);
  });

  test('holds pictures for half a second at most, and once for each keyframe of the re-encoder', () => {
    const { bridge, pushUntil, child, make, sent } = create();
    pushUntil(4000);
    bridge.request();
    child.nextKeyframeMs = 4320;
    pushUntil(4800);
    expect(sent.at(-1)).toBe(4280);
    pushUntil(4840);
    expect(sent.at(-1)).toBe(4840);
    pushUntil(5200);
    expect(make(4320)).toBe(false);
    child.nextKeyframeMs = 5320;
    pushUntil(5360);
    expect(make(5320)).toBe(true);
    expect(sent).toEqual(multiplesOf(STEP_MS, 5280));
  });

  test('holds 4 MiB at most', () => {
    const { bridge, pushUntil, push, child, sent } = create();
    pushUntil(4000);
    bridge.request();
    child.nextKeyframeMs = 4040;
    push(false, 4 * 1024 * 1024 + 1);
    expect(sent.at(-1)).toBe(4040);
    push(false, 2 * 1024 * 1024);
    push(false, 2 * 1024 * 1024);
    expect(sent.at(-1)).toBe(4040);
    push();
    expect(sent).toEqual(multiplesOf(STEP_MS, 4160));
  });

  test('does not hold anything for a re-encoder that lags more', () => {
    const { bridge, pushUntil, child, sent } = create();
    pushUntil(4000);
    bridge.request();
    Object.assign(child, { nextKeyframeMs: 4320, lagMs: 600 });
    pushUntil(5000);
    expect([bridge.isOpening(), sent]).toEqual([true, multiplesOf(STEP_MS, 5000)]);
  });

  test('that does not open ends with the publisher’s next keyframe, and what was held goes before it', () => {
    const { bridge, pushUntil, child, sent, changes } = create();
    pushUntil(4000);
    bridge.request();
    child.nextKeyframeMs = 4320;
    pushUntil(4400, [4400]);
    expect(sent).toEqual(multiplesOf(STEP_MS, 4400));
    expect([bridge.isOpening(), changes()]).toEqual([false, 2]);
  });

  test.each([8, 24])(
    'rests for 10 s, and for as long as it was, with a keyframe every %i s',
    (groupSeconds) => {
      const { bridge, push, nowMs, child, make } = create();
      const groupMs = groupSeconds * 1000;
      const openedMs: number[] = [];
      const closedMs: number[] = [];
      while (nowMs() < 6 * groupMs) {
        const isKeyframe = (nowMs() + STEP_MS) % groupMs === 0;
        if (isKeyframe && openedMs.length > closedMs.length) closedMs.push(nowMs());
        push(isKeyframe);
        bridge.request();
        child.nextKeyframeMs = nowMs() + STEP_MS;
        if (bridge.isOpening() && make(nowMs() + STEP_MS)) openedMs.push(nowMs());
      }
      const lengthsMs = closedMs.map((atMs, index) => atMs - openedMs[index]!);
      expect(lengthsMs.length).toBeGreaterThan(1);
      for (const [index, atMs] of openedMs.slice(1).entries()) {
        expect(atMs - closedMs[index]!).toBeGreaterThanOrEqual(Math.max(10_000, lengthsMs[index]!));
      }
    },
  );

  test('serves who asked while there could be none', () => {
    const { bridge, pushUntil, make, child } = create();
    pushUntil(4000);
    bridge.request();
    pushUntil(4040);
    child.nextKeyframeMs = 4080;
    expect(make(4080)).toBe(true);
    pushUntil(12_000, [8000]);
    bridge.request();
    pushUntil(17_960, []);
    expect(bridge.isOpening()).toBe(false);
    pushUntil(18_040, []);
    expect(bridge.isOpening()).toBe(true);
  });
});

type Event = 'picture' | 'keyframe' | 'ask' | { readonly makesAfterPictures: number; readonly lagMs: number };

test('whatever happens, viewers get every picture of the publisher’s in order while the pictures are his', () => {
  const event: fc.Arbitrary<Event> = fc.oneof(
    { weight: 20, arbitrary: fc.constant<Event>('picture') },
    { weight: 1, arbitrary: fc.constant<Event>('keyframe') },
    { weight: 2, arbitrary: fc.constant<Event>('ask') },
    {
      weight: 3,
      arbitrary: fc.record({
        makesAfterPictures: fc.integer({ min: -30, max: 3 }),
        lagMs: fc.integer({ min: 0, max: 900 }),
      }),
    },
  );
  fc.assert(
    fc.property(fc.array(event, { minLength: 50, maxLength: 400 }), (events) => {
      const { bridge, push, nowMs, make, child, sent } = create();
      const expected: number[] = [];
      let firstMadeMs = Infinity;
      push(true);
      expected.push(0);
      for (const each of events) {
        if (each === 'ask') bridge.request();
        else if (typeof each === 'string') {
          push(each === 'keyframe');
          if (each === 'keyframe') firstMadeMs = Infinity;
          if (firstMadeMs === Infinity) expected.push(nowMs());
        } else {
          const atMs = nowMs() + each.makesAfterPictures * STEP_MS;
          Object.assign(child, { nextKeyframeMs: atMs, lagMs: each.lagMs });
          if (!make(atMs)) continue;
          firstMadeMs = atMs;
          while ((expected.at(-1) ?? -1) >= atMs) expected.pop();
          expect(sent).toEqual(expected);
        }
        // At most half a second is held.
        expect(expected.length - sent.length).toBeLessThanOrEqual(500 / STEP_MS + 1);
      }
      bridge.end();
      expect(sent).toEqual(expected);
    }),
  );
});
