/** A picture that shows its own number, and what a page has seen of it: did it freeze, did the content go on? */
import type { Page } from 'playwright-core';
import { runFfmpeg, type Encoder } from './stack.ts';

/** The number is burnt into the top ninth of the picture as so many bits, the lowest at the left. */
export const FRAME_CLOCK_BITS = 12;
const BITS = FRAME_CLOCK_BITS;

export interface FrameClockOptions {
  /** `WIDTHxHEIGHT`. */
  readonly size?: string;
  readonly fps?: number;
  /**
   * What is under the number: moving detail, so that a picture is several packets, or the test card's four colours
   * (`test-card.ts`). Default detail.
   */
  readonly picture?: 'detail' | 'card';
  /** ffmpeg's arguments for the video encoder. */
  readonly video?: readonly string[];
  /** A tone of 1,000 Hz; with two channels 2,000 Hz on the right one. `null` for a silent stream. */
  readonly sound?: { readonly channels: 1 | 2; readonly sampleRate: number } | null;
  /** ffmpeg's arguments for the audio encoder. */
  readonly audio?: readonly string[];
}

/** H.264 that goes out as it is, 1.5 Mbit/s, a keyframe every 60 frames. */
const H264 = [
  ...'-c:v libx264 -preset ultrafast -tune zerolatency -profile:v baseline -pix_fmt yuv420p'.split(' '),
  ...'-b:v 1500k -maxrate 1500k -bufsize 1500k -g 60 -keyint_min 60 -sc_threshold 0'.split(' '),
];
const AAC = ['-c:a', 'aac', '-b:a', '128k'];
const STEREO = { channels: 2, sampleRate: 48_000 } as const;

const CARD = [
  'drawbox=x=0:y=0:w=iw/2:h=ih/2:color=red:t=fill',
  'drawbox=x=iw/2:y=0:w=iw/2:h=ih/2:color=green:t=fill',
  'drawbox=x=0:y=ih/2:w=iw/2:h=ih/2:color=blue:t=fill',
  'drawbox=x=iw/2:y=ih/2:w=iw/2:h=ih/2:color=yellow:t=fill',
];

/** ffmpeg's description of pictures with their number over them. */
export function frameClockPicture({
  size = '624x360',
  fps = 30,
  picture = 'detail',
}: Pick<FrameClockOptions, 'size' | 'fps' | 'picture'>): string {
  const bits = Array.from({ length: BITS }, (_, bit) => {
    const box = `x=iw*${String(bit)}/${String(BITS)}:y=0:w=iw/${String(BITS)}:h=ih/9`;
    return `drawbox=${box}:color=white:t=fill:enable='mod(floor(n/${String(2 ** bit)}),2)'`;
  });
  return [
    `${picture === 'card' ? 'color=c=black:' : 'testsrc2='}s=${size}:r=${String(fps)}`,
    ...(picture === 'card' ? CARD : []),
    'drawbox=x=0:y=0:w=iw:h=ih/9:color=black:t=fill',
    ...bits,
  ].join(',');
}

/** Publishes pictures with their number over them. */
export function publishFrameClock(url: string, options: FrameClockOptions = {}): Encoder {
  const { sound = STEREO } = options;
  const tones = ['0.3*sin(2*PI*1000*t)', '0.3*sin(2*PI*2000*t)'].slice(0, sound?.channels ?? 0).join('|');
  return runFfmpeg([
    ...['-re', '-f', 'lavfi', '-i', frameClockPicture(options)],
    ...(sound === null
      ? []
      : ['-re', '-f', 'lavfi', '-i', `aevalsrc='${tones}':s=${String(sound.sampleRate)}`]),
    ...(options.video ?? H264),
    ...(sound === null ? [] : (options.audio ?? AAC)),
    ...['-f', 'flv', url],
  ]);
}

/** A picture as it was shown. */
export interface Shown {
  /** Milliseconds of the page's clock. */
  readonly atMs: number;
  /** Modulo 2^12. */
  readonly number: number;
}

/** Reads the number of every picture that the page's video shows for some seconds, or until they are so many. */
export function watchFrameClock(
  page: Page,
  seconds: number,
  pictures = Number.MAX_SAFE_INTEGER,
): Promise<Shown[]> {
  return page.evaluate(
    async ({ forMs, bits, enough }) => {
      const video = document.querySelector('video');
      if (video === null) throw new Error('no video');
      const canvas = document.createElement('canvas');
      canvas.width = bits * 20;
      canvas.height = 1;
      const context = canvas.getContext('2d', { willReadFrequently: true });
      if (context === null) throw new Error('no canvas');
      const shown: { atMs: number; number: number }[] = [];
      const end = Promise.withResolvers<undefined>();
      let watching = true;
      const onFrame = (nowMs: number): void => {
        // In one go: the next picture may come between two looks at this one.
        const middle = video.videoHeight / 18;
        context.drawImage(video, 0, middle - 1, video.videoWidth, 2, 0, 0, canvas.width, 1);
        const { data } = context.getImageData(0, 0, canvas.width, 1);
        let number = 0;
        for (let bit = 0; bit < bits; bit++) {
          const x = Math.floor(((bit + 0.5) * canvas.width) / bits);
          if ((data[x * 4] ?? 0) > 128) number += 2 ** bit;
        }
        shown.push({ atMs: nowMs, number });
        if (shown.length >= enough) end.resolve(undefined);
        if (watching) video.requestVideoFrameCallback(onFrame);
      };
      video.requestVideoFrameCallback(onFrame);
      const startMs = performance.now();
      setTimeout(() => end.resolve(undefined), forMs);
      await end.promise;
      watching = false;
      // Where it began and ended, so that a freeze at either end counts.
      const last = shown.at(-1);
      if (last !== undefined) shown.push({ atMs: performance.now(), number: last.number });
      const [first] = shown;
      return first === undefined ? [] : [{ atMs: startMs, number: first.number }, ...shown];
    },
    { forMs: seconds * 1000, bits: BITS, enough: pictures },
  );
}

export interface Playback {
  /** Different pictures seen. */
  readonly pictures: number;
  /** The longest time for which the same picture stood. */
  readonly longestFreezeMs: number;
  /** Seconds that the content advanced, by its numbers. */
  readonly advancedSeconds: number;
  readonly watchedSeconds: number;
  /** Pictures whose number did not follow that of the one before: older, or seconds ahead at once. */
  readonly outOfOrder: number;
}

/** What has been seen, in figures. @param fps of the source */
export function judgePlayback(shown: readonly Shown[], fps = 30): Playback {
  const modulus = 2 ** BITS;
  let changedMs = shown[0]?.atMs ?? NaN;
  let number = shown[0]?.number ?? NaN;
  let [pictures, longestFreezeMs, advanced, outOfOrder] = [shown.length === 0 ? 0 : 1, 0, 0, 0];
  for (const picture of shown) {
    longestFreezeMs = Math.max(longestFreezeMs, picture.atMs - changedMs);
    if (picture.number === number) continue;
    const step = (picture.number - number + modulus) % modulus;
    if (step < modulus / 2) advanced += step;
    else outOfOrder += 1;
    pictures += 1;
    number = picture.number;
    changedMs = picture.atMs;
  }
  return {
    pictures,
    longestFreezeMs: Math.round(longestFreezeMs),
    advancedSeconds: advanced / fps,
    watchedSeconds: ((shown.at(-1)?.atMs ?? NaN) - (shown[0]?.atMs ?? NaN)) / 1000,
    outOfOrder,
  };
}
