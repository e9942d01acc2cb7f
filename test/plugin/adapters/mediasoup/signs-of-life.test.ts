import { describe, expect, it } from 'vitest';
import { createSignsOfLife } from '../../../../plugin/adapters/mediasoup/signs-of-life.ts';

const SILENCE_MS = 15_000;

/** What a reading finds: counters as letters, so that the same letter is the same value. */
interface Reading {
  readonly feedback: string;
  readonly sent: number;
  readonly received?: number;
}

/** Reads every 2.5 s, as the stage does of a silent viewer; answers after how many milliseconds he has gone. */
function goneAfterMs(readings: (index: number) => Reading, seconds = 120): number {
  let nowMs = 0;
  const signs = createSignsOfLife({ clock: { monotonicMs: () => nowMs }, silenceMs: SILENCE_MS });
  for (let index = 0; nowMs < seconds * 1000; index += 1) {
    nowMs += 2500;
    const { feedback, sent, received = 0 } = readings(index);
    signs.note(feedback, sent);
    if (signs.isSilent()) signs.noteArrivals(received);
    if (signs.isGone()) return nowMs;
  }
  return Infinity;
}

describe('a viewer', () => {
  it.each<[string, number, (index: number) => Reading]>([
    ['who reports stays', Infinity, (index) => ({ feedback: `r${index}`, sent: index })],
    ['who reports now and then stays', Infinity, (i) => ({ feedback: `r${Math.floor(i / 5)}`, sent: i })],
    ['who never says anything goes', 2500 + SILENCE_MS, (index) => ({ feedback: 'none', sent: index })],
    [
      'who only sends connectivity checks, and never reports, stays',
      Infinity,
      (index) => ({ feedback: 'none', sent: index, received: index }),
    ],
    [
      'who vanishes goes',
      10_000 + SILENCE_MS,
      (index) => ({ feedback: `r${Math.min(index, 3)}`, sent: index, received: Math.min(index, 3) }),
    ],
    [
      'whose reports end has twice the time while other things come from his address',
      10_000 + 2 * SILENCE_MS,
      (index) => ({ feedback: `r${Math.min(index, 3)}`, sent: index, received: index }),
    ],
    ['who is sent nothing has nothing to report', Infinity, () => ({ feedback: 'none', sent: 7 })],
    [
      'who vanished meanwhile goes once he is sent something again',
      60_000 + SILENCE_MS,
      (index) => ({ feedback: 'none', sent: Math.max(23, index) }),
    ],
    [
      'who vanishes from a stream that is sent now and then goes after as long in which it was sent',
      10_000 + 22_500 + 5 * 7500, // Six readings of 2.5 s after something was sent: the first, then each third.
      (index) => ({ feedback: `r${Math.min(index, 3)}`, sent: Math.max(3, Math.floor(index / 3)) }),
    ],
    [
      'who reports in the pauses stays',
      Infinity,
      (index) => ({ feedback: `r${Math.floor(index / 3)}`, sent: Math.floor((index + 1) / 3) }),
    ],
  ])('%s', (_name, afterMs, readings) => {
    expect(goneAfterMs(readings)).toBe(afterMs);
  });

  it('is looked at only where nobody else reads his counters, more often while he is silent', () => {
    let nowMs = 0;
    const signs = createSignsOfLife({ clock: { monotonicMs: () => nowMs }, silenceMs: SILENCE_MS });
    const dueAfterMs = (): number => {
      const fromMs = nowMs;
      while (!signs.isDue()) nowMs += 500;
      return nowMs - fromMs;
    };
    expect(dueAfterMs()).toBe(0);
    signs.note('a', 1);
    expect([signs.isSilent(), dueAfterMs()]).toEqual([false, 6000]);
    signs.note('a', 2);
    expect([signs.isSilent(), dueAfterMs()]).toEqual([true, 2500]);
    signs.note('b', 3);
    expect([signs.isSilent(), dueAfterMs()]).toEqual([false, 6000]);
  });

  it.each([1000, 5000])(
    'who vanishes is seen within 7 s more when his counters are read each %d ms',
    (everyMs) => {
      const vanishedMs = 30_000;
      let nowMs = 0;
      const signs = createSignsOfLife({ clock: { monotonicMs: () => nowMs }, silenceMs: SILENCE_MS });
      const read = (): void => signs.note(`r${Math.floor(Math.min(nowMs, vanishedMs) / 1000)}`, nowMs);
      let looks = 0;
      for (let gone = false; !gone; nowMs += 1000) {
        expect(nowMs - vanishedMs).toBeLessThan(SILENCE_MS + 7000);
        if (nowMs % everyMs === 0) read();
        if (!signs.isDue()) continue;
        looks += 1;
        read();
        if (!signs.isSilent()) continue;
        signs.noteArrivals(vanishedMs);
        gone = signs.isGone();
      }
      expect(nowMs - vanishedMs).toBeGreaterThan(SILENCE_MS);
      expect(looks).toBeLessThan(10);
    },
  );
});
