import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../../plugin/clock.ts';
import { createLiveFeed } from '../../../plugin/media/live.ts';
import { tagsOf, timeOf } from '../rtp/flv-clip.ts';
import { annexB, depacketizeH264, type RtpPacket } from '../rtp/rtp-reader.ts';
import { createRecordedLog, createRecordingStage, trackOf, type RecordedTrack } from './fakes.ts';
import { oggOpus, onsetSeconds, runFfmpeg } from './ffmpeg.ts';

/** A publisher's clip: black and silent, white and loud from 1.2 s on, for 2.4 s. */
async function encodeFlash(): Promise<Buffer> {
  const picture = "color=c=black:s=320x180:r=25:d=2.4,drawbox=c=white:t=fill:enable='gte(t,1.2)'";
  const sound = "aevalsrc='if(gte(t,1.2),0.8*sin(2*PI*1000*t),0)':s=44100:d=2.4";
  const video = [
    '-c:v',
    'libx264',
    '-profile:v',
    'baseline',
    '-tune',
    'zerolatency',
    '-g',
    '25',
    '-pix_fmt',
    'yuv420p',
  ];
  const audio = ['-c:a', 'aac', '-b:a', '96k'];
  return runFfmpeg([
    '-f',
    'lavfi',
    '-i',
    picture,
    '-f',
    'lavfi',
    '-i',
    sound,
    ...video,
    ...audio,
    '-f',
    'flv',
    '-',
  ]);
}

async function publishInRealTime(tags: readonly Buffer[], push: (tag: Buffer) => void): Promise<void> {
  const startMs = performance.now();
  for (const tag of tags) {
    const waitMs = timeOf(tag) - (performance.now() - startMs);
    if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
    push(tag);
  }
}

/** Where an RTP timestamp lies on the wall clock, by the track's last sender report. */
function wallMs(track: RecordedTrack, timestamp: number, clockRate: number): number {
  const report = track.reports.at(-1)!;
  return report.ntpMs + (((timestamp - report.rtpTimestamp) | 0) / clockRate) * 1000;
}

async function decodeGray(track: RecordedTrack): Promise<{ file: Buffer; brightness: number[] }> {
  const file = annexB(depacketizeH264(track.rtp));
  const raw = ['-f', 'rawvideo', '-pix_fmt', 'gray', '-vf', 'scale=16:9', '-'];
  const gray = await runFfmpeg(['-f', 'h264', '-i', 'pipe:0', ...raw], file);
  const frameBytes = 16 * 9;
  const brightness = Array.from(
    { length: gray.length / frameBytes },
    (_, index) => gray[index * frameBytes + 72]!,
  );
  return { file, brightness };
}

/** Milliseconds from the first packet's timestamp to where the sound begins. */
async function soundOnsetMs(packets: readonly RtpPacket[]): Promise<number> {
  const plain = ['-f', 'f32le', '-ac', '1', '-ar', '48000', '-'];
  const opus = oggOpus(packets.map(({ payload }) => payload));
  return onsetSeconds(await runFfmpeg(['-i', 'pipe:0', ...plain], opus), 48_000) * 1000;
}

test('flash and beep are at the same time on the wall clock, and every picture can be decoded', async () => {
  const tags = tagsOf(await encodeFlash());
  const stage = createRecordingStage();
  const feed = createLiveFeed({ path: '/live/flash', stage, clock: systemClock, log: createRecordedLog() });
  onTestFinished(() => feed.close());
  await publishInRealTime(tags, (tag) => feed.pushTag(tag));
  const video = trackOf(stage, 'video')!;
  const audio = trackOf(stage, 'audio')!;
  await stage.until(() => (audio.rtp.length > 105 ? true : undefined));

  const pictures = depacketizeH264(video.rtp);
  expect(pictures).toHaveLength(60);
  const { file, brightness } = await decodeGray(video);
  expect(brightness).toHaveLength(60);
  const flashIndex = brightness.findIndex((value) => value > 128);
  expect(flashIndex).toBe(30);

  const path = join(await mkdtemp(join(tmpdir(), 'usher-live-')), 'pictures.h264');
  onTestFinished(() => rm(join(path, '..'), { recursive: true }));
  await writeFile(path, file);
  const size = await runFfmpeg(['-i', path, '-frames:v', '1', '-f', 'rawvideo', '-pix_fmt', 'gray', '-']);
  expect(size).toHaveLength(320 * 180);

  const steps = audio.rtp
    .slice(1)
    .map(({ timestamp }, index) => (timestamp - audio.rtp[index]!.timestamp) | 0);
  expect(new Set(steps)).toEqual(new Set([960]));

  const flashAtMs = wallMs(video, pictures[flashIndex]!.timestamp, 90_000);
  const beepAtMs = wallMs(audio, audio.rtp[0]!.timestamp, 48_000) + (await soundOnsetMs(audio.rtp));
  expect(Math.abs(beepAtMs - flashAtMs)).toBeLessThan(20);
  expect(new Set([...video.reports, ...audio.reports].map(({ cname }) => cname)).size).toBe(1);
  expect(feed.mediaMs()).toBeGreaterThan(2300);
  expect(feed.mediaMs()).toBeLessThan(2500);
});

test('a publisher with sound alone is on air without pictures', async () => {
  const sound = ['-f', 'lavfi', '-i', 'sine=frequency=440:d=3', '-c:a', 'aac', '-f', 'flv', '-'];
  const tags = tagsOf(await runFfmpeg(sound));
  const stage = createRecordingStage();
  const feed = createLiveFeed({ path: '/live/radio', stage, clock: systemClock, log: createRecordedLog() });
  onTestFinished(() => feed.close());
  await publishInRealTime(tags, (tag) => feed.pushTag(tag));
  expect(await stage.until(() => trackOf(stage, 'audio'))).toMatchObject({ kind: 'audio' });
  expect(trackOf(stage, 'video')).toBeUndefined();
});
