/** A viewer who comes in the middle of a group of pictures of 8 s, with a real encoder and a real re-encoder. */
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../../plugin/clock.ts';
import { createLiveFeed } from '../../../plugin/media/live.ts';
import { obsDefaults } from '../../support/stack.ts';
import { tagsOf, timeOf } from '../rtp/flv-clip.ts';
import { annexB, depacketizeH264 } from '../rtp/rtp-reader.ts';
import { createRecordedLog, createRecordingStage, trackOf } from './fakes.ts';
import { runFfmpeg } from './ffmpeg.ts';

const GROUP_MS = 8000;
/** Gets brighter all the time. */
const PICTURE = "color=c=black:s=320x180:r=25:d=9,geq=lum='40+T*20':cb=128:cr=128";

/** Brightness of the middle of each picture. */
async function brightnessOf(file: Buffer): Promise<number[]> {
  const raw = ['-f', 'rawvideo', '-pix_fmt', 'gray', '-vf', 'scale=16:9', '-fps_mode', 'passthrough', '-'];
  const gray = await runFfmpeg(['-f', 'h264', '-i', 'pipe:0', ...raw], file);
  return Array.from({ length: gray.length / 144 }, (_, index) => gray[index * 144 + 72]!);
}

test('is shown a keyframe long before the publisher’s, and who watches already sees no pause', async () => {
  const codecs = [...obsDefaults(0), '-g', '200', '-sc_threshold', '0', '-an'];
  const tags = tagsOf(await runFfmpeg(['-f', 'lavfi', '-i', PICTURE, ...codecs, '-f', 'flv', '-']));
  const stage = createRecordingStage();
  const feed = createLiveFeed({ path: '/live/obs', stage, clock: systemClock, log: createRecordedLog() });
  onTestFinished(() => feed.close());
  const opened = stage.until(() => trackOf(stage, 'video'));
  void opened.then((track) => track.watch(true));

  const startMs = performance.now();
  let askedAtMs = Infinity;
  const arrivalsMs: number[] = [];
  let packets = 0;
  for (const tag of tags) {
    const waitMs = timeOf(tag) - (performance.now() - startMs);
    if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const track = trackOf(stage, 'video');
    if (timeOf(tag) >= 4000 && askedAtMs === Infinity) {
      askedAtMs = timeOf(tag);
      expect(feed.reencoders()).toEqual([]);
      track?.askKeyframe?.(track.ssrc);
    }
    feed.pushTag(tag);
    if (track === undefined || track.rtp.length === packets) continue;
    packets = track.rtp.length;
    arrivalsMs.push(performance.now());
  }

  const track = await opened;
  const pictures = depacketizeH264(track.rtp);
  const timesMs = pictures.map(({ timestamp }) => ((timestamp - pictures[0]!.timestamp) | 0) / 90);
  const keyframes = pictures.flatMap(({ nals }, index) =>
    nals.some((nal) => (nal[0]! & 0x1f) === 5) ? [{ atMs: timesMs[index]!, profile: nals[0]![1]! }] : [],
  );
  // High, constrained baseline each second, High again.
  expect([keyframes[0], keyframes.at(-1)]).toEqual([
    { atMs: 0, profile: 100 },
    { atMs: GROUP_MS, profile: 100 },
  ]);
  const made = keyframes.filter(({ profile }) => profile === 66);
  expect(made.length).toBeGreaterThanOrEqual(3);
  expect(made[0]!.atMs).toBeGreaterThan(askedAtMs);

  const stepsMs = timesMs.slice(1).map((timeMs, index) => timeMs - timesMs[index]!);
  expect(Math.min(...stepsMs)).toBeGreaterThan(0);
  expect(Math.max(...stepsMs)).toBeLessThan(1000);
  // Nothing is left out where the re-encoder's pictures begin; where they end, there is as much as it lags.
  const opensAt = timesMs.indexOf(made[0]!.atMs);
  expect(Math.max(...stepsMs.slice(0, opensAt))).toBeLessThan(600);
  const gapsMs = arrivalsMs.slice(1).map((arrivalMs, index) => arrivalMs - arrivalsMs[index]!);
  expect(Math.max(...gapsMs)).toBeLessThan(1000);

  const brightness = await brightnessOf(annexB(pictures));
  expect(brightness).toHaveLength(pictures.length);
  const brighter = brightness.slice(1).map((value, index) => value - brightness[index]!);
  expect(Math.min(...brighter)).toBeGreaterThan(-3);
});
