import { expect, test } from 'vitest';
import { createPublisherHealth } from '../../../plugin/media/publisher-health.ts';
import { tagsOf, timeOf } from '../rtp/flv-clip.ts';
import { createManualClock, createRecordedLog } from './fakes.ts';
import { runFfmpeg } from './ffmpeg.ts';

/** What ffmpeg makes of 20 s of test picture and a tone, read as it would come in. */
async function readHealth(video: readonly string[], sound: boolean) {
  const picture = ['-f', 'lavfi', '-i', 'testsrc=size=320x180:rate=25:duration=20'];
  const tone = sound ? ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=20', '-c:a', 'aac'] : [];
  const inputs = [...picture, ...tone.slice(0, 4)];
  const outputs = [...video, '-pix_fmt', 'yuv420p', ...tone.slice(4), '-f', 'flv', '-'];
  const file = await runFfmpeg([...inputs, ...outputs]);
  const clock = createManualClock();
  const startMs = clock.monotonicMs();
  const meter = createPublisherHealth({ clock, log: createRecordedLog(), path: '/live/real' });
  for (const tag of tagsOf(file)) {
    clock.advance(Math.max(0, timeOf(tag) - (clock.monotonicMs() - startMs)));
    meter.take(tag, timeOf(tag));
  }
  return { health: meter.read(), mediaMs: meter.mediaMs() };
}

const X264 = ['-c:v', 'libx264', '-preset', 'ultrafast'];
const FIXED_KEYFRAMES = ['-sc_threshold', '0', '-keyint_min', '1'];

test('a publisher with a keyframe every 2 s and no B-frames is without fault', async () => {
  const { health, mediaMs } = await readHealth([...X264, '-bf', '0', '-g', '50', ...FIXED_KEYFRAMES], true);
  expect(health).toMatchObject({
    video: { codec: 'H.264', width: 320, height: 180, hasBFrames: false, keyframeIntervalMs: 2000 },
    audio: { codec: 'AAC', sampleRateHz: 44_100, channels: 1 },
    malformedTags: 0,
    warnings: [],
  });
  expect(health.video?.profileLevelId).toMatch(/^42c0/);
  expect(health.video?.framesPerSecond).toBeCloseTo(25, 1);
  expect(mediaMs).toBeGreaterThan(19_800);
  expect(mediaMs).toBeLessThan(20_100);
});

test('x264 with B-frames and a keyframe every 8 s, and no sound', async () => {
  const { health } = await readHealth([...X264, '-bf', '2', '-g', '200', ...FIXED_KEYFRAMES], false);
  expect(health.video).toMatchObject({ hasBFrames: true, keyframeIntervalMs: 8000 });
  expect(health.audio).toBeNull();
  expect(health.warnings.map(({ text }) => text)).toEqual([
    'no audio',
    'video with B-frames is re-encoded for WebRTC viewers, or refused where that is off: switch them off',
    'keyframe every 8 s: publish one every 2 s',
  ]);
});

test('Sorenson H.263 is named, and that WebRTC viewers do not get it', async () => {
  const { health } = await readHealth(['-c:v', 'flv', '-g', '50'], true);
  expect(health.video).toMatchObject({
    codec: 'Sorenson H.263',
    profileLevelId: null,
    keyframeIntervalMs: 2000,
  });
  expect(health.warnings.map(({ code }) => code)).toEqual(['video_codec']);
});
