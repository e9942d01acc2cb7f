/** A publisher's AAC as it is, for taps: only while one listens, on the pictures' timeline. */
import { describe, expect, it, test } from 'vitest';
import { createAacDepacketizer } from '../../../plugin/rtp/index.ts';
import { audioTag, CODED_FRAMES } from '../rtp/enhanced-tags.ts';
import { avcConfigTag, avcTag, makeTag } from '../rtp/flv-clip.ts';
import { createLive, type LiveSetup } from './live-setup.ts';
import type { RecordedTrack } from './fakes.ts';

const AVC_CONFIG = avcConfigTag(Buffer.from('6742c00bd9', 'hex'), Buffer.from('68ce3c80', 'hex'));
/** AAC LC, 44.1 kHz, stereo. */
const CONFIG = '1210';
const configTag = (hex = CONFIG): Buffer => makeTag(8, Buffer.from(`af00${hex}`, 'hex'), 0);
const sound = (timeMs: number, fill: number): Buffer =>
  makeTag(8, Buffer.from([0xaf, 1, fill, fill, fill]), timeMs);
const picture = (timeMs: number, key = false): Buffer =>
  avcTag([Buffer.from([key ? 0x65 : 0x41, 1, 2])], { key, timeMs });

const offered = ({ stage }: LiveSetup): RecordedTrack[] =>
  stage.streams.flatMap(({ tracks }) => tracks.filter(({ kind, closed }) => kind === 'aac' && !closed));

async function start(...tags: readonly Buffer[]): Promise<LiveSetup> {
  const live = createLive();
  live.push(...tags);
  await live.settle();
  return live;
}

/** Times and bytes of what is in a track, by its latest report. */
function heard(
  { rtp, reports }: RecordedTrack,
  clockRate: number,
): { ms: number; fill: number | undefined }[] {
  const report = reports.at(-1);
  return rtp.map(({ timestamp, payload }) => ({
    ms: Math.round(((timestamp - (report?.rtpTimestamp ?? 0)) | 0) / (clockRate / 1000)),
    fill: payload.at(-1),
  }));
}

describe('which sound taps are offered as it is', () => {
  test.each([
    ['AAC LC, said before the pictures', [configTag(), AVC_CONFIG], [CONFIG]],
    ['AAC LC, said behind them', [AVC_CONFIG, configTag(), configTag()], [CONFIG]],
    ['the latest of several', [AVC_CONFIG, configTag(), configTag('1190')], ['1190']],
    ['none that says HE-AAC outright', [AVC_CONFIG, configTag('2b920800')], []],
    ['none whose channels are somewhere else', [AVC_CONFIG, configTag('1200')], []],
    [
      'none once it is Opus',
      [AVC_CONFIG, configTag(), audioTag('Opus', CODED_FRAMES, Buffer.from([0xfc, 1]), 40)],
      [],
    ],
  ])('%s', async (_what, tags, configs) => {
    const live = await start(...tags, picture(0, true));
    const codecs = offered(live).map(({ codec }) => codec?.name === 'AAC' && codec.config.toString('hex'));
    expect(codecs).toEqual(configs);
  });
});

it('nothing is sent while nobody listens', async () => {
  const live = await start(AVC_CONFIG, configTag(), picture(0, true));
  const [track] = offered(live);
  live.push(sound(0, 1));
  track?.watch(true);
  live.push(sound(23, 2), sound(46, 3));
  track?.watch(false);
  live.push(sound(70, 4));
  track?.watch(true);
  live.push(sound(2000, 5));
  expect(track?.rtp.map(({ payload }) => payload.at(-1))).toEqual([2, 3, 5]);
  expect(track?.reports.length).toBeGreaterThan(0);
});

it('sound and pictures of one time have one time by their sender reports', async () => {
  const live = await start(AVC_CONFIG, configTag(), picture(0, true));
  const [track] = offered(live);
  const video = await live.published();
  track?.watch(true);
  for (let ms = 400; ms < 4000; ms += 400) live.push(picture(ms), sound(ms, 9));
  const pictures = heard(video, 90_000).slice(-5);
  const sounds = heard(track as RecordedTrack, 44_100).slice(-5);
  const ntpApart = (track?.reports.at(-1)?.ntpMs ?? 0) - (video.reports.at(-1)?.ntpMs ?? 0);
  for (const [index, { ms }] of sounds.entries())
    expect(Math.abs(ms + ntpApart - (pictures[index]?.ms ?? 0))).toBeLessThanOrEqual(1);
});

it('units follow each other by their samples, however their milliseconds are rounded', async () => {
  const live = await start(AVC_CONFIG, configTag(), picture(0, true));
  const [track] = offered(live);
  track?.watch(true);
  for (let index = 0; index < 40; index++) live.push(sound(Math.floor((index * 1024) / 44.1), index));
  const timestamps = track?.rtp.map(({ timestamp }) => timestamp) ?? [];
  expect(timestamps.length).toBe(40);
  const steps = timestamps.slice(1).map((timestamp, index) => (timestamp - (timestamps[index] ?? 0)) >>> 0);
  expect(new Set(steps)).toEqual(new Set([1024]));
});

it('the publisher’s return with the same configuration goes on in the same track', async () => {
  const live = await start(AVC_CONFIG, configTag(), picture(0, true));
  const [track] = offered(live);
  live.feed.restart();
  live.push(configTag(), picture(0, true));
  expect(offered(live)).toEqual([track]);
  live.push(configTag('1190'));
  expect(track?.closed).toBe(true);
});

it('a unit longer than a packet comes out whole', async () => {
  const live = await start(AVC_CONFIG, configTag(), picture(0, true));
  const [track] = offered(live);
  track?.watch(true);
  const unit = Buffer.alloc(3000, 7);
  live.push(makeTag(8, Buffer.concat([Buffer.from([0xaf, 1]), unit]), 0));
  const depacketizer = createAacDepacketizer(1024);
  const units = (track?.rtp ?? []).flatMap(({ marker, sequence, timestamp, payload }) => {
    const header = Buffer.alloc(12);
    header.writeUInt8(0x80, 0);
    header.writeUInt8((marker ? 0x80 : 0) | 97, 1);
    header.writeUInt16BE(sequence, 2);
    header.writeUInt32BE(timestamp, 4);
    return depacketizer.push(Buffer.concat([header, payload]));
  });
  expect(units.map(({ data }) => data)).toEqual([unit]);
});
