/** What encoders publish, made anew by ffmpeg: pictures are decoded and looked at, and their times compared with the sound's. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../../plugin/clock.ts';
import { createLiveFeed, type LiveFeed } from '../../../plugin/media/live.ts';
import { ffmpegArguments } from '../../../plugin/media/reencoder-formats.ts';
import { encodeVideo, type VideoFourCc } from '../../support/enhanced-publisher.ts';
import { reencodersOf } from '../../support/reencoders.ts';
import { obsDefaults } from '../../support/stack.ts';
import { makeTag, tagsOf, timeOf } from '../rtp/flv-clip.ts';
import { annexB, depacketizeH264, type Picture, type RtpPacket } from '../rtp/rtp-reader.ts';
import {
  createRecordedLog,
  createRecordingStage,
  trackOf,
  type RecordedTrack,
  type RecordingStage,
} from './fakes.ts';
import { oggOpus, onsetSeconds, runFfmpeg } from './ffmpeg.ts';

const FPS = 25;
/** Black and silent, from this moment on white and loud. */
const FLASH_SECONDS = 3;
const PICTURE = `color=c=black:s=320x180:r=${FPS}:d=5,drawbox=c=white:t=fill:enable='gte(t,${FLASH_SECONDS})'`;
const SOUND = `aevalsrc='if(gte(t,${FLASH_SECONDS}),0.8*sin(2*PI*1000*t),0)':s=48000:d=5`;

async function encode(codecs: readonly string[], picture = PICTURE): Promise<Buffer[]> {
  const inputs = ['-f', 'lavfi', '-i', picture, '-f', 'lavfi', '-i', SOUND];
  return tagsOf(await runFfmpeg([...inputs, ...codecs, '-f', 'flv', '-']));
}

interface Setup {
  readonly stage: RecordingStage;
  readonly feed: LiveFeed;
  /** Publishes at the speed of the tags' own clock. */
  publish(tags: readonly Buffer[], onTag?: (index: number) => void): Promise<void>;
  rendition(name: 'H264' | 'VP8', onDemand: boolean): Promise<RecordedTrack>;
}

function create(): Setup {
  const stage = createRecordingStage();
  const feed = createLiveFeed({ path: '/live/obs', stage, clock: systemClock, log: createRecordedLog() });
  onTestFinished(() => feed.close());
  return {
    stage,
    feed,
    async publish(tags, onTag) {
      const startMs = performance.now();
      for (const [index, tag] of tags.entries()) {
        const waitMs = timeOf(tag) - (performance.now() - startMs);
        if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
        onTag?.(index);
        feed.pushTag(tag);
      }
    },
    rendition: (name, onDemand) =>
      stage.until(() =>
        stage.streams[0]?.tracks.find((track) => track.codec?.name === name && track.onDemand === onDemand),
      ),
  };
}

/** Waits for more pictures than `count`, the last of them whole: ffmpeg may lag behind the publisher. */
const until = (stage: RecordingStage, track: RecordedTrack, count: number): Promise<true> =>
  stage.until(() => {
    const whole = track.rtp.at(-1)?.marker === true;
    return whole && track.rtp.filter(({ marker }) => marker).length > count ? true : undefined;
  });

/** Brightness of the middle of each picture. */
async function brightnessOf(file: Buffer, format: 'h264' | 'ivf'): Promise<number[]> {
  const raw = ['-f', 'rawvideo', '-pix_fmt', 'gray', '-vf', 'scale=16:9', '-fps_mode', 'passthrough', '-'];
  const gray = await runFfmpeg(['-f', format, '-i', 'pipe:0', ...raw], file);
  return Array.from({ length: gray.length / 144 }, (_, index) => gray[index * 144 + 72]!);
}

const isKeyframe = ({ nals }: Picture): boolean => nals.some((nal) => (nal[0]! & 0x1f) === 5);
const stepsMs = (timestamps: readonly number[]): number[] =>
  timestamps.slice(1).map((timestamp, index) => Math.round(((timestamp - timestamps[index]!) | 0) / 90));

/** Where an RTP timestamp lies on the wall clock, by the track's last sender report. */
function wallMs(track: RecordedTrack, timestamp: number, clockRate: number): number {
  const report = track.reports.at(-1)!;
  return report.ntpMs + (((timestamp - report.rtpTimestamp) | 0) / clockRate) * 1000;
}

async function soundOnsetMs(track: RecordedTrack): Promise<number> {
  const opus = oggOpus(track.rtp.map(({ payload }) => payload));
  const pcm = await runFfmpeg(['-i', 'pipe:0', '-f', 'f32le', '-ac', '1', '-ar', '48000', '-'], opus);
  return wallMs(track, track.rtp[0]!.timestamp, 48_000) + onsetSeconds(pcm, 48_000) * 1000;
}

/** VP8 frames of RTP packets (RFC 7741) whose descriptor has a picture id of 15 bits and nothing else. */
function depacketizeVp8(packets: readonly RtpPacket[]): { timestamp: number; frame: Buffer }[] {
  const frames: { timestamp: number; frame: Buffer }[] = [];
  let parts: Buffer[] = [];
  for (const { payload, marker, timestamp } of packets) {
    expect([payload[0]! & 0xef, payload[1]!, payload[2]! >> 7]).toEqual([0x80, 0x80, 1]);
    expect((payload[0]! & 0x10) !== 0).toBe(parts.length === 0);
    parts.push(payload.subarray(4));
    if (!marker) continue;
    frames.push({ timestamp, frame: Buffer.concat(parts) });
    parts = [];
  }
  return frames;
}

function ivf(frames: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(32);
  header.write('DKIF\0\0 \0VP80', 'latin1');
  header.writeUInt16LE(320, 12);
  header.writeUInt16LE(180, 14);
  header.writeUInt32LE(FPS, 16);
  header.writeUInt32LE(1, 20);
  const parts = frames.flatMap((frame, index) => {
    const head = Buffer.alloc(12);
    head.writeUInt32LE(frame.length);
    head.writeUInt32LE(index, 4);
    return [head, frame];
  });
  return Buffer.concat([header, ...parts]);
}

describe('OBS’s defaults', () => {
  test('are shown picture by picture, a keyframe each second, in step with the sound', async () => {
    const tags = await encode(obsDefaults());
    const { stage, publish, rendition } = create();
    const watched = rendition('H264', true).then((track) => (track.watch(true), track));
    await publish(tags);
    const track = await watched;
    await until(stage, track, 100);
    await stage.until(() => (trackOf(stage, 'audio')!.rtp.length > 235 ? true : undefined));

    const pictures = depacketizeH264(track.rtp);
    expect(new Set(stepsMs(pictures.map(({ timestamp }) => timestamp)))).toEqual(new Set([40]));
    const keyframes = pictures.flatMap((picture, index) => (isKeyframe(picture) ? [index] : []));
    expect(keyframes.slice(0, 4)).toEqual([0, FPS, 2 * FPS, 3 * FPS]);
    // Constrained baseline (RFC 6184 table 5).
    expect(pictures[0]!.nals[0]!.toString('hex', 0, 3)).toBe('6742c0');

    const brightness = await brightnessOf(annexB(pictures), 'h264');
    expect(brightness).toHaveLength(pictures.length);
    const flash = brightness.findIndex((value) => value > 128);
    const flashMs = wallMs(track, pictures[flash]!.timestamp, 90_000);
    expect(Math.abs((await soundOnsetMs(trackOf(stage, 'audio')!)) - flashMs)).toBeLessThan(20);
  });

  test('come back when the child is killed, with what follows', async () => {
    const tags = await encode(obsDefaults());
    const { stage, publish, rendition, feed } = create();
    const watched = rendition('H264', true).then((track) => (track.watch(true), track));
    const ready = watched.then((track) => stage.until(() => (track.rtp.length > 0 ? track : undefined)));
    let killedAt = -1;
    let killed = 0;
    await publish(tags, () => {
      const track = stage.streams[0]?.tracks.find(({ onDemand }) => onDemand);
      const [pid] = reencodersOf(process.pid);
      if (killedAt >= 0 || pid === undefined || (track?.rtp.length ?? 0) < 60) return;
      killedAt = track!.rtp.length;
      killed = pid;
      process.kill(pid, 'SIGKILL');
    });
    const track = await ready;
    await until(stage, track, 60);
    expect(killed).toBeGreaterThan(0);
    const pictures = depacketizeH264(track.rtp);
    const gap = stepsMs(pictures.map(({ timestamp }) => timestamp)).findIndex((step) => step > 40);
    expect(isKeyframe(pictures[gap + 1]!)).toBe(true);
    expect(pictures.length - gap).toBeGreaterThan(25);
    expect(feed.reencoders()).toMatchObject([{ restarts: 1, running: true }]);
    expect(await brightnessOf(annexB(pictures), 'h264')).toHaveLength(pictures.length);
  });

  test('go on without waiting for a keyframe, made with less, when the machine stands still', async () => {
    const tags = await encode(obsDefaults(), PICTURE.replace('d=5', 'd=10'));
    const { publish, rendition, feed } = create();
    const watched = rendition('H264', true).then((track) => (track.watch(true), track));
    let stopped = 0;
    await publish(tags, (index) => {
      const [pid] = reencodersOf(process.pid);
      if (stopped > 0 || pid === undefined || timeOf(tags[index]!) < 6000) return;
      stopped = pid;
      process.kill(pid, 'SIGSTOP');
    });
    const pictures = depacketizeH264((await watched).rtp);
    expect(feed.reencoders()).toMatchObject([
      { running: true, restarts: 0, droppedPictures: 0, reduction: 1 },
    ]);
    expect(reencodersOf(process.pid)).not.toContain(stopped);
    const steps = stepsMs(pictures.map(({ timestamp }) => timestamp));
    const gap = steps.findIndex((step) => step > 500);
    expect(gap).toBeGreaterThan(0);
    expect([isKeyframe(pictures[gap + 1]!), steps.length - gap > 10]).toEqual([true, true]);
    expect(new Set(steps.slice(gap + 1))).toEqual(new Set([80]));
    expect(await brightnessOf(annexB(pictures), 'h264')).toHaveLength(pictures.length);
  });

  test('are shown as VP8', async () => {
    const tags = await encode(obsDefaults());
    const { stage, publish, rendition } = create();
    const watched = rendition('VP8', true).then((track) => (track.watch(true), track));
    await publish(tags);
    const track = await watched;
    await until(stage, track, 80);
    const frames = depacketizeVp8(track.rtp);
    expect(frames[0]!.frame[0]! & 1).toBe(0);
    const brightness = await brightnessOf(ivf(frames.map(({ frame }) => frame)), 'ivf');
    const flash = brightness.findIndex((value) => value > 128);
    const flashMs = wallMs(track, frames[flash]!.timestamp, 90_000);
    expect(Math.abs((await soundOnsetMs(trackOf(stage, 'audio')!)) - flashMs)).toBeLessThan(20);
  });

  test('without B-frames need no child', async () => {
    const tags = await encode(obsDefaults(0));
    const { publish, rendition, feed } = create();
    const watched = rendition('H264', false).then((track) => (track.watch(true), track));
    await publish(tags, () => expect(feed.reencoders()).toEqual([]));
    expect(depacketizeH264((await watched).rtp)).toHaveLength(5 * FPS);
  });
});

/** Drops the pictures that nothing refers to, and takes the delay out that made room for them. */
function withoutBFramesBefore(tags: readonly Buffer[], endMs: number): Buffer[] {
  const delayMs = 40;
  return tags.flatMap((tag) => {
    if (tag[0] !== 9 || tag[12] === 0) return [tag];
    const isDisposable = tag[11] === 0x27 && ((tag[20] ?? 0) & 0x60) === 0;
    if (timeOf(tag) < endMs && isDisposable) return [];
    const copy = Buffer.from(tag);
    copy.writeIntBE(tag.readIntBE(13, 3) - delayMs, 13, 3);
    return [copy];
  });
}

test('B-frames that come later: the same rendition goes on, made anew, with every picture in its order', async () => {
  const plain =
    '-c:v libx264 -preset veryfast -profile:v high -bf 1 -g 250 -sc_threshold 0 -x264-params b-adapt=0 -an';
  const tags = await encode(plain.split(' '));
  const { stage, publish, rendition, feed } = create();
  const watched = rendition('H264', false).then((track) => (track.watch(true), track));
  await publish(withoutBFramesBefore(tags, 2000));
  const track = await watched;
  await until(stage, track, 70);
  expect(feed.reencoders()).toMatchObject([{ codec: 'H.264', restarts: 0 }]);

  const pictures = depacketizeH264(track.rtp);
  const keyframes = pictures.flatMap((picture, index) => (isKeyframe(picture) ? [index] : []));
  const [first = -1, second = -1] = keyframes;
  expect([first, pictures[first]!.nals[0]!.toString('hex', 0, 2)]).toEqual([0, '6764']);
  expect(pictures[second]!.nals[0]!.toString('hex', 0, 2)).toBe('6742');
  expect(pictures.length - second).toBeGreaterThan(40);
  const steps = stepsMs(pictures.map(({ timestamp }) => timestamp));
  expect(Math.min(...steps)).toBeGreaterThan(0);
  expect(Math.max(...steps)).toBeLessThan(1000);
  const brightness = await brightnessOf(annexB(pictures), 'h264');
  expect(brightness).toHaveLength(pictures.length);
  expect([brightness[0]! < 128, brightness.at(-1)! > 128]).toEqual([true, true]);
});

test.each<VideoFourCc>(['hvc1', 'av01', 'vp09'])('Enhanced RTMP’s %s is shown as H.264', async (fourCc) => {
  const messages = await encodeVideo(fourCc, { seconds: 4, picture: PICTURE });
  const { stage, publish, rendition } = create();
  const watched = rendition('H264', true).then((track) => (track.watch(true), track));
  await publish(messages.map(({ type, timeMs, body }) => makeTag(type, body, timeMs)));
  const track = await watched;
  await until(stage, track, 70);
  const pictures = depacketizeH264(track.rtp);
  const brightness = await brightnessOf(annexB(pictures), 'h264');
  expect(brightness).toHaveLength(pictures.length);
  expect([brightness[0]! < 128, brightness.at(-1)! > 128]).toEqual([true, true]);
});

test('pictures of more than 16,777,216 pixels are not decoded', async () => {
  const remade = async (size: string): Promise<Buffer> => {
    const encoder = '-frames:v 1 -c:v libx264 -preset ultrafast -f matroska -'.split(' ');
    const source = await runFfmpeg(['-f', 'lavfi', '-i', `color=s=${size}`, ...encoder]);
    return runFfmpeg(ffmpegArguments('H264', { firstMs: 0, maxBits: 1_000_000, reduction: 2 }), source);
  };
  expect((await remade('4096x4096')).length).toBeGreaterThan(1000);
  await expect(remade('4112x4096')).rejects.toThrow('max pixel count');
});
